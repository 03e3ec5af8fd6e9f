//! Somebody else's authorization server: Google, which also says who people are (OpenID Connect), and the one of the CRM.
//! Codes with PKCE that are used once, access tokens that end, refresh tokens that are rotated.

use super::super::keys::{Key, seconds, secret};
use super::super::people::Elsewhere;
use super::{Log, Seen, answer, locked, pairs, refused};
use crate::cli::Failure;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use bailiwick::identity::hash_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How long an access token is good when it was had with a code, in seconds: so short that the vault has to refresh it.
pub(in super::super) const FIRST_LIFE_S: u64 = 1;
/// How long one is good that was had with a refresh token.
const LIFE_S: u64 = 3_600;

/// What was asked for when somebody was sent there.
#[derive(Clone)]
struct Asked(HashMap<String, String>);

impl Asked {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A token, and what it is good for.
#[derive(Clone)]
struct Given {
    scope: String,
    until: u64,
}

#[derive(Default)]
struct Tokens {
    codes: HashMap<String, Asked>,
    access: HashMap<String, Given>,
    refresh: HashMap<String, String>,
}

/// See the file's head.
pub(in super::super) struct Provider {
    pub(in super::super) url: String,
    key: Key,
    account: Elsewhere,
    claims: Map<String, Value>,
    clients: Mutex<HashMap<String, String>>,
    tokens: Mutex<Tokens>,
    log: Log,
}

impl Provider {
    /// One at which one person has an account, with what it knows of them.
    pub(in super::super) fn new(url: &str, account: Elsewhere, claims: &Value) -> Result<Arc<Provider>, Failure> {
        let (key, url, claims) =
            (Key::new("2026-11")?, url.to_owned(), claims.as_object().cloned().unwrap_or_default());
        let (clients, tokens, log) = (Mutex::default(), Mutex::default(), Log::default());
        Ok(Arc::new(Provider { url, key, account, claims, clients, tokens, log }))
    }

    /// A client there; answers its secret.
    pub(in super::super) fn client(&self, id: &str) -> String {
        let made = secret();
        locked(&self.clients).insert(id.to_owned(), made.clone());
        made
    }

    pub(in super::super) fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(keys))
            .route("/authorize", get(page))
            .route("/signin", post(sign_in))
            .route("/token", post(token))
            .with_state(Arc::clone(self))
    }

    /// Whether a token is good there now, for a scope.
    pub(super) fn takes(&self, token: &str, scope: &str) -> Result<(), StatusCode> {
        let given = locked(&self.tokens).access.get(token).cloned().filter(|given| seconds() < given.until);
        let given = given.ok_or(StatusCode::UNAUTHORIZED)?;
        given.scope.split(' ').any(|had| had == scope).then_some(()).ok_or(StatusCode::FORBIDDEN)
    }

    /// How often it gave tokens for a refresh token.
    pub(in super::super) fn refreshed(&self) -> usize {
        self.log.all().iter().filter(|seen| seen.what == "refresh_token").count()
    }

    /// Every token that it gave, to look for them where they must not be.
    pub(in super::super) fn tokens(&self) -> Vec<String> {
        locked(&self.log.0).iter().map(|seen| seen.token.clone()).filter(|token| !token.is_empty()).collect()
    }

    /// The secrets of its clients.
    pub(in super::super) fn client_secrets(&self) -> Vec<String> {
        locked(&self.clients).values().cloned().collect()
    }

    fn give(&self, scope: &str, life_s: u64) -> Map<String, Value> {
        let (access, refresh) = (format!("ya29.{}", secret()), format!("1//{}", secret()));
        for token in [&access, &refresh] {
            self.log.add(Seen { what: "given".into(), token: token.clone(), body: Vec::new() });
        }
        let mut tokens = locked(&self.tokens);
        tokens.access.insert(access.clone(), Given { scope: scope.to_owned(), until: seconds() + life_s });
        tokens.refresh.insert(refresh.clone(), scope.to_owned());
        let body = json!({"access_token": access, "token_type": "Bearer", "expires_in": life_s,
                          "refresh_token": refresh, "scope": scope});
        body.as_object().cloned().unwrap_or_default()
    }

    /// Who the person is, for a client (OpenID Connect Core 2).
    fn id_token(&self, asked: &Asked) -> Result<String, Failure> {
        let mut claims = self.claims.clone();
        let now = seconds();
        for (name, value) in [
            ("iss", json!(self.url)),
            ("aud", json!(asked.get("client_id"))),
            ("iat", json!(now)),
            ("auth_time", json!(now)),
            ("exp", json!(now + 300)),
            ("nonce", json!(asked.get("nonce"))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.key.sign("JWT", &Value::Object(claims))
    }

    /// The client of a request to the token endpoint, by its secret in the header or in the form.
    fn knows(&self, headers: &HeaderMap, form: &HashMap<String, String>) -> Option<String> {
        let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
        let shown = match basic.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((id, secret)) => (id.to_owned(), secret.to_owned()),
            None => (form.get("client_id")?.clone(), form.get("client_secret")?.clone()),
        };
        let known = locked(&self.clients).get(&shown.0).cloned();
        (known.as_ref() == Some(&shown.1)).then_some(shown.0)
    }

    fn redeem(&self, client: &str, form: &HashMap<String, String>) -> Result<Value, &'static str> {
        let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let asked = locked(&self.tokens).codes.remove(given("code")).ok_or("invalid_grant")?;
        let right = asked.get("client_id") == client
            && asked.get("redirect_uri") == given("redirect_uri")
            && asked.get("code_challenge") == hash_of(given("code_verifier"));
        if !right {
            return Err("invalid_grant");
        }
        let mut body = self.give(asked.get("scope"), FIRST_LIFE_S);
        if asked.get("scope").split(' ').any(|scope| scope == "openid") {
            body.insert("id_token".to_owned(), self.id_token(&asked).map_err(|_| "server_error")?.into());
        }
        Ok(Value::Object(body))
    }

    fn refresh(&self, form: &HashMap<String, String>) -> Result<Value, &'static str> {
        let shown = form.get("refresh_token").ok_or("invalid_request")?;
        let scope = locked(&self.tokens).refresh.remove(shown).ok_or("invalid_grant")?;
        Ok(Value::Object(self.give(&scope, LIFE_S)))
    }
}

type This = State<Arc<Provider>>;

async fn metadata(State(this): This) -> Response {
    let at = |path: &str| format!("{}{path}", this.url);
    let body = json!({
        "issuer": this.url,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    answer(StatusCode::OK, &body)
}

async fn keys(State(this): This) -> Response {
    match this.key.public() {
        Ok(set) => answer(StatusCode::OK, &set),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    }
}

/// Where one signs in there: what was asked for is in the form's address.
async fn page(State(this): This, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let known = pairs(&query).get("client_id").is_some_and(|id| locked(&this.clients).contains_key(id));
    if !known {
        return refused(StatusCode::BAD_REQUEST, "invalid_client");
    }
    let action = format!("/signin?{query}").replace('&', "&#38;");
    Html(format!(
        "<title>{name}</title><h1>Sign in at {name}</h1><form method=\"post\" action=\"{action}\">\
         <input name=\"login\"><input name=\"password\" type=\"password\"><button>Next</button></form>",
        name = this.account.name
    ))
    .into_response()
}

async fn sign_in(State(this): This, RawQuery(query): RawQuery, body: String) -> Response {
    let (asked, form) = (Asked(pairs(&query.unwrap_or_default())), pairs(&body));
    let right = form.get("login") == Some(&this.account.login) && form.get("password") == Some(&this.account.password);
    if !right {
        return refused(StatusCode::FORBIDDEN, "access_denied");
    }
    let code = secret();
    let Ok(mut to) = url::Url::parse(asked.get("redirect_uri")) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request");
    };
    to.query_pairs_mut().extend_pairs([("code", code.as_str()), ("state", asked.get("state")), ("iss", &this.url)]);
    locked(&this.tokens).codes.insert(code, asked);
    Redirect::to(to.as_str()).into_response()
}

async fn token(State(this): This, headers: HeaderMap, body: String) -> Response {
    let form = pairs(&body);
    let Some(client) = this.knows(&headers, &form) else {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let grant_type = form.get("grant_type").cloned().unwrap_or_default();
    this.log.add(Seen { what: grant_type.clone(), token: String::new(), body: Vec::new() });
    let given = match grant_type.as_str() {
        "authorization_code" => this.redeem(&client, &form),
        "refresh_token" => this.refresh(&form),
        _ => Err("unsupported_grant_type"),
    };
    match given {
        Ok(body) => answer(StatusCode::OK, &body),
        Err(error) => refused(StatusCode::BAD_REQUEST, error),
    }
}
