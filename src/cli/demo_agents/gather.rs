//! 3: the agent gathers what Sarah may see, as far as its own mandate goes: resources by MCP, and the CRM through the vault.

use super::Story;
use super::app::{no, ok, text};
use super::keys::seconds;
use super::stubs::provider::FIRST_LIFE_S;
use super::tell::expect;
use super::web::Ask;
use crate::cli::Failure;
use bailiwick::modules::vault::FEDERATED_GRANT;
use std::time::Duration;

impl Story {
    pub(super) fn gathers(&mut self) -> Result<(), Failure> {
        self.teller.step("3.1", "\u{201c}Create a proposal for Acme Corp, 1,500 seats, and send it\u{201d}");
        self.teller.says("agent", &format!("begins a task; all that it does for it has the trace {}", self.trace));
        self.discovers()?;
        self.reads_the_crm()?;
        self.assembles()
    }

    /// The CRM, with a token that reads and nothing else.
    fn reads_the_crm(&mut self) -> Result<(), Failure> {
        self.teller.step("3.4", "The CRM is behind the vault: Sarah's credential, never in the agent");
        let signed_in = text(&self.signed_in, "access_token");
        let proxy = self.world.places.proxy();
        let narrow =
            |scope: &str| self.exchange(&signed_in, super::across::ACCESS, &[("scope", scope), ("resource", &proxy)]);
        let (read, asks) = (narrow("crm:read")?, narrow("crm:update")?);
        let read = ok("a smaller token", &read)?;
        let read_only = text(&read, "access_token");
        let act = super::keys::claims(&read_only).get("act").cloned().unwrap_or_default();
        let act = format!("token exchange (RFC 8693): sub sarah, act {act}").replace('"', "");
        self.teller.allowed("agent", "gets a token that reads the CRM and nothing else", &act);
        let asks = no("crm:update", &asks, (400, "interaction_required"))?;
        self.read_only = read_only;
        let asks = self.with_rule(asks)?;
        self.teller.refused("agent", "gets one that changes the CRM", &asks);
        // What Sarah's sign-in at the CRM gave is over by now, as it should be.
        let over = self.connected_at + FIRST_LIFE_S;
        std::thread::sleep(Duration::from_secs((over + 1).saturating_sub(seconds())));
        let at = |path: &str| format!("{}/proxy{path}", self.world.places.acme);
        let get = |path: &str, token: &str| self.agent.send(Ask::get(at(path)).bearer(token));
        let contact = ok("the contact", &get("/crm/contacts/acme-corp", &self.read_only)?)?;
        expect(text(&contact, "account") == "Acme Corp" && self.apps.crm_login.refreshed() == 1, || {
            format!("{contact}")
        })?;
        self.teller.allowed(
            "agent",
            &format!("reads the contact: CTO {}, CFO {}", text(&contact, "cto"), text(&contact, "cfo")),
            "the \
            token at the CRM was over, and the vault refreshed it, once; connection crm, scope crm:read",
        );
        let delete = Ask::json("DELETE", at("/crm/deals/acme-corp"), &serde_json::json!({}));
        let never = no("a deletion", &self.agent.send(delete.bearer(&signed_in))?, (403, "access_denied"))?;
        let never = self.with_rule(never)?;
        self.teller.refused("agent", "deletes the deal, although its token has crm:delete", &never);
        let unlisted = no("another connection", &get("/erp/orders", &signed_in)?, (403, "access_denied"))?;
        let unlisted = self.with_rule(unlisted)?;
        self.teller.refused("agent", "calls the ERP, which is not among its connections", &unlisted);
        let pairs = [
            ("grant_type", FEDERATED_GRANT),
            ("subject_token", signed_in.as_str()),
            ("subject_token_type", super::across::ACCESS),
            ("connection", "crm"),
        ];
        let itself = no("the credential itself", &self.agent.token(&pairs)?, (400, "access_denied"))?;
        let itself = self.with_rule(itself)?;
        self.teller.refused("agent", "asks for the CRM's token itself", &itself);
        Ok(())
    }
}
