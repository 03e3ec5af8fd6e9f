//! The way to a server behind the gateway: what of a request goes on, and what of its answer comes back.
//!
//! Nothing of the caller's that could be a credential goes on: headers are named that do, all others stay.

mod http;

pub(super) use self::http::{Gateway, Open, Way};
pub use self::http::{NoUpstream, Upstream, UpstreamError};

use super::SettingsError;
use super::policy::PolicySpec;
use super::resource::server_url;
use ::http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Headers of a caller that a server behind the gateway sees, besides `Mcp-Param-…` and the session.
const FORWARDED: [&str; 5] = ["mcp-protocol-version", "mcp-method", "mcp-name", "traceparent", "tracestate"];
/// Headers of tool parameters (MCP 2026-07-28, custom headers).
const PARAMETERS: &str = "mcp-param-";
/// Requests that a server may send to a client, in any version.
const SERVER_REQUESTS: [&str; 3] = ["sampling/createMessage", "elicitation/create", "roots/list"];

/// A server behind the gateway. It needs no code for this.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GatewaySpec {
    /// Its MCP endpoint.
    pub url: String,
    /// The connection whose credential it wants, for the program's [`Upstream`].
    #[serde(default)]
    pub connection: Option<String>,
    /// What its calls need.
    pub policy: PolicySpec,
    /// What it may ask of its client: `sampling/createMessage`, `elicitation/create`, `roots/list`. None unless named.
    #[serde(default)]
    pub server_requests: Vec<String>,
    /// Longest answer in bytes.
    #[serde(default = "answer_bytes_max")]
    pub answer_bytes_max: usize,
    /// How long it may take until it begins to answer, and until the answer is whole, in seconds.
    #[serde(default = "answer_seconds_max")]
    pub answer_seconds_max: u64,
    /// How long a stream of notifications may last, in seconds. Then the client asks again, and is judged again.
    #[serde(default = "stream_seconds_max")]
    pub stream_seconds_max: u64,
    /// How long a client may take nothing of a stream that waits for it, in seconds; then it is cut off.
    #[serde(default = "stalled_seconds_max")]
    pub stalled_seconds_max: u64,
}

fn answer_bytes_max() -> usize {
    16 << 20
}

fn answer_seconds_max() -> u64 {
    120
}

fn stream_seconds_max() -> u64 {
    600
}

fn stalled_seconds_max() -> u64 {
    30
}

impl GatewaySpec {
    pub(super) fn verify(&self) -> Result<(), SettingsError> {
        server_url("the server behind the gateway", &self.url)?;
        if let Some(other) = self.server_requests.iter().find(|method| !SERVER_REQUESTS.contains(&method.as_str())) {
            let known = SERVER_REQUESTS.join(", ");
            return Err(SettingsError(format!("a server may not ask for `{other}`; it may ask for {known}")));
        }
        let times = [self.answer_seconds_max, self.stream_seconds_max, self.stalled_seconds_max];
        if self.answer_bytes_max == 0 || times.contains(&0) {
            return Err(SettingsError(format!("the bounds of `{}` are 0; then nothing can be answered", self.url)));
        }
        Ok(())
    }

    /// How long the whole answer of a method may take.
    fn time(&self, method: &str) -> Duration {
        let streams = method == "subscriptions/listen";
        Duration::from_secs(if streams { self.stream_seconds_max } else { self.answer_seconds_max })
    }
}

/// The headers that go on.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut on = HeaderMap::new();
    for (name, value) in headers {
        if FORWARDED.contains(&name.as_str()) || name.as_str().starts_with(PARAMETERS) {
            on.append(name.clone(), value.clone());
        }
    }
    on.insert("content-type", HeaderValue::from_static("application/json"));
    on.insert("accept", HeaderValue::from_static("application/json, text/event-stream"));
    on
}

/// The name of the header of sessions.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A handshake in which the client offers no more than the server may ask for. `None`: as it is.
fn modest(body: &[u8], server_requests: &[String]) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(body).ok()?;
    let capabilities = message.get_mut("params")?.get_mut("capabilities")?.as_object_mut()?;
    let before = capabilities.len();
    for method in SERVER_REQUESTS.iter().filter(|method| !server_requests.iter().any(|own| own == *method)) {
        capabilities.shift_remove(method.split('/').next().unwrap_or_default());
    }
    (capabilities.len() < before).then(|| message.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_named_headers_go_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("dpop", "proof"),
            ("cookie", "a=b"),
            ("proxy-authorization", "Basic x"),
            ("x-forwarded-for", "192.0.2.1"),
            ("mcp-session-id", "bound"),
            ("mcp-method", "tools/call"),
            ("mcp-param-region", "eu"),
            ("traceparent", "00-1"),
            ("accept", "text/html"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let on = forwarded(&headers);
        let mut names: Vec<&str> = on.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-type", "mcp-method", "mcp-param-region", "traceparent"]);
        assert_eq!(on["accept"], "application/json, text/event-stream");
    }

    #[test]
    fn a_client_offers_what_the_server_may_ask_for() {
        let body =
            json!({"params": {"capabilities": {"sampling": {}, "roots": {}, "elicitation": {}, "x": {}}}}).to_string();
        let named = |methods: &[&str]| {
            let methods: Vec<String> = methods.iter().map(|m| (*m).to_owned()).collect();
            let changed = modest(body.as_bytes(), &methods)?;
            let value: Value = serde_json::from_slice(&changed).unwrap();
            Some(value["params"]["capabilities"].clone())
        };
        assert_eq!(named(&[]), Some(json!({"x": {}})));
        assert_eq!(named(&["roots/list"]), Some(json!({"roots": {}, "x": {}})));
        assert_eq!(named(&SERVER_REQUESTS), None, "nothing to change");
    }
}
