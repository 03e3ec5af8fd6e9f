//! What is said to an MCP server, in the versions that we speak: who is there, which tools, and calls of them.

use super::fault::{ClientError, shown};
use super::flow::Flow;
use super::http::{self, Answering, Heard};
use super::mirror::{encoded, marks, mirrored};
use super::{Around, ToolCall, Trial};
use crate::modules::mcp::message::VERSIONS;
use serde_json::{Map, Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

/// Most pages of a list.
pub const PAGES_MAX: usize = 32;
/// Most tools that are listed.
pub const TOOLS_MAX: usize = 1_024;
/// Most calls of a trial.
pub const CALLS_MAX: usize = 32;
/// How often a message is sent: refusals between are done something about.
const SENDS_MAX: usize = 12;
/// How often a call is interrupted by questions (MRTR).
const QUESTIONS_MAX: usize = 4;
/// How often a stream that ended is taken up again.
const RESUMES_MAX: usize = 3;
/// How long a server may have us wait before that.
const RETRY_MAX: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
/// The version without sessions.
const MODERN: &str = "2026-07-28";
const META: &str = "io.modelcontextprotocol/";
const UNSUPPORTED_VERSION: i64 = -32_022;
const METHOD_NOT_FOUND: i64 = -32_601;

/// What a client saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The version of the protocol.
    pub version: &'static str,
    /// What the server says of itself.
    pub server: Value,
    /// Its tools, letter for letter.
    pub tools: Vec<Value>,
    /// What became of each call.
    pub calls: Vec<Value>,
    /// Whether all of them went well.
    pub all_well: bool,
}

impl Seen {
    /// As a program reads it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"protocol": self.version, "server": self.server, "tools": self.tools, "calls": self.calls})
    }
}

/// Tries a server.
///
/// # Errors
/// Why it ends, and what to do.
pub async fn attempt(trial: &Trial, around: Around<'_>) -> Result<Seen, ClientError> {
    let flow = Flow::new(trial, around);
    let mut session = Session { trial, around, flow, version: MODERN, id: None, next: 0 };
    let done = session.run().await;
    session.leave().await;
    done
}

struct Session<'a> {
    trial: &'a Trial,
    around: Around<'a>,
    flow: Flow<'a>,
    version: &'static str,
    /// The session, where there is one.
    id: Option<String>,
    next: u64,
}

/// What a request was answered with.
enum Reply {
    Result(Value),
    Error {
        status: u16,
        code: i64,
        said: String,
        data: Value,
    },
    /// No message at all.
    Nothing(u16),
}

impl Reply {
    fn result(self, method: &str) -> Result<Value, ClientError> {
        match self {
            Reply::Result(value) => Ok(value),
            Reply::Error { code, said, .. } => Err(ClientError::Rpc { method: method.to_owned(), code, said }),
            Reply::Nothing(status) => Err(ClientError::Status {
                what: "the MCP server".into(),
                status,
                said: format!(" to {method}, without a message"),
            }),
        }
    }
}

/// Our version that a server named, the newest first.
fn spoken(theirs: &Value) -> Option<&'static str> {
    let theirs: Vec<&str> = theirs.as_array()?.iter().filter_map(Value::as_str).collect();
    VERSIONS.into_iter().find(|ours| theirs.contains(ours))
}

impl Session<'_> {
    fn step(&self, title: &str) {
        self.around.teller.step(title);
    }

    fn says(&self, text: &str) {
        self.around.teller.says(text);
    }

    async fn run(&mut self) -> Result<Seen, ClientError> {
        let server = self.meet().await?;
        let mut tools = self.tools().await?;
        if self.trial.refresh {
            self.flow.refresh_now().await?;
            tools = self.tools().await?;
        }
        let (mut calls, mut all_well) = (Vec::new(), true);
        for call in self.trial.calls.iter().take(CALLS_MAX) {
            let done = self.call(&tools, call).await;
            all_well &= matches!(&done, Ok(result) if result.get("isError") != Some(&json!(true)));
            match done {
                Ok(result) => calls.push(json!({"name": call.name, "result": result})),
                Err(ClientError::Rpc { code, said, .. }) => {
                    self.says(&format!("refused: {said} ({code})"));
                    calls.push(json!({"name": call.name, "error": {"code": code, "message": said}}));
                }
                Err(ClientError::Wrong(why)) => {
                    self.says(&why);
                    calls.push(json!({"name": call.name, "not_called": why}));
                }
                Err(error) => return Err(error),
            }
        }
        if !self.flow.has_token() {
            self.says("the server wanted no token for any of this");
        }
        Ok(Seen { version: self.version, server, tools, calls, all_well })
    }

    /// Finds a version that both speak.
    async fn meet(&mut self) -> Result<Value, ClientError> {
        let wanted = self.trial.version.unwrap_or(MODERN);
        if wanted != MODERN {
            return self.initialize(wanted).await;
        }
        for _ in 0..2 {
            self.step(&format!("Who is there: server/discover ({MODERN}) at {}", shown(self.trial.url.as_str())));
            match self.ask("server/discover", Map::new(), &[]).await? {
                Reply::Result(said) => {
                    if said.get("supportedVersions").is_some_and(|all| spoken(all) != Some(MODERN)) {
                        return self.older(said.get("supportedVersions").unwrap_or(&Value::Null)).await;
                    }
                    return Ok(self.met(&said));
                }
                Reply::Error { code: UNSUPPORTED_VERSION, data, .. } => {
                    let theirs = data.get("supported").unwrap_or(&Value::Null);
                    self.says(&format!("it speaks {}", shown(&theirs.to_string())));
                    if spoken(theirs) != Some(MODERN) {
                        return self.older(theirs).await;
                    }
                }
                Reply::Error { status, code, said, .. } if status == 400 || code == METHOD_NOT_FOUND => {
                    self.says(&format!("it does not know this version: {said} ({code})"));
                    return self.fall_back().await;
                }
                Reply::Nothing(status @ (400 | 404 | 405 | 406 | 415)) => {
                    self.says(&format!("{status}: it does not know this version"));
                    return self.fall_back().await;
                }
                other @ (Reply::Error { .. } | Reply::Nothing(_)) => {
                    return other.result("server/discover").map(|said| self.met(&said));
                }
            }
        }
        let ours = VERSIONS.join(", ");
        Err(ClientError::Version { theirs: "a version that it refuses".into(), ours })
    }

    async fn fall_back(&mut self) -> Result<Value, ClientError> {
        match VERSIONS.get(1).filter(|_| self.trial.version.is_none()) {
            Some(older) => self.initialize(older).await,
            None => Err(ClientError::Version { theirs: "an older version".into(), ours: MODERN.into() }),
        }
    }

    async fn older(&mut self, theirs: &Value) -> Result<Value, ClientError> {
        match spoken(theirs).filter(|_| self.trial.version.is_none()) {
            Some(older) => self.initialize(older).await,
            None => Err(ClientError::Version {
                theirs: shown(&theirs.to_string()),
                ours: self.trial.version.map_or_else(|| VERSIONS.join(", "), str::to_owned),
            }),
        }
    }

    fn met(&self, said: &Value) -> Value {
        let name = |name: &str| said.pointer(name).and_then(Value::as_str).map(shown).unwrap_or_default();
        let can: Vec<String> = said
            .get("capabilities")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| shown(name))
            .collect();
        let can = if can.is_empty() { "nothing".to_owned() } else { can.join(", ") };
        self.says(&format!("{} {}, which has {can}", name("/serverInfo/name"), name("/serverInfo/version")));
        said.clone()
    }

    /// The handshake of the versions with sessions.
    async fn initialize(&mut self, version: &'static str) -> Result<Value, ClientError> {
        self.version = version;
        self.step(&format!("Who is there: initialize ({version}) at {}", shown(self.trial.url.as_str())));
        let params = json!({"protocolVersion": version, "capabilities": self.capabilities(), "clientInfo": info()});
        let said = self.ask("initialize", object(params), &[]).await?.result("initialize")?;
        let theirs = said.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        let known = VERSIONS.into_iter().find(|ours| *ours == theirs && *ours != MODERN);
        let version = known.ok_or_else(|| ClientError::Version { theirs: shown(theirs), ours: VERSIONS.join(", ") })?;
        self.version = version;
        self.notify("notifications/initialized").await?;
        Ok(self.met(&said))
    }

    fn capabilities(&self) -> Value {
        if self.trial.accept { json!({"elicitation": {}}) } else { json!({}) }
    }

    async fn tools(&mut self) -> Result<Vec<Value>, ClientError> {
        let (mut tools, mut cursor) = (Vec::new(), None::<Value>);
        self.step("Which tools: tools/list");
        for _ in 0..PAGES_MAX {
            let mut params = Map::new();
            params.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let mut page = match self.ask("tools/list", params, &[]).await? {
                Reply::Error { code: METHOD_NOT_FOUND, .. } => {
                    self.says("it has none");
                    return Ok(tools);
                }
                other @ (Reply::Result(_) | Reply::Error { .. } | Reply::Nothing(_)) => other.result("tools/list")?,
            };
            let Some(Value::Array(more)) = page.get_mut("tools").map(Value::take) else {
                return Err(ClientError::malformed("the answer to tools/list", "it has no list `tools`"));
            };
            tools.extend(more);
            if tools.len() > TOOLS_MAX {
                return Err(ClientError::malformed(
                    "the answer to tools/list",
                    format!("it has more than {TOOLS_MAX} tools"),
                ));
            }
            match page.get("nextCursor") {
                Some(next @ Value::String(_)) => cursor = Some(next.clone()),
                Some(_) | None => {
                    self.tell(&tools);
                    return Ok(tools);
                }
            }
        }
        Err(ClientError::malformed("the answer to tools/list", format!("it has more than {PAGES_MAX} pages")))
    }

    fn tell(&self, tools: &[Value]) {
        if tools.is_empty() {
            self.says("it has none, or none for us");
        }
        for tool in tools {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            let about = tool.get("description").and_then(Value::as_str).unwrap_or_default();
            let wrong = marks(tool.get("inputSchema").unwrap_or(&Value::Null)).err().filter(|_| self.version == MODERN);
            let wrong = wrong.map(|why| format!(" [not to be called: {why}]")).unwrap_or_default();
            self.says(&format!("{}{wrong}: {}", shown(name), shown(about.lines().next().unwrap_or_default())));
        }
    }

    /// Calls a tool, and answers what it is asked meanwhile.
    async fn call(&mut self, tools: &[Value], call: &ToolCall) -> Result<Value, ClientError> {
        self.step(&format!("A call: {}", shown(&call.name)));
        let named = |tool: &&Value| tool.get("name").and_then(Value::as_str) == Some(call.name.as_str());
        let mut headers = Vec::new();
        match tools.iter().find(named) {
            None => self.says("the list does not have it, or not for us; it is called all the same"),
            Some(tool) if self.version == MODERN => {
                let schema = tool.get("inputSchema").unwrap_or(&Value::Null);
                let marks = marks(schema).map_err(|why| ClientError::Wrong(format!("it is not called: {why}")))?;
                headers = mirrored(&marks, &call.arguments);
            }
            Some(_) => {}
        }
        let mut params = Map::new();
        params.insert("name".into(), call.name.as_str().into());
        params.insert("arguments".into(), Value::Object(call.arguments.clone()));
        for _ in 0..QUESTIONS_MAX {
            let result = self.ask("tools/call", params.clone(), &headers).await?.result("tools/call")?;
            if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
                self.tell_result(&result);
                return Ok(result);
            }
            let questions = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
            let mut answers = Map::new();
            for (name, question) in &questions {
                answers.insert(name.clone(), self.reply(question).map_err(ClientError::Wrong)?);
            }
            params.insert("inputResponses".into(), Value::Object(answers));
            params.remove("requestState");
            params.extend(result.get("requestState").map(|state| ("requestState".to_owned(), state.clone())));
        }
        Err(ClientError::Wrong(format!("the server asked {QUESTIONS_MAX} times before it answered")))
    }

    fn tell_result(&self, result: &Value) {
        if result.get("isError") == Some(&json!(true)) {
            self.says("the tool says that it failed");
        }
        for part in result.get("content").and_then(Value::as_array).into_iter().flatten() {
            let text = part.get("text").and_then(Value::as_str);
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("something");
            self.says(&text.map_or_else(|| format!("[{}]", shown(kind)), shown));
        }
    }

    /// Answers a question of the server.
    fn reply(&self, question: &Value) -> Result<Value, String> {
        let method = question.get("method").and_then(Value::as_str).unwrap_or_default();
        match method {
            "elicitation/create" if self.trial.accept => {
                self.says("it asks a person something, which is answered with the defaults of its form");
                let form = question.pointer("/params/requestedSchema/properties").and_then(Value::as_object);
                let default = |(name, field): (&String, &Value)| Some((name.clone(), field.get("default")?.clone()));
                let content: Map<String, Value> = form.into_iter().flatten().filter_map(default).collect();
                Ok(json!({"action": "accept", "content": content}))
            }
            "elicitation/create" => {
                self.says("it asks a person something, which is declined; say --accept-defaults to answer with the defaults of its form");
                Ok(json!({"action": "decline"}))
            }
            "ping" => Ok(json!({})),
            other => Err(format!("it asks for `{}`, which this client does not do", shown(other))),
        }
    }

    /// The headers of a message.
    fn headers(&self, method: &str, name: Option<&str>, more: &[(String, String)]) -> Vec<(String, Zeroizing<String>)> {
        let mut headers = Vec::new();
        let mut put = |name: &str, value: &str| headers.push((name.to_owned(), Zeroizing::new(value.to_owned())));
        if method != "initialize" {
            put("mcp-protocol-version", self.version);
        }
        if self.version == MODERN {
            put("mcp-method", method);
            if let Some(name) = name {
                put("mcp-name", &encoded(name));
            }
            for (name, value) in more {
                put(&format!("mcp-param-{}", name.to_ascii_lowercase()), value);
            }
        } else if let Some(id) = &self.id {
            put("mcp-session-id", id);
        }
        headers
    }

    /// Sends a message until it is let through, with the token that there is then.
    async fn send(&mut self, headers: &[(String, Zeroizing<String>)], body: &Value) -> Result<Answering, ClientError> {
        let url = &self.trial.url;
        for _ in 0..SENDS_MAX {
            let mut sent = headers.to_vec();
            sent.extend(self.flow.shows("POST", url)?.into_iter().map(|(name, value)| (name.to_owned(), value)));
            let answer = http::message(self.around.outgoing, url, &sent, Some(body.to_string())).await?;
            if !matches!(answer.status, 401 | 403) {
                if answer.status < 300 {
                    self.flow.worked();
                }
                return Ok(answer);
            }
            self.flow.satisfy(&answer.whole().await?).await?;
            self.says(&format!("{} again", body.get("method").and_then(Value::as_str).unwrap_or("the answer")));
        }
        Err(ClientError::Rounds { rounds: SENDS_MAX })
    }

    async fn notify(&mut self, method: &str) -> Result<(), ClientError> {
        let headers = self.headers(method, None, &[]);
        let answer = self.send(&headers, &json!({"jsonrpc": "2.0", "method": method})).await?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(ClientError::Status { what: "the MCP server".into(), status, said: format!(" to {method}") }),
        }
    }

    /// Asks something.
    async fn ask(
        &mut self,
        method: &str,
        mut params: Map<String, Value>,
        more: &[(String, String)],
    ) -> Result<Reply, ClientError> {
        self.next += 1;
        let id = self.next;
        let name = params.get("name").and_then(Value::as_str).filter(|_| method == "tools/call").map(str::to_owned);
        if self.version == MODERN {
            let mut meta = Map::new();
            meta.insert(format!("{META}protocolVersion"), self.version.into());
            meta.insert(format!("{META}clientCapabilities"), self.capabilities());
            meta.insert(format!("{META}clientInfo"), info());
            params.insert("_meta".into(), Value::Object(meta));
        }
        let mut body = json!({"jsonrpc": "2.0", "id": id, "method": method});
        if let Some(members) = body.as_object_mut().filter(|_| !params.is_empty()) {
            members.insert("params".into(), Value::Object(params));
        }
        let headers = self.headers(method, name.as_deref(), more);
        let answer = self.send(&headers, &body).await?;
        if method == "initialize" {
            let id = answer.headers.get("mcp-session-id").and_then(|id| id.to_str().ok());
            self.id = id.filter(|id| id.len() <= 1_024).map(str::to_owned);
        }
        if answer.is_stream() && answer.status == 200 {
            return self.stream(answer, id).await;
        }
        let Heard { status, body, .. } = answer.whole().await?;
        let message =
            serde_json::from_slice::<Value>(&body).ok().filter(|message| message.get("jsonrpc") == Some(&json!("2.0")));
        Ok(match message {
            Some(message) if status != 200 || message.get("id") == Some(&json!(id)) => reply_of(status, message),
            Some(_) => return Err(ClientError::malformed("the answer", "it has the `id` of another request")),
            None if status == 200 => return Err(ClientError::malformed("the answer", "it is no JSON-RPC message")),
            None => Reply::Nothing(status),
        })
    }

    /// Reads events until the answer is there.
    async fn stream(&mut self, mut answer: Answering, id: u64) -> Result<Reply, ClientError> {
        let (mut last, mut retry, mut resumed) = (None::<String>, RETRY, 0);
        loop {
            while let Some(event) = answer.event().await? {
                last = event.id.filter(|id| !id.is_empty()).or(last);
                retry = event.retry.map_or(retry, |ms| Duration::from_millis(ms).min(RETRY_MAX));
                if event.data.trim().is_empty() {
                    continue;
                }
                let message: Value = serde_json::from_str(&event.data)
                    .map_err(|error| ClientError::malformed("an event of the stream", error.to_string()))?;
                match (message.get("method"), message.get("id")) {
                    (None, Some(own)) if *own == json!(id) => return Ok(reply_of(200, message)),
                    (Some(_), Some(asked)) => self.answer(asked.clone(), &message).await?,
                    _ => {}
                }
            }
            let Some(last) = last.as_deref().filter(|_| self.version != MODERN && resumed < RESUMES_MAX) else {
                return Err(ClientError::malformed("the stream", "it ended without the answer"));
            };
            self.says("the stream ended before the answer, and is taken up where it ended");
            resumed += 1;
            http::pause(retry).await;
            let mut sent = self.headers("", None, &[]);
            sent.push(("last-event-id".into(), Zeroizing::new(last.to_owned())));
            sent.extend(
                self.flow.shows("GET", &self.trial.url)?.into_iter().map(|(name, value)| (name.to_owned(), value)),
            );
            answer = http::message(self.around.outgoing, &self.trial.url, &sent, None).await?;
            if answer.status != 200 {
                return Err(ClientError::Status {
                    what: "the stream that ended".into(),
                    status: answer.status,
                    said: String::new(),
                });
            }
        }
    }

    /// Answers what the server asks in the middle of a call (versions with sessions).
    async fn answer(&mut self, id: Value, question: &Value) -> Result<(), ClientError> {
        let mut body = match self.reply(question) {
            Ok(result) => json!({"jsonrpc": "2.0", "result": result}),
            Err(why) => json!({"jsonrpc": "2.0", "error": {"code": METHOD_NOT_FOUND, "message": why}}),
        };
        if let Some(members) = body.as_object_mut() {
            members.insert("id".into(), id);
        }
        let headers = self.headers("", None, &[]);
        // Boxed, because what is sent may itself be what a stream asks for.
        let answer = Box::pin(self.send(&headers, &body)).await?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(ClientError::Status { what: "the MCP server".into(), status, said: " to our answer".into() }),
        }
    }

    async fn leave(&mut self) {
        if self.id.is_some() {
            let mut sent = self.headers("", None, &[]);
            let shows = self.flow.shows("DELETE", &self.trial.url).unwrap_or_default();
            sent.extend(shows.into_iter().map(|(name, value)| (name.to_owned(), value)));
            http::leave(self.around.outgoing, &self.trial.url, &sent).await;
        }
    }
}

fn reply_of(status: u16, mut message: Value) -> Reply {
    if let Some(error) = message.get_mut("error") {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let said = error.get("message").and_then(Value::as_str).map(shown).unwrap_or_default();
        let data = error.get_mut("data").map(Value::take).unwrap_or_default();
        return Reply::Error { status, code, said, data };
    }
    message.get_mut("result").map(Value::take).map_or(Reply::Nothing(status), Reply::Result)
}

fn info() -> Value {
    json!({"name": "bailiwick", "version": env!("CARGO_PKG_VERSION")})
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
