//! MCP: messages, streams, URIs and policies, without the engine that decides.

pub mod client;
#[path = "../../../src/modules/mcp/message.rs"]
mod message;
#[path = "../../../src/modules/mcp/policy.rs"]
mod policy;
#[path = "../../../src/modules/mcp/resource.rs"]
mod resource;
#[path = "../../../src/modules/mcp/sse.rs"]
mod sse;
#[path = "../../../src/modules/mcp/template.rs"]
mod template;

pub use message::VERSIONS;
pub use policy::{Policy, PolicySpec};

use serde_json::{Map, Value};

/// As `mod.rs` has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A request.
    Request {
        /// Its id.
        id: Value,
        /// Its method.
        method: String,
        /// Its parameters.
        params: Map<String, Value>,
        /// Whether it speaks the version without sessions.
        modern: bool,
    },
    /// Wants no answer.
    Notification(String),
    /// Answers the server.
    Answer,
    /// What is answered to what is none.
    Fault {
        /// The HTTP status.
        status: u16,
        /// The message.
        body: Value,
    },
}

/// Reads a message with the headers that mirror it.
pub fn read(headers: &http::HeaderMap, body: &[u8]) -> Read {
    match message::Message::read(headers, body) {
        Ok(message::Message::Request(message::Request { id, method, params, modern })) => {
            Read::Request { id, method, params, modern }
        }
        Ok(message::Message::Notification { method }) => Read::Notification(method),
        Ok(message::Message::Answer) => Read::Answer,
        Err(fault) => Read::Fault { status: fault.status.as_u16(), body: fault.body() },
    }
}

/// What a server's message says, when every reader reads it alike.
pub fn unmistakable(body: &[u8]) -> Option<Map<String, Value>> {
    message::unmistakable(body)
}

/// An event: id, data, when to come again.
pub type Event = (Option<String>, String, Option<u64>);

/// The events of a stream that comes in parts. `None` when it is none.
pub fn events<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Event>> {
    let (mut splitter, mut events) = (sse::Splitter::default(), Vec::new());
    for part in parts {
        splitter.feed(part);
        while let Some(event) = splitter.next().ok()? {
            events.push((event.id, event.data, event.retry));
        }
    }
    Some(events)
}

/// An event as it is sent.
pub fn written(event: &Event) -> Vec<u8> {
    let (id, data, retry) = event.clone();
    sse::SseEvent { id, data, retry }.written()
}

/// A template of URIs or of ids.
pub struct Template(template::Template);

impl Template {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Template> {
        template::Template::parse(text).ok().map(Template)
    }

    /// Its names.
    pub fn names(&self) -> Vec<String> {
        self.0.names().map(str::to_owned).collect()
    }

    /// What stands in a URI for its names.
    pub fn matches(&self, uri: &str) -> Option<Vec<(String, String)>> {
        self.0.matches(uri)
    }

    /// The URI of values.
    pub fn uri(&self, values: &[(String, String)]) -> Option<String> {
        self.0.uri(|name| values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())).ok()
    }

    /// The id of a value that stands for every name.
    pub fn id(&self, value: &str) -> Option<String> {
        self.0.id(|_| Some(value.to_owned())).ok()
    }
}

/// What a policy asks for a request: objects and relations. `None` when it refuses it; nothing within when it lets it pass.
pub fn needs(
    policy: &Policy,
    (method, modern): (&str, bool),
    params: &Map<String, Value>,
) -> Option<Option<Vec<(String, String)>>> {
    let request = message::Request { id: 1.into(), method: method.to_owned(), params: params.clone(), modern };
    let needs = policy.needs(&request).ok()?;
    let asked = |needs: policy::Needs| {
        needs.questions.into_iter().map(|question| (question.object.to_string(), question.relation)).collect()
    };
    Some(needs.map(asked))
}

/// The types and relations that a policy asks about.
pub fn asks(policy: &Policy) -> Vec<(&str, &str)> {
    policy.asks().collect()
}
