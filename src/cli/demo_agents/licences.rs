//! The paper's other example of a person in the loop: an agent that buys wants $5,000 of licences; who answers for it approves at
//! lunch, on a phone.

use super::Story;
use super::app::{App, ok, text};
use super::keys::{Key, claims};
use super::tell::expect;
use super::web::Ask;
use crate::cli::Failure;
use bailiwick::modules::approval::CIBA_GRANT;
use serde_json::{Value, json};
use std::sync::Arc;

/// The agent's id.
const BUYER: &str = "procurement-agent";

impl Story {
    pub(super) fn buys_licences(&mut self) -> Result<(), Failure> {
        self.teller.step("5+", "Another agent: $5,000 of licences, approved at lunch on a phone");
        let key = Arc::new(Key::new("2026-11")?);
        self.register_buyer(&key)?;
        self.keeps_secret("the buying agent's private key", key.private()?, &[]);
        let at = (BUYER, self.world.places.acme.as_str(), "");
        let buyer = App::new("buyer", &self.tape, at).with_key(&key);
        let purchase = json!({
            "type": "purchase", "vendor": "Figma Inc.", "what": "40 licences, one year", "amount": "5000.00",
            "justification": "40 designers start on 1 December; the contract of today has 12 seats left",
        });
        let asked = buyer.post(
            "/bc-authorize",
            &[
                ("scope", "openid"),
                ("login_hint", self.john.login),
                ("binding_message", "Licences, $5,000"),
                ("authorization_details", &json!([purchase]).to_string()),
            ],
        )?;
        let asked = ok("a request for approval", &asked)?;
        let id = text(&asked, "auth_req_id");
        let request = id.split('.').next().unwrap_or_default();
        self.teller.says("buyer", "asks for it: vendor, amount and why, as authorization details of a type `purchase`");
        let shown = self.john.notified(&self.apps.phones, request)?;
        self.teller.says("John", &format!("his phone shows \u{201c}{shown}\u{201d}; he opens it"));
        let url = format!("{}/approvals/{request}", self.world.places.acme);
        let page = self.john.browser.open(&url)?;
        for words in ["Licences, $5,000", "Figma Inc.", "$5000.00", "40 designers start on 1 December"] {
            page.says(words)?;
        }
        self.teller.card(&page.elements(&["h1", "strong", "dt", "dd"]));
        self.teller.says("John", "shows once more who he is: his password, and the code of his phone");
        let page = self.john.confirm(page)?;
        let form = page.form(&format!("/approvals/{request}"))?;
        self.john.browser.send(&form.with("decision", "approve"))?.says("Approved")?;
        self.teller.allowed(
            "John",
            "approves: he answers for this agent, and above $1,000 that decides (the type's rule)",
            "two factors lately, by Check at that moment; the notice and the link decide nothing",
        );
        let token = buyer.token(&[("grant_type", CIBA_GRANT), ("auth_req_id", &id)])?;
        let token = text(&ok("the approved token", &token)?, "access_token");
        let details = claims(&token).get("authorization_details").cloned().unwrap_or_default();
        expect(details == json!([purchase]), || format!("the token should have exactly what was approved: {details}"))?;
        self.teller.allowed(
            "buyer",
            "gets a token for exactly this purchase, once",
            "another amount is another request",
        );
        self.keeps_secret("the token of the purchase", token.as_str(), &["buyer"]);
        Ok(())
    }

    /// John registers it, as he did the other: its owner, what it is for, its key.
    fn register_buyer(&self, key: &Key) -> Result<(), Failure> {
        let send = |method, path: &str, body: &Value| {
            let url = format!("{}/admin/agents{path}", self.world.places.acme);
            self.console.send(Ask::json(method, url, body).bearer(&self.john_token))
        };
        let profile = json!({"name": "Procurement agent", "purpose": "Buys software for teams",
                             "owner": "team:sales-ops", "accountable": "user:john"});
        ok("the agent", &send("POST", "", &json!({"id": BUYER, "profile": profile}))?)?;
        ok("its key", &send("PUT", &format!("/{BUYER}/keys"), &json!({ "jwks": key.public()? }))?)?;
        let methods = json!({"auth_methods": ["private_key_jwt"]});
        ok("its way to authenticate", &send("PUT", &format!("/{BUYER}/auth_methods"), &methods)?)?;
        ok("its start", &send("POST", &format!("/{BUYER}/activate"), &json!({}))?)?;
        self.world.buyer_client(BUYER)
    }
}
