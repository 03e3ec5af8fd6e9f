//! What a server behind the gateway may say: the answer to the request that was asked, with lists cut to what the caller may
//! see, and notifications that belong to it. Everything else is dropped.

use super::decide::{Asker, Decider, internal};
use super::message::{DENIED, Fault, Request, unmistakable};
use super::policy::{Listed, Policy};
use crate::engine::{QuestionError, View};
use serde_json::{Map, Value, json};

/// Most items of one list that are judged.
const ITEMS_MAX: usize = 10_000;

/// The lists that are cut: method, member, the text that names an item.
const LISTS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ("prompts/list", "prompts", "name"),
];

/// Notifications that a server may send with an answer.
const NOTIFICATIONS: [&str; 8] = [
    "notifications/progress",
    "notifications/message",
    "notifications/cancelled",
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
    "notifications/prompts/list_changed",
    "notifications/subscriptions/acknowledged",
    "notifications/elicitation/complete",
];

/// What becomes of a message of the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Goes on as it came.
    Asis,
    /// Goes on like this.
    Changed(Value),
    /// Does not go on.
    Dropped,
}

/// What becomes of a message, and whether it is the answer that was waited for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) said: Said,
    pub(super) last: bool,
}

/// Judges what a server says to one request.
pub(super) struct Filter<'a> {
    pub(super) decider: &'a Decider,
    pub(super) policy: &'a Policy,
    pub(super) asker: &'a Asker,
    pub(super) resource: &'a str,
    /// The request that is answered.
    pub(super) request: &'a Request,
    /// Requests that the server may send to the client, in versions that have such.
    pub(super) server_requests: &'a [String],
}

/// The list that a method answers with.
fn list_of(method: &str) -> Option<(&'static str, &'static str)> {
    LISTS.iter().find(|(of, ..)| *of == method).map(|(_, member, name)| (*member, *name))
}

impl Filter<'_> {
    /// Judges one message.
    ///
    /// # Errors
    /// No decision could be made, or it could not be recorded; then nothing of it goes on.
    pub(super) fn judge(&self, message: &[u8]) -> Result<Verdict, Fault> {
        let on = |said| Verdict { said, last: false };
        let Some(members) = unmistakable(message) else {
            tracing::warn!(
                resource = self.resource,
                "a server said what is no message, or could be two; it is dropped"
            );
            return Ok(on(Said::Dropped));
        };
        if let Some(method) = members.get("method").and_then(Value::as_str) {
            let params = members.get("params").and_then(Value::as_object);
            let said = if members.contains_key("id") { self.asked(method) } else { self.notified(method, params)? };
            return Ok(on(said));
        }
        if members.get("id") != Some(&self.request.id) {
            // An error whose request could not be read has no id.
            let error = members.contains_key("error") && members.get("id").is_none_or(Value::is_null);
            return Ok(if error { Verdict { said: Said::Asis, last: true } } else { on(Said::Dropped) });
        }
        Ok(Verdict { said: self.answered(members)?, last: true })
    }

    fn answered(&self, mut members: Map<String, Value>) -> Result<Said, Fault> {
        let Some(Value::Object(result)) = members.get_mut("result") else { return Ok(Said::Asis) };
        self.wants(result)?;
        let changed = match list_of(&self.request.method) {
            Some((list, name)) => self.cut(result, list, name)?,
            None => false,
        };
        // What one caller may see is for no other's cache.
        let public = result.get("cacheScope").is_some_and(|scope| scope != "private");
        if public {
            result.insert("cacheScope".into(), json!("private"));
        }
        Ok(if changed || public { Said::Changed(Value::Object(members)) } else { Said::Asis })
    }

    /// A result that wants something of the client first (MCP 2026-07-28, multi round-trip requests).
    fn wants(&self, result: &Map<String, Value>) -> Result<(), Fault> {
        let wanted = result.get("inputRequests").and_then(Value::as_object).into_iter().flatten();
        let mut methods = wanted.map(|(_, request)| request.get("method").and_then(Value::as_str).unwrap_or_default());
        match methods.find(|method| !self.server_requests.iter().any(|own| own == method)) {
            Some(method) => {
                tracing::warn!(
                    resource = self.resource,
                    method,
                    "a server wants something of its client; it is refused"
                );
                let what = "the server asks its client for what this gateway does not let through";
                Err(Fault::new(http::StatusCode::OK, Some(self.request.id.clone()), DENIED, what))
            }
            None => Ok(()),
        }
    }

    fn asked(&self, method: &str) -> Said {
        let allowed = !self.request.modern && self.server_requests.iter().any(|own| own == method);
        if !allowed {
            tracing::warn!(resource = self.resource, method, "a server asked its client something; it is dropped");
        }
        if allowed { Said::Asis } else { Said::Dropped }
    }

    fn notified(&self, method: &str, params: Option<&Map<String, Value>>) -> Result<Said, Fault> {
        if method != "notifications/resources/updated" {
            return Ok(if NOTIFICATIONS.contains(&method) { Said::Asis } else { Said::Dropped });
        }
        // May have been allowed when it was subscribed to.
        let uri = params.and_then(|params| params.get("uri")).and_then(Value::as_str).unwrap_or_default();
        let view = self.decider.list_view().map_err(|error| self.undecided(&error))?;
        Ok(if self.shows(&view, Listed::Resource(uri))? { Said::Asis } else { Said::Dropped })
    }

    /// Leaves in a list what the caller may see. Says whether that is less.
    fn cut(&self, result: &mut Map<String, Value>, list: &str, name: &str) -> Result<bool, Fault> {
        let Some(Value::Array(items)) = result.get_mut(list) else { return Ok(false) };
        if items.len() > ITEMS_MAX {
            tracing::error!(resource = self.resource, count = items.len(), "a list has over {ITEMS_MAX} items");
            return Err(internal(self.request));
        }
        let view = self.decider.list_view().map_err(|error| self.undecided(&error))?;
        let before = items.len();
        let mut kept = Vec::with_capacity(before);
        for item in items.drain(..) {
            let named = item.get(name).and_then(Value::as_str).map(|text| match list {
                "tools" => Listed::Tool(text),
                "resources" => Listed::Resource(text),
                "prompts" => Listed::Prompt(text),
                _ => Listed::Template(text),
            });
            let shown = match named {
                Some(listed) => self.shows(&view, listed)?,
                None => false,
            };
            if shown {
                kept.push(item);
            }
        }
        *items = kept;
        let shown = items.len();
        let recorded =
            self.decider.record_shown(self.asker, self.resource, &self.request.method, shown, Some(before - shown));
        recorded.map_err(|()| internal(self.request))?;
        Ok(shown < before)
    }

    fn shows(&self, view: &View, listed: Listed<'_>) -> Result<bool, Fault> {
        self.decider.shows(view, self.policy, self.asker, listed).map_err(|error| self.undecided(&error))
    }

    fn undecided(&self, error: &QuestionError) -> Fault {
        tracing::error!(trace = self.asker.trace, "no decision on what a server said: {error}");
        internal(self.request)
    }
}
