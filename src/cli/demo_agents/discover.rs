//! Before the story (the paper's step 1.1): the CRM has an account that is no person's, and no agent's that anybody registered.
//! A program reads the list through the vault's proxy and reports it; the registry knows whose each account is, and makes a
//! draft of the one that is nobody's.

use super::Story;
use super::app::{no, ok, text};
use super::keys::seconds;
use super::tell::expect;
use super::web::Ask;
use super::world::{ACCOUNTS_SCOPE, AGENT, DIRECTORY};
use crate::cli::Failure;
use serde_json::{Value, json};

/// The account at the CRM that somebody made for an agent.
const ACCOUNT: &str = "svc-proposals";

impl Story {
    /// Finds the agent; answers the id of its draft.
    pub(super) fn is_found(&mut self) -> Result<String, Failure> {
        self.teller.step("1.1", "Before: an agent that nobody registered is found");
        let found = self.scouts()?;
        self.teller.allowed(
            "scout",
            "reads the CRM's list of accounts through the vault's proxy, and reports it",
            &format!("scopes {ACCOUNTS_SCOPE} and agents:report, reporter by Check; the key of the list it never sees"),
        );
        for one in &found {
            let of = [text(one, "account"), text(one, "whose"), text(one, "of")];
            self.teller.says("", &of.join(" "));
        }
        let whose =
            |account: &str| found.iter().find(|one| text(one, "account") == account).map(|one| text(one, "whose"));
        let both = (whose(ACCOUNT), whose("app-0017"));
        expect(both == (Some("new".to_owned()), Some("connection".to_owned())), || format!("{both:?} was found"))?;
        let draft = self.evidence()?;
        let again = self.scouts()?;
        let waiting = again.iter().filter(|one| text(one, "whose") == "waiting").count();
        expect(waiting == 1 && self.drafts()?.len() == 1, || format!("one draft should wait: {again:?}"))?;
        self.teller.holds("reported again it is the same draft: one account is found once");
        let url = format!("{}/admin/agents/{draft}/activate", self.world.places.acme);
        let heard = self.console.send(Ask::json("POST", url, &json!({})).bearer(&self.olga_token))?;
        let refused = no("an agent without an owner", &heard, (409, "conflict"))?;
        self.teller.refused("Olga", "lets the draft act as it is", &refused);
        Ok(draft)
    }

    /// What the scout does: reads the list, and reports it in the registry's words. Answers whose each account is.
    fn scouts(&self) -> Result<Vec<Value>, Failure> {
        let places = &self.world.places;
        let token = |scope: &str, resource: String| {
            let pairs = [("grant_type", "client_credentials"), ("scope", scope), ("resource", &resource)];
            Ok::<_, Failure>(text(&ok("a token of the scout", &self.scout.token(&pairs)?)?, "access_token"))
        };
        let list = Ask::get(format!("{}/{DIRECTORY}/service-accounts", places.proxy()));
        let list = self.scout.send(list.bearer(&token(ACCOUNTS_SCOPE, places.proxy())?))?;
        let list = ok("the CRM's list of accounts", &list)?;
        let listed = list.get("accounts").and_then(Value::as_array).cloned().unwrap_or_default();
        let said = |one: &Value, name: &str| one.get(name).cloned().unwrap_or_default();
        let account = |one: &Value| {
            let kind = if said(one, "client").is_null() { "service_account" } else { "oauth_app" };
            json!({"account": said(one, "id"), "name": said(one, "label"), "kind": kind,
                   "client_id": said(one, "client"), "scopes": said(one, "permissions"),
                   "created_by": said(one, "made_by"), "created_at": said(one, "made"),
                   "last_used_at": said(one, "last_login")})
        };
        let report = json!({"system": "crm", "accounts": listed.iter().map(account).collect::<Vec<_>>()});
        let report = Ask::json("POST", format!("{}/discovered", places.admin()), &report);
        let found = self.scout.send(report.bearer(&token("agents:report", places.admin())?))?;
        let found = ok("the report", &found)?;
        Ok(found.get("accounts").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// The drafts, as an administrator sees them.
    fn drafts(&self) -> Result<Vec<Value>, Failure> {
        let url = format!("{}/discovered", self.world.places.admin());
        let drafts = ok("the drafts", &self.console.send(Ask::get(url).bearer(&self.olga_token))?)?;
        Ok(drafts.get("agents").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// What Olga sees of it.
    fn evidence(&mut self) -> Result<String, Failure> {
        let draft = self.drafts()?.pop().unwrap_or_default();
        let seen = draft.pointer("/accounts/0/account").cloned().unwrap_or_default();
        expect(text(&seen, "account") == ACCOUNT, || format!("the draft should show its account: {draft}"))?;
        let scopes = seen.get("scopes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let scopes = scopes.collect::<Vec<_>>().join(", ");
        let at = |name: &str| seen.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (days, minutes) = ((seconds() - at("created_at")) / 86_400, (seconds() - at("last_used_at")) / 60);
        self.teller.says(
            "Olga",
            &format!(
                "sees the draft: {} ({ACCOUNT}), made by {} {days} days ago, used {minutes} minutes ago; it may {scopes}",
                text(&seen, "name"),
                text(&seen, "created_by")
            ),
        );
        Ok(text(&draft, "id"))
    }

    /// After somebody has taken it on: the next report says whose the account is.
    pub(super) fn is_accounted_for(&mut self) -> Result<(), Failure> {
        let found = self.scouts()?;
        let ours = found.iter().find(|one| text(one, "account") == ACCOUNT).map(|one| text(one, "of"));
        expect(ours == Some(format!("agent:{AGENT}")), || format!("its account should be known: {found:?}"))?;
        self.teller.holds(&format!("the next report finds nothing: {ACCOUNT} is the account of {AGENT}"));
        Ok(())
    }
}
