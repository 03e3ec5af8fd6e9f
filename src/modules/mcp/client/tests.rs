//! A trial against a stand-in for an MCP server and its authorization server, which does wrong what it is told to.

use super::{
    Around, ClientError, ClientGiven, Enterprise, ROUNDS_MAX, Seen, Teller, ToolCall, Trial, Visited, Visitor, Way,
    attempt, http, words,
};
use crate::identity::{Env, hash_of};
use crate::wire::{Outgoing, OutgoingError, OutgoingSettings, SystemResolver, now, random};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// What may be in no line that is told.
const SECRETS: [&str; 6] = ["token-of-", "refresh-of-", "code-of-", "sesame", "the-id-token", "the-jag"];
const PRM: &str = "/.well-known/oauth-protected-resource/mcp";
const SERVER: &str = "/.well-known/oauth-authorization-server";

/// What a request asked for, and what it gets.
type Change = fn(&Stand, &str, &mut Reply);

#[derive(Clone, Debug)]
struct Asked {
    path: String,
    fields: Vec<(String, String)>,
    authorization: String,
}

impl Asked {
    fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
    /// In place of the body.
    bytes: Option<Vec<u8>>,
}

struct Stand {
    origin: String,
    asked: Mutex<Vec<Asked>>,
    /// Scopes of the newest token, and how many there were.
    given: Mutex<(Vec<String>, usize)>,
    change: Change,
}

impl Stand {
    async fn start(change: Change) -> Arc<Stand> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let stand = Arc::new(Stand { origin, asked: Mutex::default(), given: Mutex::default(), change });
        let routes = Router::new().fallback(answer).with_state(stand.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        stand
    }

    fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().iter().filter(|asked| asked.path == path).cloned().collect()
    }

    fn challenge(&self, status: u16, more: &str) -> Reply {
        let value = format!("Bearer {more}, resource_metadata=\"{}{PRM}\"", self.origin);
        Reply { status, headers: vec![("www-authenticate", value)], ..Reply::default() }
    }

    fn document(&self, path: &str, fields: &[(String, String)]) -> Reply {
        let get = |name: &str| fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value);
        let at = |path: &str| format!("{}{path}", self.origin);
        let body = match path {
            PRM => {
                json!({"resource": at("/mcp"), "authorization_servers": [self.origin], "scopes_supported": ["mcp:profile"]})
            }
            SERVER => {
                json!({"issuer": self.origin, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
                "registration_endpoint": at("/register"), "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
                "scopes_supported": ["offline_access"], "authorization_response_iss_parameter_supported": true})
            }
            "/register" => json!({"client_id": "registered"}),
            "/authorize" => {
                self.given.lock().0 = words(get("scope"));
                let mut back = Url::parse(get("redirect_uri")).unwrap();
                let number = self.given.lock().1;
                back.query_pairs_mut()
                    .append_pair("code", &format!("code-of-{number}"))
                    .append_pair("state", get("state"));
                back.query_pairs_mut().append_pair("iss", &self.origin);
                return Reply { status: 302, headers: vec![("location", back.into())], ..Reply::default() };
            }
            "/token" => {
                if get("requested_token_type").ends_with("id-jag") {
                    let body = json!({"access_token": "the-jag", "token_type": "N_A", "issued_token_type": get("requested_token_type")});
                    return Reply { status: 200, body, ..Reply::default() };
                }
                let mut given = self.given.lock();
                given.1 += 1;
                if !get("scope").is_empty() {
                    given.0 = words(get("scope"));
                }
                json!({"access_token": format!("token-of-{}", given.1), "token_type": "Bearer", "expires_in": 60,
                       "refresh_token": format!("refresh-of-{}", given.1), "scope": given.0.join(" ")})
            }
            _ => return Reply { status: 404, ..Reply::default() },
        };
        Reply { status: if path == "/register" { 201 } else { 200 }, body, ..Reply::default() }
    }

    fn message(&self, method: &str, id: &Value, authorization: &str) -> Reply {
        let (scopes, number) = self.given.lock().clone();
        if authorization.is_empty() {
            return self.challenge(401, "scope=\"mcp:read\"");
        }
        if authorization != format!("Bearer token-of-{number}") {
            return self.challenge(401, "error=\"invalid_token\"");
        }
        if method == "tools/call" && !scopes.iter().any(|scope| scope == "mcp:write") {
            return self.challenge(403, "error=\"insufficient_scope\", scope=\"mcp:write\"");
        }
        let result = match method {
            "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                                        "serverInfo": {"name": "stand\u{1b}[31m", "version": "1"}}),
            "tools/list" => {
                json!({"tools": [{"name": "add", "description": "Adds", "inputSchema": {"type": "object"}}]})
            }
            _ => json!({"content": [{"type": "text", "text": "3"}]}),
        };
        Reply { status: 200, body: json!({"jsonrpc": "2.0", "id": id, "result": result}), ..Reply::default() }
    }
}

async fn answer(State(stand): State<Arc<Stand>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    let form = if query.is_empty() { body.to_vec() } else { query.into_bytes() };
    let fields: Vec<_> = form_urlencoded::parse(&form).into_owned().collect();
    let header =
        |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let authorization = header("authorization");
    let mut reply = if path == "/mcp" {
        stand.message(&method, &message["id"], &authorization)
    } else {
        stand.document(&path, &fields)
    };
    stand.asked.lock().push(Asked { path: path.clone(), fields, authorization });
    let what = if path == "/mcp" { method } else { path };
    (stand.change)(&stand, &what, &mut reply);
    let bytes = reply
        .bytes
        .unwrap_or_else(|| if reply.body.is_null() { Vec::new() } else { reply.body.to_string().into_bytes() });
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), bytes).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Teller for Lines {
    fn step(&self, title: &str) {
        self.says(title);
    }

    fn says(&self, text: &str) {
        assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "a secret is told: {text}");
        assert!(!text.chars().any(crate::wire::is_hidden), "{text:?}");
        self.0.lock().push(text.to_owned());
    }
}

struct Follows(Outgoing, Url);

impl Visitor for Follows {
    fn redirect_uri(&self) -> &Url {
        &self.1
    }

    fn visit<'a>(&'a self, url: &'a Url) -> Visited<'a> {
        Box::pin(http::follow(&self.0, url, &self.1))
    }
}

fn trial(stand: &Stand) -> Trial {
    Trial {
        url: Url::parse(&format!("{}/mcp", stand.origin)).unwrap(),
        version: None,
        issuer: None,
        client: ClientGiven::default(),
        way: Way::Person,
        scopes: Vec::new(),
        dpop: false,
        refresh: false,
        accept: false,
        calls: vec![ToolCall { name: "add".into(), arguments: Map::new() }],
    }
}

async fn run(trial: &Trial) -> (Result<Seen, ClientError>, Vec<String>) {
    let settings = OutgoingSettings { loopback: true, ..OutgoingSettings::default() };
    let outgoing = Outgoing::new(settings, SystemResolver).unwrap();
    let visitor = Follows(outgoing.clone(), Url::parse("http://127.0.0.1:9/callback").unwrap());
    let (lines, env) = (Lines::default(), || Env::new(now(), &random));
    let around = Around { outgoing: &outgoing, teller: &lines, visitor: &visitor, env: &env };
    let done = attempt(trial, around).await;
    if let Err(error) = &done {
        let text = error.to_string();
        assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "a secret is told: {text}");
    }
    (done, lines.0.into_inner())
}

async fn refused(change: Change) -> (ClientError, Arc<Stand>) {
    let stand = Stand::start(change).await;
    let error = run(&trial(&stand)).await.0.expect_err("it is refused");
    (error, stand)
}

#[tokio::test]
async fn a_token_is_had_and_then_one_with_more_scopes_and_those_before() {
    let stand = Stand::start(|_, _, _| {}).await;
    let (seen, lines) = run(&trial(&stand)).await;
    let seen = seen.unwrap();
    assert!(seen.all_well && seen.version == "2026-07-28" && seen.calls[0]["result"]["content"][0]["text"] == "3");
    let [first, second] = &stand.asked("/authorize")[..] else { panic!("two requests") };
    assert_eq!(first.get("scope"), "mcp:read offline_access", "those of the challenge, and no others of the metadata");
    assert_eq!(second.get("scope"), "mcp:read offline_access mcp:write");
    let resource = format!("{}/mcp", stand.origin);
    let tokens = stand.asked("/token");
    for (request, token) in [(first, &tokens[0]), (second, &tokens[1])] {
        assert_eq!((request.get("code_challenge_method"), request.get("response_type")), ("S256", "code"));
        assert_eq!(request.get("code_challenge"), hash_of(token.get("code_verifier")));
        assert_eq!((request.get("resource"), token.get("resource")), (resource.as_str(), resource.as_str()));
        assert_eq!((request.get("client_id"), token.get("client_id")), ("registered", "registered"));
    }
    assert!(first.get("state") != second.get("state") && first.get("code_challenge") != second.get("code_challenge"));
    assert_eq!(stand.asked("/register").len(), 1, "it stays the same client");
    let told = lines.join("\n");
    assert!(told.contains("stand⟨U+001B⟩[31m 1, which has tools") && told.contains("add: Adds"), "{told}");
}

#[tokio::test]
async fn metadata_of_somebody_else_lead_nowhere() {
    let (error, stand) = refused(|_, what, reply| {
        if what == PRM {
            reply.body["resource"] = json!("https://evil.example/mcp");
        }
    })
    .await;
    assert!(matches!(error, ClientError::Resource { .. }), "{error}");
    assert!(stand.asked(SERVER).is_empty());
    let (error, stand) = refused(|_, what, reply| {
        if what == SERVER {
            reply.body["issuer"] = json!("https://attacker.example");
        }
    })
    .await;
    assert!(matches!(error, ClientError::Issuer { .. }), "{error}");
    assert!(stand.asked("/register").is_empty() && stand.asked("/authorize").is_empty());
}

#[tokio::test]
async fn without_pkce_nobody_is_sent_there() {
    for change in [
        (|_, what, reply| {
            if what == SERVER {
                reply.body.as_object_mut().unwrap().remove("code_challenge_methods_supported");
            }
        }) as Change,
        |_, what, reply| {
            if what == SERVER {
                reply.body["code_challenge_methods_supported"] = json!(["plain"]);
            }
        },
    ] {
        let (error, stand) = refused(change).await;
        assert!(
            matches!(error, ClientError::NoPkce { .. }) && error.to_string().contains("have `code_challenge"),
            "{error}"
        );
        assert!(stand.asked("/authorize").is_empty());
    }
}

/// Changes where the browser is sent back to.
fn back(reply: &mut Reply, name: &str, value: Option<&str>) {
    let mut url = Url::parse(&reply.headers[0].1).unwrap();
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(own, _)| own != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    reply.headers[0].1 = url.into();
}

#[tokio::test]
async fn a_code_of_another_request_or_server_is_sent_nowhere() {
    let cases: [(Change, fn(&ClientError) -> bool); 6] = [
        (
            |_, what, reply| {
                if what == "/authorize" {
                    back(reply, "state", Some("other"))
                }
            },
            |e| matches!(e, ClientError::State),
        ),
        (
            |_, what, reply| {
                if what == "/authorize" {
                    back(reply, "state", None)
                }
            },
            |e| matches!(e, ClientError::State),
        ),
        (
            |_, what, reply| {
                if what == "/authorize" {
                    back(reply, "iss", Some("https://evil.example"))
                }
            },
            |e| matches!(e, ClientError::Iss { .. }),
        ),
        (
            |stand, what, reply| {
                if what == "/authorize" {
                    back(reply, "iss", Some(&format!("{}/", stand.origin)))
                }
            },
            |e| matches!(e, ClientError::Iss { .. }),
        ),
        (
            |_, what, reply| {
                if what == "/authorize" {
                    back(reply, "iss", None)
                }
            },
            |e| matches!(e, ClientError::NoIss { .. }),
        ),
        (
            |_, what, reply| {
                if what == "/authorize" {
                    back(reply, "error", Some("access_denied"))
                }
            },
            |e| matches!(e, ClientError::Denied { .. }),
        ),
    ];
    for (change, expected) in cases {
        let (error, stand) = refused(change).await;
        assert!(expected(&error), "{error}");
        assert!(stand.asked("/token").is_empty());
    }
    // Nobody said so, but who says another is another.
    let (error, stand) = refused(|_, what, reply| match what {
        SERVER => reply.body["authorization_response_iss_parameter_supported"] = json!(false),
        "/authorize" => back(reply, "iss", Some("https://evil.example")),
        _ => {}
    })
    .await;
    assert!(matches!(error, ClientError::Iss { .. }) && stand.asked("/token").is_empty(), "{error}");
}

#[tokio::test]
async fn steps_for_more_scopes_have_an_end() {
    let (error, stand) = refused(|stand, what, reply| {
        if what == "tools/call" {
            *reply = stand.challenge(403, "error=\"insufficient_scope\", scope=\"mcp:read\"");
        }
    })
    .await;
    assert!(matches!(error, ClientError::Scopes { .. }), "what was asked for is not asked for again: {error}");
    assert_eq!(stand.asked("/authorize").len(), 1);
    let (error, stand) = refused(|stand, what, reply| {
        if what == "tools/call" {
            let more = format!("error=\"insufficient_scope\", scope=\"s{}\"", stand.given.lock().1);
            *reply = stand.challenge(403, &more);
        }
    })
    .await;
    assert!(matches!(error, ClientError::Rounds { .. }), "{error}");
    assert_eq!(stand.asked("/authorize").len(), ROUNDS_MAX);
    let (error, stand) = refused(|stand, _, reply| {
        if matches!(reply.status, 200) && reply.body.get("jsonrpc").is_some() {
            *reply = stand.challenge(401, "error=\"invalid_token\"");
        }
    })
    .await;
    assert!(matches!(error, ClientError::Useless { .. }), "a fresh token that is refused: {error}");
    assert_eq!(stand.asked("/authorize").len(), 1);
}

fn more_than(bytes: u64) -> Vec<u8> {
    vec![b' '; usize::try_from(bytes).unwrap() + 1]
}

#[tokio::test]
async fn answers_are_bounded_and_lead_nowhere() {
    let cases: [(Change, fn(&ClientError) -> bool); 6] = [
        (
            |_, what, reply| {
                if what == PRM {
                    reply.bytes = Some(more_than(http::DOCUMENT_BYTES_MAX))
                }
            },
            |e| matches!(e, ClientError::Asked { error: OutgoingError::Large { .. }, .. }),
        ),
        (
            |_, what, reply| {
                if what == "/token" {
                    reply.bytes = Some(more_than(http::DOCUMENT_BYTES_MAX))
                }
            },
            |e| matches!(e, ClientError::Asked { error: OutgoingError::Large { .. }, .. }),
        ),
        (
            |_, what, reply| {
                if what == "tools/list" {
                    reply.bytes = Some(more_than(http::MESSAGE_BYTES_MAX))
                }
            },
            |e| matches!(e, ClientError::Asked { error: OutgoingError::Large { .. }, .. }),
        ),
        (
            |_, what, reply| {
                if what == SERVER {
                    (reply.status, reply.headers) = (302, vec![("location", "https://evil.example/".into())]);
                }
            },
            |e| matches!(e, ClientError::Asked { error: OutgoingError::Redirect { .. }, .. }),
        ),
        (
            |_, what, reply| {
                if what == PRM {
                    reply.body["authorization_servers"] = json!(["https://10.0.0.1"])
                }
            },
            |e| matches!(e, ClientError::Asked { error: OutgoingError::Address { .. }, .. }),
        ),
        (
            |_, what, reply| {
                if what == "server/discover" && reply.status == 401 {
                    reply.headers[0].1 = "Bearer resource_metadata=\"http://10.0.0.1/\"".into();
                }
            },
            |e| matches!(e, ClientError::Malformed { .. }),
        ),
    ];
    for (change, expected) in cases {
        let (error, _) = refused(change).await;
        assert!(expected(&error), "{error}");
    }
    let (error, _) = refused(|_, what, reply| {
        if what == "/authorize" {
            *reply = Reply { status: 200, ..Reply::default() }
        }
    })
    .await;
    assert!(matches!(error, ClientError::Page { .. }), "a page wants a person: {error}");
    let (error, _) = refused(|_, what, reply| {
        if what == "tools/list" && reply.status == 200 {
            reply.body["result"]["nextCursor"] = json!("more");
        }
    })
    .await;
    assert!(error.to_string().contains("more than 32 pages"), "{error}");
}

#[tokio::test]
async fn a_secret_is_shown_to_the_server_it_is_for() {
    let known = |stand: &Stand, issuer: &str| Trial {
        issuer: Some(issuer.to_owned()),
        client: ClientGiven {
            id: Some("sales".into()),
            secret: Some(Zeroizing::new("sesame".into())),
            ..ClientGiven::default()
        },
        way: Way::Own,
        ..trial(stand)
    };
    let stand = Stand::start(|_, _, _| {}).await;
    let error = run(&known(&stand, "https://id.example")).await.0.unwrap_err();
    assert!(error.to_string().contains("which the server does not name"), "{error}");
    assert!(stand.asked(SERVER).is_empty() && stand.asked("/token").is_empty());
    let seen = run(&known(&stand, &stand.origin)).await.0.unwrap();
    assert!(seen.all_well);
    let token = &stand.asked("/token")[0];
    assert_eq!((token.get("grant_type"), token.get("scope")), ("client_credentials", "mcp:read"));
    assert!(token.authorization.starts_with("Basic "));
    // And not to the one that the server goes over to.
    let stand = Stand::start(|stand, what, reply| match what {
        "tools/list" => *reply = stand.challenge(401, "error=\"invalid_token\""),
        PRM if stand.asked(PRM).len() > 1 => {
            reply.body["authorization_servers"] = json!([format!("{}/two", stand.origin)])
        }
        "/.well-known/oauth-authorization-server/two" => {
            let at = |path: &str| format!("{}{path}", stand.origin);
            *reply = Reply {
                status: 200,
                body: json!({"issuer": at("/two"), "token_endpoint": at("/two/token")}),
                ..Reply::default()
            };
        }
        _ => {}
    })
    .await;
    let error = run(&Trial { issuer: None, ..known(&stand, "") }).await.0.unwrap_err();
    assert!(error.to_string().contains("say --client-id of the other"), "{error}");
    assert!(stand.asked("/two/token").is_empty());
}

#[tokio::test]
async fn an_assertion_of_the_enterprise_is_redeemed() {
    let stand = Stand::start(|_, _, _| {}).await;
    let client = || ClientGiven {
        id: Some("sales".into()),
        secret: Some(Zeroizing::new("sesame".into())),
        ..ClientGiven::default()
    };
    let enterprise = Enterprise {
        issuer: stand.origin.clone(),
        client: client(),
        token: Zeroizing::new("the-id-token".into()),
        token_type: "urn:ietf:params:oauth:token-type:id_token".into(),
    };
    let seen = run(&Trial { client: client(), way: Way::Enterprise(enterprise), ..trial(&stand) }).await.0.unwrap();
    assert!(seen.all_well);
    let [exchange, redeemed, ..] = &stand.asked("/token")[..] else { panic!("two requests") };
    assert_eq!((exchange.get("subject_token"), exchange.get("audience")), ("the-id-token", stand.origin.as_str()));
    assert_eq!(
        (exchange.get("resource"), exchange.get("scope")),
        (format!("{}/mcp", stand.origin).as_str(), "mcp:read")
    );
    assert!(redeemed.get("grant_type").ends_with("jwt-bearer") && redeemed.get("assertion") == "the-jag");
}

#[tokio::test]
async fn a_refresh_token_is_tried_and_an_end_of_a_token_is_no_end() {
    let stand = Stand::start(|_, _, _| {}).await;
    let once = Trial { refresh: true, calls: Vec::new(), ..trial(&stand) };
    run(&once).await.0.unwrap();
    let grants: Vec<String> = stand.asked("/token").iter().map(|asked| asked.get("grant_type").to_owned()).collect();
    assert_eq!(grants, ["authorization_code", "refresh_token"]);
    assert_eq!(stand.asked("/token")[1].get("refresh_token"), "refresh-of-1");
    // A token that has worked, and then does not.
    let stand = Stand::start(|stand, what, reply| {
        if what == "tools/list" && stand.given.lock().1 == 1 {
            *reply = stand.challenge(401, "error=\"invalid_token\"");
        }
    })
    .await;
    run(&Trial { calls: Vec::new(), ..trial(&stand) }).await.0.unwrap();
    assert_eq!((stand.asked("/authorize").len(), stand.asked("/token").len()), (1, 2));
}

#[tokio::test]
async fn a_server_without_metadata_or_registration_says_what_to_do() {
    let (error, _) = refused(|_, what, reply| match what {
        "server/discover" if reply.status == 401 => reply.headers[0].1 = "Bearer".into(),
        PRM => reply.status = 404,
        _ => {}
    })
    .await;
    assert!(matches!(error, ClientError::NoResourceMetadata { .. }), "{error}");
    assert!(error.to_string().contains("oauth-protected-resource/mcp, http"), "both places: {error}");
    let (error, _) = refused(|_, what, reply| {
        if what == SERVER {
            reply.status = 404
        }
    })
    .await;
    assert!(matches!(error, ClientError::NoServerMetadata { .. }), "{error}");
    let (error, stand) = refused(|_, what, reply| {
        if what == SERVER {
            reply.body.as_object_mut().unwrap().remove("registration_endpoint");
        }
    })
    .await;
    assert!(matches!(error, ClientError::NoClient { .. }) && error.to_string().contains("say --client-id"), "{error}");
    assert!(stand.asked("/authorize").is_empty());
}

#[tokio::test]
async fn a_better_sign_in_is_asked_for_once() {
    let stand = Stand::start(|stand, what, reply| {
        if what == "tools/call" && stand.asked("/authorize").len() < 3 {
            let (scopes, _) = stand.given.lock().clone();
            if scopes.iter().any(|scope| scope == "mcp:write") {
                *reply = stand
                    .challenge(401, "error=\"insufficient_user_authentication\", acr_values=\"phr\", max_age=\"300\"");
            }
        }
    })
    .await;
    assert!(run(&trial(&stand)).await.0.unwrap().all_well);
    let last = stand.asked("/authorize").pop().unwrap();
    assert_eq!(
        (last.get("acr_values"), last.get("max_age"), last.get("scope")),
        ("phr", "300", "mcp:read offline_access mcp:write")
    );
}

#[tokio::test]
async fn an_older_server_is_met_as_it_wants() {
    let stand = Stand::start(|_, what, reply| match what {
        "server/discover" => {
            *reply = Reply {
                status: 400,
                body: json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "no"}}),
                ..Reply::default()
            };
        }
        "initialize" if reply.status == 200 => {
            reply.headers.push(("mcp-session-id", "s".into()));
            reply.body["result"] = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}});
        }
        "notifications/initialized" if reply.status == 200 => *reply = Reply { status: 202, ..Reply::default() },
        "tools/list" if reply.status == 200 => {
            let body = format!(
                ": hi\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}}\n\ndata: {}\n\n",
                reply.body
            );
            (reply.headers, reply.bytes) =
                (vec![("content-type", "text/event-stream".into())], Some(body.into_bytes()));
        }
        _ => {}
    })
    .await;
    let seen = run(&Trial { calls: Vec::new(), ..trial(&stand) }).await.0.unwrap();
    assert_eq!((seen.version, seen.tools.len()), ("2025-06-18", 1));
    let pinned = Trial { version: Some("2026-07-28"), ..trial(&stand) };
    assert!(matches!(run(&pinned).await.0, Err(ClientError::Version { .. })));
}
