//! 6: the agent does what was approved, through the vault, which puts the credentials in: exactly that, and once.

use super::Story;
use super::app::{no, ok, text};
use super::tell::{Refused, expect};
use super::web::{Ask, Heard};
use crate::cli::Failure;
use serde_json::{Value, json};

/// Where the proposal is put.
const FILE: &str = "/drive/Sales/Proposals/2025/Acme-Corp-Q1.pdf";

/// A call through the vault, as the agent means to make it.
#[derive(Clone)]
pub(super) struct Call {
    /// The type of its details.
    pub(super) kind: &'static str,
    connection: &'static str,
    method: &'static str,
    path: &'static str,
    media: &'static str,
    body: Vec<u8>,
}

fn mail(to: &[&str], subject: &str) -> Call {
    let body = json!({"to": to, "subject": subject, "attachment": "Acme-Corp-Q1.pdf",
                      "text": "Please find our proposal attached."});
    let (kind, connection, media) = ("email", "workspace", "application/json");
    Call { kind, connection, method: "POST", path: "/mail/messages", media, body: body.to_string().into_bytes() }
}

/// What the agent wants to do: put the file on Drive, send it to the CTO and the CFO, change the deal; and, which nobody asked
/// for, tell the board.
pub(super) fn calls() -> [Call; 4] {
    let pdf = b"%PDF-1.4\n1 0 obj<</Title(Proposal for Acme Corp: 1,500 seats, $450,000)>>endobj\ntrailer<</Info 1 0 R>>\n%%EOF\n";
    let deal = json!({"stage": "proposal sent", "amount": "450000.00"}).to_string().into_bytes();
    let (drive, json) = ("drive_file", "application/json");
    [
        Call {
            kind: drive,
            connection: "workspace",
            method: "PUT",
            path: FILE,
            media: "application/pdf",
            body: pdf.to_vec(),
        },
        mail(&["dana.wright@acmecorp.example", "luis.ortega@acmecorp.example"], "Our proposal"),
        Call {
            kind: "crm_change",
            connection: "crm",
            method: "PATCH",
            path: "/deals/acme-corp",
            media: json,
            body: deal,
        },
        mail(&["board@acmecorp.example"], "Our proposal"),
    ]
}

impl Story {
    /// Makes a call through the vault.
    pub(super) fn through(&self, call: &Call, token: &str) -> Result<Heard, Failure> {
        let url = format!("{}/proxy/{}{}", self.world.places.acme, call.connection, call.path);
        let ask = Ask::bytes(call.method, url, call.media, call.body.clone()).bearer(token);
        self.agent.send(ask.with("bailiwick-purpose", "the proposal for Acme Corp"))
    }

    fn not_approved(&mut self, what: &str, call: &Call, token: &str) -> Result<(), Failure> {
        let refused = no(what, &self.through(call, token)?, (403, "access_denied"))?;
        // What it says was printed when the first call was refused so.
        let refused = Refused { words: String::new(), ..self.with_rule(refused)? };
        self.teller.refused("agent", what, &refused);
        Ok(())
    }

    pub(super) fn acts(&mut self) -> Result<(), Failure> {
        let token = self.approved.clone();
        let [drive, mail_to_both, deal, board] = calls();
        self.teller.step("6.1", "The proposal goes to Drive");
        let put = ok("the file", &self.through(&drive, &token)?)?;
        expect(put.get("bytes") == Some(&json!(drive.body.len())), || format!("{put}"))?;
        self.teller.allowed(
            "agent",
            &format!("puts {}", FILE.trim_start_matches("/drive/")),
            "approved byte by byte, by its SHA-256",
        );
        self.is_shared()?;
        self.teller.step("6.2", "It is mailed to the CTO and the CFO");
        let three = mail(
            &["dana.wright@acmecorp.example", "luis.ortega@acmecorp.example", "press@news.example"],
            "Our proposal",
        );
        self.not_approved("sends it to one more", &three, &token)?;
        ok("the mail", &self.through(&mail_to_both, &token)?)?;
        self.teller.allowed(
            "agent",
            "sends it as Sarah, to dana.wright and luis.ortega at acmecorp.example",
            "exactly what she saw",
        );
        self.not_approved("sends it once more", &mail_to_both, &token)?;
        self.not_approved("sends it to the board, which she unticked", &board, &token)?;
        ok("the deal", &self.through(&deal, &token)?)?;
        self.teller.allowed(
            "agent",
            "sets the deal in the CRM to \u{201c}proposal sent\u{201d}",
            "approved; crm:update",
        );
        self.meets()?;
        self.never_sees()
    }

    /// Drive says in the company's store whose the file is and which team sees it; who else does follows from the model.
    fn is_shared(&mut self) -> Result<(), Failure> {
        let object = format!("document:{}", FILE.trim_start_matches("/drive/"));
        let store = format!("http://{}/stores/{}", self.engine_at, self.store);
        let ask =
            |path: &str, body: &Value| ok(path, &self.console.send(Ask::json("POST", format!("{store}{path}"), body))?);
        let tuple = |relation: &str, user: &str| json!({"object": object, "relation": relation, "user": user});
        let keys = [tuple("owner", "user:sarah"), tuple("viewer", "team:sales#member")];
        ask("/write", &json!({"writes": {"tuple_keys": keys}}))?;
        let agent = format!("agent:{}", super::world::AGENT);
        let who = [
            ("user:sarah", true),
            ("user:bob", true),
            ("user:john", true),
            ("user:eva", false),
            (agent.as_str(), false),
        ];
        for (user, may) in who {
            let checked = ask("/check", &json!({"tuple_key": tuple("viewer", user)}))?;
            expect(checked.get("allowed") == Some(&json!(may)), || format!("{user}: {checked}"))?;
        }
        let (kind, id) = object.split_once(':').unwrap_or_default();
        let wanted = json!({
            "object": {"type": kind, "id": id}, "relation": "viewer", "user_filters": [{"type": "user"}],
        });
        let listed = ask("/list-users", &wanted)?;
        let users = listed.get("users").and_then(Value::as_array).map_or(0, Vec::len);
        expect(users == 3, || format!("three should see it: {listed}"))?;
        self.teller.holds(
            "Sarah's team and her manager see it, and nobody else: two tuples (owner user:sarah, viewer team:sales#member), and \
             by Check Sarah, Bob and John may, John as \u{201c}manager from owner\u{201d}; Eva and the agent may not",
        );
        Ok(())
    }

    /// The calendar, for which nobody need be asked.
    fn meets(&mut self) -> Result<(), Failure> {
        self.teller.step("6.3", "A meeting is proposed");
        let url = |path: &str| format!("{}/proxy/workspace{path}", self.world.places.acme);
        let token = text(&self.signed_in, "access_token");
        let free = ok("free time", &self.agent.send(Ask::get(url("/calendar/free")).bearer(&token))?)?;
        let first = free.pointer("/free/0").and_then(Value::as_str).unwrap_or_default().to_owned();
        let event = json!({"start": first, "minutes": 30, "with": ["dana.wright@acmecorp.example"]});
        ok("the meeting", &self.agent.send(Ask::json("POST", url("/calendar/events"), &event).bearer(&token))?)?;
        let start = first.split('/').next().unwrap_or_default();
        self.teller.allowed(
            "agent",
            &format!("reads when Sarah is free and enters 30 minutes at {start}"),
            "calendar:read and \
            calendar:write are automatic for it",
        );
        Ok(())
    }

    fn never_sees(&mut self) -> Result<(), Failure> {
        self.teller.step("6.4", "The agent never had a credential of Sarah's");
        let url = format!("{}/proxy/crm/debug", self.world.places.acme);
        let echo = self.agent.send(Ask::get(url).bearer(&self.read_only))?.text();
        expect(echo.contains("[removed:held-secret]"), || format!("the CRM's echo should be filtered: {echo}"))?;
        self.teller
            .holds(&format!("a page of the CRM that repeats what it was asked with reaches the agent as {echo}"));
        let (crm, google) = (self.apps.crm.seen(), self.apps.workspace.seen());
        let sent: Vec<&str> = google.iter().map(|seen| seen.what.as_str()).collect();
        let mails = sent.iter().filter(|what| what.starts_with("POST /mail")).count();
        expect(mails == 1 && crm.iter().any(|seen| seen.what.starts_with("PATCH")), || format!("{sent:?}"))?;
        self.teller.holds(&format!(
            "the APIs saw {} calls, each with a token of their own, of which the vault refreshed {}; one mail was sent",
            crm.len() + google.len(),
            self.apps.crm_login.refreshed() + self.apps.google.refreshed()
        ));
        for (name, provider) in [("the CRM", &self.apps.crm_login), ("Google", &self.apps.google)] {
            // The password there is typed in Sarah's browser, and no token ever is.
            for secret in provider.tokens() {
                self.secrets.push(super::scan::Secret {
                    name: format!("a token of {name}"),
                    bytes: secret.into(),
                    seen_by: &[],
                });
            }
            for secret in provider.client_secrets() {
                let name = format!("Acme's secret at {name}");
                self.secrets.push(super::scan::Secret { name, bytes: secret.into(), seen_by: &["console"] });
            }
        }
        self.keeps_secret("the token of the callback", self.notification_token.clone(), &["agent"]);
        for (name, at) in [("the CRM", self.apps.at_crm.clone()), ("Google", self.apps.at_google.clone())] {
            self.keeps_secret(&format!("Sarah's password at {name}"), at.password, &["Sarah"]);
        }
        self.stopped()
    }

    /// One tuple stops the agent.
    fn stopped(&mut self) -> Result<(), Failure> {
        let url = |step: &str| format!("{}/admin/agents/{}/{step}", self.world.places.acme, super::world::AGENT);
        let olga = |ask: Ask| self.console.send(ask.bearer(&self.olga_token));
        ok("the suspension", &olga(Ask::json("POST", url("suspend"), &json!({"reason": "a drill"})))?)?;
        let contact = format!("{}/proxy/crm/contacts/acme-corp", self.world.places.acme);
        let refused = no(
            "a call of a suspended agent",
            &self.agent.send(Ask::get(&contact).bearer(&self.read_only))?,
            (401, "invalid_token"),
        )?;
        self.teller.refused("agent", "reads the CRM again, after Olga suspended it (one tuple)", &refused);
        ok("its return", &olga(Ask::json("POST", url("resume"), &json!({})))?)?;
        ok("a call", &self.agent.send(Ask::get(&contact).bearer(&self.read_only))?)?;
        Ok(())
    }
}
