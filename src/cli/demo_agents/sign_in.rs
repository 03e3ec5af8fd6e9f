//! 2: Sarah signs in, and the agent learns for whom it works.

use super::Story;
use super::app::{no, text};
use super::browser::Browser;
use super::keys::claims;
use super::tell::{Refused, expect};
use super::world::AGENT;
use crate::cli::Failure;
use serde_json::json;

impl Story {
    pub(super) fn signs_in(&mut self) -> Result<(), Failure> {
        self.teller.step("2.1", "Sarah signs in at the portal");
        // A browser that has never been here: the one of her invitation is signed in already.
        self.sarah.browser = Browser::new("Sarah", &self.tape);
        let places = self.world.places.clone();
        let scope = "openid profile email crm:read calendar:read calendar:write crm:update drive:write email:send crm:delete mcp:read";
        let servers = ["sales", "workspace", "finance"].map(|name| places.mcp(name));
        let resources: Vec<&str> = servers.iter().map(String::as_str).collect();
        let request = self.agent.request(scope, &[&resources[..], &[&places.proxy()]].concat());
        let page = self.sarah.browser.open(&request.url)?;
        let google = page.says("Continue with Google")?.form("/login/upstream")?;
        let page = self.sarah.browser.send(&google)?;
        page.says("Sign in at Google")?;
        let callback = format!("{}/login/upstream/callback", places.acme);
        let back = self.sarah.browser.send_until(&self.apps.at_google.form(&page)?, &callback)?;
        self.teller.says("Sarah", "chooses Google, and shows there who she is");
        let page = self.bob.browser.open(&back)?;
        let words = "began in another browser";
        page.says(words)?;
        let refused = Refused {
            status: page.status,
            words: format!(
                "it \u{201c}{words}\u{201d}: state, nonce and PKCE are bound \
            to Sarah's"
            ),
            ..Refused::default()
        };
        self.teller.refused("Bob", "comes back with her answer of Google in his own browser", &refused);
        let page = self.sarah.browser.open(&back)?;
        page.says("Second step")?;
        let page = self.sarah.code(page)?;
        page.says("You are signed in")?;
        self.signed_in = self.agent.come_back(&request, &self.apps.portal)?;
        self.teller.allowed(
            "Sarah",
            "comes back with Google's word, and types the code of her phone: signed in",
            "ID token of Google by its keys, issuer, audience and nonce; no consent is asked, because Acme's managed \
             connections say where agents may act",
        );
        for name in ["access_token", "id_token"] {
            let token = text(&self.signed_in, name);
            self.keeps_secret(&format!("the agent's {name}"), token, &["agent", "thief", "prices"]);
        }
        self.knows_who()?;
        self.not_without_key()
    }

    fn knows_who(&mut self) -> Result<(), Failure> {
        self.teller.step("2.2", "The agent knows who she is");
        let id = claims(&text(&self.signed_in, "id_token"));
        let of = |name: &str| id.get(name).cloned().unwrap_or_default();
        expect(of("aud") == AGENT && of("email_verified") == json!(true) && of("sub") == "sarah", || {
            format!("{id:?}")
        })?;
        let said = ["iss", "sub", "aud", "name", "email", "acr", "amr"].map(|name| format!("{name} {}", of(name)));
        self.teller.says("agent", &format!("reads her ID token: {}", said.join(", ").replace('"', "")));
        Ok(())
    }

    /// Who has no key is not the agent.
    fn not_without_key(&mut self) -> Result<(), Failure> {
        let places = self.world.places.clone();
        let other = std::sync::Arc::new(super::keys::Key::new("2026-11")?);
        let thief =
            super::app::App::new("thief", &self.tape, (AGENT, &places.acme, &places.callback())).with_key(&other);
        let token = text(&self.signed_in, "access_token");
        let heard = thief.token(&[
            ("grant_type", bailiwick::modules::exchange::TOKEN_EXCHANGE),
            ("subject_token", &token),
            ("subject_token_type", super::across::ACCESS),
        ])?;
        let refused = no("a token for a thief", &heard, (401, "invalid_client"))?;
        self.teller.refused("thief", "shows Sarah's token as the agent, with another key", &refused);
        Ok(())
    }
}
