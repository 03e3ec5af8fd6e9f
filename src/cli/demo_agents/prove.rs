//! 7: the log has all of it, for the person and through the agent; it is exported and verified without us, and none of the
//! secrets that were used is anywhere where it must not be.

use super::Story;
use super::app::ok;
use super::scan::{Scanner, files};
use super::tell::{Refused, expect};
use super::web::Ask;
use super::world::AGENT;
use crate::cli::Failure;
use crate::cli::show::grouped;
use bailiwick::identity::{Outcome, Tenant};
use bailiwick::modules::audit::export::ExportQuery;
use bailiwick::modules::audit::query::Filter;
use bailiwick::modules::audit::verify::{Report, Trust, verify};
use bailiwick::modules::audit::{Audit, By, Log};
use bailiwick::wire::now;
use serde_json::Value;

/// Events of a page.
const PAGE: usize = 500;

/// A text member of an event.
fn of(event: &Value, name: &str) -> String {
    super::app::text(event, name)
}

impl Story {
    fn log(&self, tenant: &Tenant) -> Result<Log, Failure> {
        let log = Audit::new(&self.world.engine).log(tenant.number());
        while log.grow()?.more {}
        Ok(log)
    }

    /// A refusal with the rule that Acme's log has for it: the last of the task.
    pub(super) fn with_rule(&self, refused: Refused) -> Result<Refused, Failure> {
        self.with_rule_of(refused, &self.world.acme)
    }

    /// The same of another tenant's log.
    pub(super) fn with_rule_of(&self, refused: Refused, tenant: &Tenant) -> Result<Refused, Failure> {
        let outcome = Some(Outcome::Refused);
        let filter = Filter { trace: Some(self.trace.clone()), outcome, ..Filter::default() };
        let page = self.log(tenant)?.query(&filter, 1, None)?;
        let event = page.entries.first().and_then(|entry| entry.event()).and_then(Result::ok);
        let rule = event.and_then(|event| event.get_reason().map(str::to_owned));
        expect(rule.is_some(), || format!("the log should say which rule refused: {}", refused.words))?;
        Ok(Refused { rule, ..refused })
    }

    pub(super) fn is_proved(&mut self) -> Result<(), Failure> {
        self.teller.step("7.1", "The log tells it, for whom and through whom");
        self.chain()?;
        self.explained()?;
        self.verified()?;
        self.teller.step("7.1", "And nothing that is secret is where it must not be");
        self.searched()
    }

    /// What belongs to the task, as an auditor reads it over HTTP.
    fn chain(&mut self) -> Result<(), Failure> {
        let all = self.events(&format!("trace={}", self.trace))?;
        self.teller.allowed(
            "Olga",
            &format!("reads the {} events of trace {}", all.len(), self.trace),
            "scope audit:read, and an auditor of the tenant by Check",
        );
        for event in &all {
            // Who asked for a token and was refused had shown who it is; for whom, it had not.
            let person = of(event, "user") == "user:sarah" || of(event, "kind") == "token.refused";
            expect(person && of(event, "agent") == format!("agent:{AGENT}"), || {
                format!("each event of the task should have the person and the agent: {event}")
            })?;
        }
        for kind in
            ["token.issued", "exchange.allowed", "check.decided", "vault.leased", "proxy.called", "approval.asked"]
        {
            expect(all.iter().any(|event| of(event, "kind") == kind), || format!("the log should have {kind}"))?;
        }
        self.teller.says(
            "",
            &format!("each has user:sarah and agent:{AGENT}; without leases, grants and checks that allowed:"),
        );
        let same = |a: &Value, b: &Value| ["kind", "outcome"].iter().all(|name| of(a, name) == of(b, name));
        let left_out = |event: &&Value| {
            let kind = of(event, "kind");
            let beside = ["vault.leased", "grant.created", "token.refused"].contains(&kind.as_str());
            beside || (kind == "check.decided" && of(event, "outcome") == "allowed")
        };
        let told: Vec<Value> = all.iter().filter(|event| !left_out(event)).cloned().collect();
        for group in told.chunk_by(same) {
            let Some(first) = group.first() else { continue };
            let more = if group.len() > 1 { format!(" and {} more", group.len() - 1) } else { String::new() };
            let reason = of(first, "reason");
            let what = if reason.is_empty() { of(first, "action") } else { reason };
            let what = format!("{} {what}", of(first, "resource"));
            let what = format!("{}{more}", what.trim());
            self.teller.row([&of(first, "kind"), &of(first, "outcome"), &what]);
        }
        let decided = self.events(&format!("resource=approval:{}", self.approval))?;
        let by =
            decided.iter().find(|event| of(event, "kind") == "approval.decided" && of(event, "outcome") == "allowed");
        expect(by.is_some_and(|event| of(event, "user") == "user:sarah"), || format!("Sarah decided: {decided:?}"))?;
        self.teller.says("", &format!("and of the approval: {} events, decided by user:sarah", decided.len()));
        let url = format!("{}/admin/audit/events", self.world.places.acme);
        let heard = self.console.send(Ask::get(url).bearer(&self.john_token))?;
        let refused = super::app::no("the log", &heard, (403, "insufficient_scope"))?;
        self.teller.refused("John", "reads the log", &refused);
        Ok(())
    }

    /// Why the file could be put on Drive: each layer's decision, from the sign-in to the call.
    fn explained(&mut self) -> Result<(), Failure> {
        let places = &self.world.places;
        let heard = |query: &str| -> Result<Value, Failure> {
            let url = format!("{}/admin/audit/{query}", places.acme);
            ok("the log", &self.console.send(Ask::get(url).bearer(&self.olga_token))?)
        };
        let calls = heard(&format!("events?trace={}&kind=proxy.called&resource=connection:workspace", self.trace))?;
        let all = calls.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let put = all.iter().find(|shown| {
            let action = shown.pointer("/event/action").and_then(Value::as_str).unwrap_or_default();
            action.starts_with("PUT /drive")
        });
        let number = put.and_then(|shown| shown.get("index")).cloned().unwrap_or_default();
        let explained = heard(&format!("explain?event={number}"))?;
        let steps = explained.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
        let has = |kind: &str| steps.iter().any(|step| of(step, "kind") == kind);
        for kind in
            ["session.started", "token.issued", "approval.asked", "approval.decided", "vault.leased", "proxy.called"]
        {
            expect(has(kind), || format!("the explanation should have {kind}: {explained}"))?;
        }
        self.teller.allowed(
            "Olga",
            &format!("asks why the file could be put on Drive: explain of event {number}, in {} steps", steps.len()),
            "each line is an event, by its number; `of` names those that it hangs on",
        );
        for step in &steps {
            let from = step.get("from").and_then(Value::as_array).cloned().unwrap_or_default();
            let from: Vec<String> = from.iter().map(Value::to_string).collect();
            let of_them = if from.is_empty() { String::new() } else { format!("of {}", from.join(", ")) };
            let what = format!("{} {}", of(step, "kind"), of(step, "action"));
            let parts = [what.trim().to_owned(), of(step, "why"), of_them];
            let text: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let number = step.get("number").map(Value::to_string).unwrap_or_default();
            self.teller.reason(&number, [&of(step, "layer"), &of(step, "outcome"), &text.join("; ")]);
        }
        Ok(())
    }

    /// Events that an auditor finds, the oldest first.
    fn events(&self, query: &str) -> Result<Vec<Value>, Failure> {
        self.log(&self.world.acme)?;
        let url = format!("{}/admin/audit/events?{query}&page_size={PAGE}", self.world.places.acme);
        let answer = ok("events", &self.console.send(Ask::get(url).bearer(&self.olga_token))?)?;
        let all = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        expect(!all.is_empty() && all.len() < PAGE, || format!("{query}: {} events", all.len()))?;
        Ok(all.into_iter().rev().filter_map(|mut shown| shown.get_mut("event").map(Value::take)).collect())
    }

    /// The whole log in a file, verified with its public key alone; and a file in which one word was changed.
    fn verified(&mut self) -> Result<(), Failure> {
        let log = self.log(&self.world.acme)?;
        log.sign(&log.signer(self.world.identity.ring())?, now())?;
        let query = ExportQuery::default();
        log.tell_export(&query, &By { user: Some("user:olga".into()), ..By::default() }, now())?;
        let mut file = Vec::new();
        let done = log.export(&query, &mut file)?;
        let keys = log.keys()?;
        let judged = |file: &[u8]| -> Result<Report, Failure> {
            let trust = Trust { keys: &keys, whole: true, ..Trust::default() };
            verify(file, &trust).map_err(|error| Failure::Said(error.to_string()))
        };
        let report = judged(&file)?;
        expect(report.faults.is_empty() && report.lines == done.lines, || {
            format!("the export should verify: {:?}", report.faults)
        })?;
        let key = keys.first().map(ToString::to_string).unwrap_or_default();
        let key = key.split('+').take(2).collect::<Vec<_>>().join("+");
        self.teller
            .holds(&format!("audit verify: all {} events, by the log's public key {key} alone", grouped(done.lines)));
        let text = String::from_utf8_lossy(&file).replacen("exchange.refused", "exchange.allowed", 1);
        let report = judged(text.as_bytes())?;
        let fault = report.faults.first().map(ToString::to_string).unwrap_or_default();
        expect(!fault.is_empty(), || "a file in which a word was changed should not verify".to_owned())?;
        self.teller.holds(&format!("the same file with one refusal made an allowance: {fault}"));
        let path = self.directory.join("audit.jsonl");
        std::fs::write(&path, &file).map_err(|reason| Failure::File { path, reason })
    }

    /// Every secret that was used, looked for on disk, in the log and in everybody's traffic.
    fn searched(&mut self) -> Result<(), Failure> {
        let scanner = Scanner::new(&self.secrets);
        let (mut places, mut bytes, mut faults) = (0, 0, Vec::new());
        let mut search = |place: &str, text: &[u8]| {
            places += 1;
            bytes += text.len() as u64;
            for secret in scanner.found(text).into_iter().filter_map(|at| self.secrets.get(at)) {
                if !secret.seen_by.contains(&place) {
                    faults.push(format!("{} in {place}", secret.name));
                }
            }
        };
        for (name, text) in files(&self.directory)? {
            search(&name, &text);
        }
        let tape = self.tape.all();
        for (who, text) in &tape {
            search(who, text);
        }
        expect(faults.is_empty(), || format!("secrets are where they must not be: {}", faults.join("; ")))?;
        // A search that finds nothing anywhere would be no proof.
        let seen = self.secrets.iter().enumerate().filter(|(at, secret)| {
            tape.iter().any(|(who, text)| secret.seen_by.contains(who) && scanner.found(text).contains(at))
        });
        let seen = seen.count();
        expect(seen > 0, || "the search should find each token where it was used".to_owned())?;
        let kib = grouped(bytes / 1024);
        self.teller.holds(&format!(
            "{} secrets, plain, in hexadecimal and base64, in {places} files, logs and recordings ({kib} KiB): none is where it \
             must not be; {seen} of them are where they were used, so that the search is known to find",
            self.secrets.len()
        ));
        Ok(())
    }
}
