//! 5: $450,000 is more than the agent may offer by itself. It asks (CIBA), Sarah decides on a page, and the agent gets what she
//! allowed, past her browser.

use super::Story;
use super::act::calls;
use super::app::{no, ok, text};
use super::keys::claims;
use super::tell::{Refused, expect};
use crate::cli::Failure;
use bailiwick::modules::approval::CIBA_GRANT;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long it may take until the agent is told.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

impl Story {
    pub(super) fn asks_for_approval(&mut self) -> Result<(), Failure> {
        self.teller.step("5.1", "$450,000 needs a person, and so do mail, Drive and changes in the CRM");
        let details = self.what_to_approve()?;
        self.teller.step("5.2", "The agent asks Sarah, out of band (CIBA with authorization details)");
        let asked = self.ask_sarah("Acme Corp, $450,000", &details)?;
        let id = text(&asked, "auth_req_id");
        let life = asked.get("expires_in").cloned().unwrap_or_default();
        self.teller.says("agent", &format!("asks for the proposal and four calls; Sarah has {life} s to decide"));
        let waiting = no("a token before a decision", &self.fetch(&id)?, (400, "authorization_pending"))?;
        self.teller.refused("agent", "asks for the token", &waiting);
        self.decides(&id)?;
        self.is_told(&id)?;
        self.gets_it(&id)
    }

    /// The agent tries what it means to do. Each refusal says what has to be approved for it.
    fn what_to_approve(&mut self) -> Result<Value, Failure> {
        let mut details = vec![json!({
            "type": "proposal", "customer": "Acme Corp", "amount": "450000.00", "products": "Platform, 1,500 seats",
            "recipients": ["dana.wright@acmecorp.example", "luis.ortega@acmecorp.example"],
        })];
        let token = text(&self.signed_in, "access_token");
        for (at, call) in calls().iter().enumerate() {
            let heard = self.through(call, &token)?;
            let refused = no("a call without an approval", &heard, (403, "access_denied"))?;
            let mut detail = heard.json().pointer("/authorization_details/0").cloned().unwrap_or_default();
            if let Some(members) = detail.as_object_mut() {
                members.insert("type".to_owned(), call.kind.into());
            }
            details.push(detail);
            if at == 0 {
                let refused = self.with_rule(refused)?;
                self.teller.refused("agent", "puts the proposal on Drive", &refused);
            }
        }
        self.teller.says("", "so are mail and CRM; each refusal says, for a program, what exactly is to be approved");
        Ok(Value::Array(details))
    }

    fn ask_sarah(&self, message: &str, details: &Value) -> Result<Value, Failure> {
        let heard = self.agent.post(
            "/bc-authorize",
            &[
                ("client_notification_token", &self.notification_token),
                ("scope", "openid email:send drive:write crm:update"),
                ("resource", &self.world.places.proxy()),
                ("login_hint", self.sarah.login),
                ("binding_message", message),
                ("authorization_details", &details.to_string()),
            ],
        )?;
        ok("a request for approval", &heard)
    }

    fn fetch(&self, id: &str) -> Result<super::web::Heard, Failure> {
        self.agent.token(&[("grant_type", CIBA_GRANT), ("auth_req_id", id)])
    }

    /// Bob has the link, Sarah decides.
    fn decides(&mut self, id: &str) -> Result<(), Failure> {
        self.teller.step("5.3", "Sarah's phone shows that something waits; what, is on the page");
        let request = id.split('.').next().unwrap_or_default();
        request.clone_into(&mut self.approval);
        let shown = self.sarah.notified(&self.apps.phones, request)?;
        self.teller.says("Sarah", &format!("her phone shows \u{201c}{shown}\u{201d}"));
        self.teller.says(
            "",
            "Web Push: encrypted for this phone, signed for its push service, and no word of what is asked; who opens it \
             signs in",
        );
        let url = format!("{}/approvals/{request}", self.world.places.acme);
        let page = self.bob.browser.open(&url)?;
        expect(page.status == 404, || format!("Bob should not see it: {}", page.text()))?;
        page.says("there is no such request")?;
        let words = "to him there is no such request".to_owned();
        self.teller.refused("Bob", "opens the link", &Refused { status: 404, words, ..Refused::default() });
        self.sarah.browser.open(&format!("{}/approvals", self.world.places.acme))?.says("Acme Corp")?;
        let page = self.sarah.browser.open(&url)?;
        for words in ["Acme Corp, $450,000", "$450000.00", "1,500 seats", "dana.wright@acmecorp.example"] {
            page.says(words)?;
        }
        self.teller.card(&page.elements(&["h1", "strong", "dt", "dd"]));
        self.teller.step("5.4", "Sarah decides, as herself: two factors, shown within five minutes");
        let form = page.form(&format!("/approvals/{request}"))?;
        // The last of the details is the mail to the board.
        let page = self.sarah.browser.send(&form.without("detail", "4").with("decision", "approve"))?;
        page.says("Approved")?;
        self.teller.allowed(
            "Sarah",
            "unticks the mail to the board, and approves the rest",
            "a signed-in person who may decide by Check, a form of our own page, kept by the hash of what was shown",
        );
        Ok(())
    }

    /// The agent's application is told that there is a decision, and not which.
    fn is_told(&mut self, id: &str) -> Result<(), Failure> {
        let until = Instant::now() + TOLD_WITHIN;
        let ping = loop {
            match self.apps.portal.pings().pop() {
                Some(ping) => break ping,
                None => expect(Instant::now() < until, || "the agent should be told of the decision".to_owned())?,
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let body: Value = serde_json::from_slice(&ping.body).unwrap_or_default();
        let right = ping.token == self.notification_token && text(&body, "auth_req_id") == id;
        expect(right && body.as_object().is_some_and(|members| members.len() == 1), || format!("a ping: {body}"))?;
        self.teller.says("agent", "is told, by the callback that it registered, that there is a decision (ping)");
        Ok(())
    }

    fn gets_it(&mut self, id: &str) -> Result<(), Failure> {
        let given = ok("the approved token", &self.fetch(id)?)?;
        let token = text(&given, "access_token");
        let said = claims(&token);
        let details = said.get("authorization_details").and_then(Value::as_array).map_or(0, Vec::len);
        expect(details == 4 && given.get("refresh_token").is_none(), || format!("{said:?}"))?;
        let scope = text(&given, "scope");
        self.teller.allowed(
            "agent",
            &format!("gets a token for {scope}, with the {details} details that were approved"),
            "past Sarah's browser, once, without a refresh token; it lives as long as an access token",
        );
        let again = no("the token once more", &self.fetch(id)?, (400, "invalid_grant"))?;
        let again = self.with_rule(again)?;
        self.teller.refused("agent", "asks for it once more", &again);
        self.keeps_secret("the approved token", token.as_str(), &["agent"]);
        self.approved = token;
        Ok(())
    }
}
