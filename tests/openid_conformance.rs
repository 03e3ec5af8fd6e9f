//! The negative modules of the OpenID conformance suite that fit, as tests of our own over HTTP: each row has the module's
//! name as its id, does the wrong thing that the module does, and expects the right refusal. Those of OpenID Connect Core and
//! RP-Initiated Logout are here, of FAPI 2.0 in `openid_fapi2`, of FAPI-CIBA in `openid_ciba`. All of them, and what does not
//! fit and why, are in `docs/openid-suite.md`.

use crate::identity::{API, CALLBACK, Heard, Issuing, VERIFIER, basic, env};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use bailiwick::identity::{
    AuthMethod, Authentication, Browser, Client, ClientKeys, ClientKind, CodeGrant, Decided, Env, Form, GrantType as _,
    Held, JWT_BEARER, Registrants, RegistrationSettings, Session, Tenant, TenantSettings, encode, hash_of,
};
use bailiwick::modules::approval::{Backchannel, CIBA_GRANT, Delivery, put_backchannel};
use bailiwick::tuple::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;

pub(crate) type Pairs = Vec<(&'static str, String)>;

/// Signs what a client says.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

pub(crate) fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

/// A key that signs with PS256 as it is registered, and with RS256 as it must not.
pub(crate) struct RsaSigner(RsaKeyPair);

impl RsaSigner {
    pub(crate) fn new() -> RsaSigner {
        RsaSigner(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        // RFC 8017 A.1.1: a sequence of two numbers, the first of 257 bytes with a zero before it.
        let n = &self.0.public_key().as_ref()[9..265];
        json!({"kty": "RSA", "alg": "PS256", "n": encode(n), "e": "AQAB"})
    }

    pub(crate) fn sign(&self, alg: &str, claims: &Value) -> String {
        let message = message(&json!({"alg": alg}), claims);
        let mut signature = vec![0; 256];
        let padding: &dyn aws_lc_rs::signature::RsaEncoding =
            if alg == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
        self.0.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", encode(&signature))
    }
}

/// Changes a member of an object; a null takes it away.
pub(crate) fn changed(mut object: Value, (name, value): (&str, Value)) -> Value {
    if value.is_null() {
        object.as_object_mut().unwrap().remove(name);
    } else {
        object[name] = value;
    }
    object
}

/// Changes parameters; an empty value takes one away.
pub(crate) fn with(mut pairs: Pairs, more: &[(&'static str, &str)]) -> Pairs {
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            pairs.push((*name, (*value).to_owned()));
        }
    }
    pairs
}

pub(crate) fn form(pairs: &Pairs) -> Form {
    Form::parse(&encoded(pairs)).unwrap()
}

fn encoded(pairs: &Pairs) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The clock of some seconds ago: what is made with it is that old.
pub(crate) fn ago(seconds: u64) -> Env<'static> {
    let env = env();
    Env { now: Timestamp(env.now.0 - i64::try_from(seconds).unwrap() * 1_000_000_000), ..env }
}

/// What an answer says: its status, and its error; or `code`, `login` or `page`.
pub(crate) fn said(heard: &Heard) -> (u16, String) {
    let what = match heard.header("location").map(|to| url::Url::parse(to).unwrap()) {
        Some(to) if to.path().ends_with("/login") => "login".to_owned(),
        Some(to) => {
            let of = |name: &str| to.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
            of("error").or_else(|| of("code").map(|_| "code".to_owned())).unwrap_or_else(|| to.to_string())
        }
        None => {
            let json: Option<Value> = serde_json::from_str(&heard.body).ok();
            json.map_or("page".to_owned(), |json| json["error"].as_str().unwrap_or("none").to_owned())
        }
    };
    (heard.status, what)
}

/// Looks at all rows before it fails.
#[derive(Default)]
pub(crate) struct Judge(RefCell<Vec<String>>);

impl Judge {
    pub(crate) fn row(&self, module: &str, heard: &Heard, status: u16, error: &str) {
        let found = said(heard);
        if found != (status, error.to_owned()) {
            self.0.borrow_mut().push(format!("{module}: {found:?} instead of ({status}, {error:?}): {}", heard.body));
        }
    }

    pub(crate) fn holds(&self, module: &str, good: bool) {
        if !good {
            self.0.borrow_mut().push(format!("{module} does not hold"));
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let faults = self.0.borrow();
        assert!(faults.is_empty() || std::thread::panicking(), "{}", faults.join("\n"));
    }
}

/// A client that shows who it is by a signature.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) id: &'static str,
    pub(crate) signer: &'a Signer,
}

/// An issuer with the two clients of each kind that the suite wants.
pub(crate) struct Suite {
    pub(crate) issuing: Issuing,
    first: Signer,
    second: Signer,
    pub(crate) rsa: RsaSigner,
}

impl Suite {
    pub(crate) fn new() -> Suite {
        let suite =
            Suite { issuing: Issuing::start(), first: Signer::new(), second: Signer::new(), rsa: RsaSigner::new() };
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let keys = [suite.first.jwk(), suite.second.jwk(), suite.rsa.jwk()];
        let [first, second, rsa] = keys.map(|key| Some(ClientKeys::Jwks(json!({"keys": [key]}))));
        let client = |id: &str, method, keys: &Option<ClientKeys>| Client {
            auth_methods: vec![method],
            keys: keys.clone(),
            redirect_uris: strings(&[CALLBACK]),
            grant_types: strings(&["authorization_code", "refresh_token"]),
            scopes: strings(&["openid", "profile", "read", "offline_access"]),
            resources: strings(&[API]),
            ..Client::new(id, ClientKind::App, id)
        };
        let (by_secret, by_key) = (AuthMethod::ClientSecretBasic, AuthMethod::PrivateKeyJwt);
        let tenant = &suite.issuing.acme;
        for (id, keys) in [("fapi1", &first), ("fapi2", &second), ("fapi-rsa", &rsa)] {
            let fapi =
                Client { require_pushed_requests: true, dpop_bound_access_tokens: true, ..client(id, by_key, keys) };
            tenant.create_client(&fapi, &env()).unwrap();
        }
        for (id, keys) in [("ciba1", &first), ("ciba2", &second), ("ciba-rsa", &rsa)] {
            let asks = Client { grant_types: strings(&[CIBA_GRANT]), ..client(id, by_key, keys) };
            tenant.create_client(&asks, &env()).unwrap();
            let signed = Backchannel { delivery: Delivery::Poll, signed_requests: true };
            put_backchannel(tenant, id, &signed, "user:ann", &env()).unwrap();
        }
        for id in ["web1", "web2"] {
            tenant.create_client(&client(id, by_secret, &None), &env()).unwrap();
        }
        let query = Client {
            redirect_uris: strings(&["https://app.example/cb?foo=bar"]),
            post_logout_redirect_uris: strings(&["https://app.example/bye"]),
            ..client("query", AuthMethod::None, &None)
        };
        tenant.create_client(&query, &env()).unwrap();
        suite
    }

    pub(crate) fn first(&self, id: &'static str) -> Who<'_> {
        Who { id, signer: &self.first }
    }

    pub(crate) fn second(&self, id: &'static str) -> Who<'_> {
        Who { id, signer: &self.second }
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.issuing.acme
    }

    /// Claims by which a client shows who it is.
    pub(crate) fn claims(&self, client: &str) -> Value {
        let now = env().seconds();
        json!({
            "iss": client, "sub": client, "aud": self.tenant().issuer(), "iat": now, "exp": now + 60,
            "jti": env().secret(),
        })
    }

    pub(crate) fn shows(&self, assertion: &str) -> Pairs {
        vec![("client_assertion_type", JWT_BEARER.to_owned()), ("client_assertion", assertion.to_owned())]
    }

    /// The parameters by which a client shows who it is.
    pub(crate) fn auth(&self, who: Who<'_>) -> Pairs {
        self.shows(&who.signer.sign(&json!({"alg": "ES256"}), &self.claims(who.id)))
    }

    /// Each way in which an assertion is wrong.
    pub(crate) fn bad_assertions(&self, who: Who<'_>, endpoint: &str) -> Vec<(&'static str, Pairs)> {
        let (header, claims) = (json!({"alg": "ES256"}), || self.claims(who.id));
        let (now, url) = (env().seconds(), self.tenant().url(endpoint));
        let other = ["https://other.example/", url.as_str()];
        let mut cases = vec![("no client assertion", vec![("client_id", who.id.to_owned())])];
        for (what, change) in [
            ("sub missing", ("sub", Value::Null)),
            ("sub wrong", ("sub", json!("nobody"))),
            ("iss missing", ("iss", Value::Null)),
            ("iss wrong", ("iss", json!("nobody"))),
            ("aud missing", ("aud", Value::Null)),
            ("aud an unrelated URL", ("aud", json!(other[0]))),
            ("aud the endpoint", ("aud", json!(other[1]))),
            ("aud several", ("aud", json!([self.tenant().issuer(), other[0]]))),
            ("exp in the past", ("exp", json!(now - 300))),
            ("exp missing", ("exp", Value::Null)),
            ("iat in the future", ("iat", json!(now + 90))),
            ("nbf in the future", ("nbf", json!(now + 90))),
            ("jti missing", ("jti", Value::Null)),
        ] {
            cases.push((what, self.shows(&who.signer.sign(&header, &changed(claims(), change)))));
        }
        let none = format!("{}.", message(&json!({"alg": "none"}), &claims()));
        cases.push(("alg none", self.shows(&none)));
        cases.push(("signature invalid", self.shows(&Signer::new().sign(&header, &claims()))));
        let good = || self.auth(who);
        cases.push(("client_assertion_type missing", with(good(), &[("client_assertion_type", "")])));
        cases.push(("client_assertion_type wrong", with(good(), &[("client_assertion_type", "urn:x")])));
        cases
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], pairs: &Pairs) -> Heard {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.issuing.post(&format!("/t/acme{path}"), headers, &pairs)
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)], pairs: &Pairs) -> Heard {
        self.issuing.send("GET", &format!("/t/acme{path}?{}", encoded(pairs)), headers, "")
    }

    /// The parameters of an authorization request.
    pub(crate) fn asked(&self, client: &str) -> Pairs {
        let pairs = [
            ("client_id", client),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid read offline_access"),
            ("state", "s-1"),
            ("code_challenge", &hash_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        ];
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    /// A session of Sarah's, and the header of a browser that has it.
    pub(crate) fn session(&self, acr: &str, seconds_ago: u64) -> (Held<Session>, String) {
        let env = ago(seconds_ago);
        let authentication = Authentication { at: env.seconds(), acr: acr.into(), amr: vec!["pwd".into()] };
        let tenant = self.tenant();
        let (_, cookie) = tenant.start_session("sarah", authentication, Browser::default(), &env).unwrap();
        let held = tenant.session_of_cookie(&cookie, &env).unwrap().unwrap();
        (held, format!("bw-session-{0}={cookie}; bw-visit-{0}={1}", tenant.number(), env.secret()))
    }

    /// Answers a request as the pages do, and tells the parameter of where the browser goes then.
    pub(crate) fn complete(&self, id: &str, decided: &Decided, seconds_ago: u64, parameter: &str) -> String {
        let (env, tenant) = (ago(seconds_ago), self.tenant());
        let request = tenant.request(id, &env).unwrap();
        let (session, _) = self.session("aal1", seconds_ago);
        let to = url::Url::parse(&tenant.complete(&request, &session, decided, &env).unwrap()).unwrap();
        let found = to.query_pairs().find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned());
        found.unwrap_or_default()
    }

    /// The id of the request that the login pages got.
    pub(crate) fn request_of(&self, heard: &Heard) -> String {
        assert_eq!(said(heard), (303, "login".into()), "{}", heard.body);
        let to = url::Url::parse(heard.header("location").unwrap()).unwrap();
        to.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned()
    }

    /// A code for a client that may ask with a query, so many seconds old.
    pub(crate) fn code(&self, client: &str, seconds_ago: u64) -> String {
        let id = self.tenant().take_request(&form(&self.asked(client)), &ago(seconds_ago)).unwrap();
        self.complete(&id, &Decided::Allowed { scopes: None }, seconds_ago, "code")
    }

    fn secret(&self, client: &str) -> String {
        basic(client, &self.tenant().add_secret(client, None, &env()).unwrap().1)
    }
}

/// The parameters that redeem a code.
pub(crate) fn redeeming(code: &str) -> Pairs {
    let pairs =
        [("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER), ("redirect_uri", CALLBACK)];
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[test]
fn openid_connect_core() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let ask = |more: &[(&'static str, &str)]| suite.get("/authorize", &[], &with(suite.asked("web1"), more));
    judge.row("oidcc-response-type-missing", &ask(&[("response_type", "")]), 303, "invalid_request");
    let elsewhere = ask(&[("redirect_uri", "https://app.example/cb/2FCOzETCNZ")]);
    judge.row("oidcc-ensure-registered-redirect-uri", &elsewhere, 400, "page");
    judge.row("oidcc-ensure-redirect-uri-in-authorization-request", &ask(&[("redirect_uri", "")]), 400, "page");
    let query = |uri: &str| suite.get("/authorize", &[], &with(suite.asked("query"), &[("redirect_uri", uri)]));
    judge.row("oidcc-redirect-uri-query-OK", &query("https://app.example/cb?foo=bar"), 303, "login");
    judge.row("oidcc-redirect-uri-query-mismatch", &query("https://app.example/cb?bar=foo"), 400, "page");
    judge.row(
        "oidcc-redirect-uri-query-added",
        &ask(&[("redirect_uri", "https://app.example/cb?foo=bar")]),
        400,
        "page",
    );
    let uri = ask(&[("request_uri", "https://app.example/request.jwt")]);
    let module = "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported";
    judge.row(module, &uri, 303, "request_uri_not_supported");
    let object = format!("{}.", message(&json!({"alg": "none"}), &json!({"client_id": "web1"})));
    let module = "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported";
    judge.row(module, &ask(&[("request", &object)]), 303, "request_not_supported");
    let elsewhere = json!({"client_id": "web1", "redirect_uri": "https://app.example/cb/2FCOzETCNZ"});
    let object = format!("{}.", message(&json!({"alg": "none"}), &elsewhere));
    let heard = ask(&[("request", &object)]);
    judge.row("oidcc-ensure-request-object-with-redirect-uri", &heard, 303, "request_not_supported");
    let to = format!("{CALLBACK}?");
    let module = "oidcc-ensure-request-object-with-redirect-uri (to where the query says)";
    judge.holds(module, heard.header("location").is_some_and(|location| location.starts_with(&to)));

    let login = |more: &[(&'static str, &str)], cookie: Option<&str>| {
        let headers: Vec<(&str, &str)> = cookie.map(|cookie| ("cookie", cookie)).into_iter().collect();
        suite.get("/login", &headers, &vec![("request", suite.request_of(&ask(more)))])
    };
    let (_, signed_in) = suite.session("aal1", 2);
    let none = login(&[("prompt", "none")], None);
    judge.row("oidcc-prompt-none-not-logged-in", &none, 303, "login_required");
    judge.row("oidcc-prompt-login", &login(&[("prompt", "login")], Some(&signed_in)), 200, "page");
    let (_, just_now) = suite.session("aal1", 0);
    for more in [("prompt", "login"), ("max_age", "0")] {
        judge.row(&format!("oidcc-prompt-login ({more:?} at once)"), &login(&[more], Some(&just_now)), 200, "page");
    }
    judge.row("oidcc-max-age-1", &login(&[("max_age", "1")], Some(&signed_in)), 200, "page");
    let silent = login(&[("max_age", "1"), ("prompt", "none")], Some(&signed_in));
    judge.row("oidcc-max-age-1 (prompt=none)", &silent, 303, "login_required");
    let still = login(&[("max_age", "10000"), ("prompt", "none")], Some(&signed_in));
    judge.row("oidcc-max-age-10000 (prompt=none, not yet allowed)", &still, 303, "consent_required");
}

/// What a request may hold, and an issuer must not stumble over.
#[test]
fn openid_connect_what_is_passed_over() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let ask = |more: &[(&'static str, &str)]| suite.get("/authorize", &[], &with(suite.asked("web1"), more));
    for (module, more) in [
        ("oidcc-ensure-request-without-nonce-succeeds-for-code-flow", ("nonce", "")),
        ("oidcc-ensure-request-with-unknown-parameter-succeeds", ("extra", "foobar")),
        ("oidcc-ensure-request-with-acr-values-succeeds", ("acr_values", "1 2")),
        ("oidcc-ensure-request-with-valid-pkce-succeeds", ("code_challenge_method", "S256")),
        ("oidcc-ensure-other-scope-order-succeeds", ("scope", "read offline_access openid")),
        ("oidcc-display-page", ("display", "page")),
        ("oidcc-display-popup", ("display", "popup")),
        ("oidcc-login-hint", ("login_hint", "buffy@example.com")),
        ("oidcc-ui-locales", ("ui_locales", "se")),
        ("oidcc-claims-locales", ("claims_locales", "se")),
        ("oidcc-claims-essential", ("claims", r#"{"userinfo": {"name": {"essential": true}}}"#)),
    ] {
        let heard = ask(&[more]);
        judge.row(module, &heard, 303, "login");
        // And the page that it leads to is there.
        judge.row(module, &suite.get("/login", &[], &vec![("request", suite.request_of(&heard))]), 200, "page");
    }
    let posted = suite.post("/authorize", &[], &suite.asked("web1"));
    judge.row("oidcc-ensure-post-request-succeeds", &posted, 303, "login");
}

#[test]
fn openid_connect_registration() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let registration = RegistrationSettings {
        who: Registrants::Anybody,
        scopes: vec!["openid".into()],
        resources: Vec::new(),
        clients_max: 4,
    };
    let settings = TenantSettings { registration, ..suite.tenant().settings().clone() };
    suite.tenant().change_settings(settings, &env()).unwrap();
    let register = |change: (&str, Value)| {
        let wanted = changed(json!({"redirect_uris": [CALLBACK]}), change);
        let json = [("content-type", "application/json")];
        suite.issuing.send("POST", "/t/acme/register", &json, &wanted.to_string())
    };
    for (module, change, status, error) in [
        ("oidcc-redirect-uri-regfrag", ("redirect_uris", json!(["https://app.example/cb#frag"])), 400, "redirect_uri"),
        ("oidcc-redirect-uri-regfrag (none)", ("redirect_uris", Value::Null), 400, "redirect_uri"),
        ("oidcc-idtoken-unsigned", ("id_token_signed_response_alg", json!("none")), 400, "client_metadata"),
        ("a response type that is not served", ("response_types", json!(["id_token"])), 400, "client_metadata"),
        ("oidcc-registration-dynamic", ("client_name", json!("A tool")), 201, ""),
    ] {
        let error = if error.is_empty() { "none".to_owned() } else { format!("invalid_{error}") };
        judge.row(module, &register(change), status, &error);
    }
}

#[test]
fn openid_connect_codes_and_refresh() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let (first, second) = (suite.secret("web1"), suite.secret("web2"));
    let token = |who: &str, pairs: &Pairs| suite.post("/token", &[("authorization", who)], pairs);
    let code = suite.code("web1", 0);
    assert_eq!(token(&first, &redeeming(&code)).status, 200);
    judge.row("oidcc-codereuse", &token(&first, &redeeming(&code)), 400, "invalid_grant");

    let code = suite.code("web1", 35);
    let caller = bailiwick::identity::Caller {
        client: suite.tenant().client("web1").unwrap(),
        method: AuthMethod::ClientSecretBasic,
        jkt: None,
    };
    let old = CodeGrant.redeem(suite.tenant(), &caller, &form(&redeeming(&code)), &ago(32)).unwrap();
    let bearer = format!("Bearer {}", old.access_token);
    let info = || suite.get("/userinfo", &[("authorization", &bearer)], &Vec::new());
    assert_eq!(info().status, 200);
    judge.row("oidcc-codereuse-30seconds", &token(&first, &redeeming(&code)), 400, "invalid_grant");
    judge.row("oidcc-codereuse-30seconds (what it gave)", &info(), 401, "invalid_token");

    let tokens = token(&first, &redeeming(&suite.code("web1", 0))).json();
    let refresh: Pairs = vec![
        ("grant_type", "refresh_token".into()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap().to_owned()),
    ];
    judge.row("oidcc-refresh-token (of another client)", &token(&second, &refresh), 400, "invalid_grant");
    judge.row("oidcc-refresh-token (nobody)", &suite.post("/token", &[], &refresh), 401, "invalid_client");
    judge.row("oidcc-refresh-token", &token(&first, &refresh), 200, "none");
}

#[test]
fn openid_connect_logout() {
    let (suite, judge) = (Suite::new(), Judge::default());
    let asked = with(suite.asked("query"), &[("redirect_uri", "https://app.example/cb?foo=bar")]);
    let signed_in = || {
        let id = suite.tenant().take_request(&form(&asked), &env()).unwrap();
        let code = suite.complete(&id, &Decided::Allowed { scopes: None }, 0, "code");
        let more = [("client_id", "query"), ("redirect_uri", "https://app.example/cb?foo=bar")];
        suite.post("/token", &[], &with(redeeming(&code), &more)).json()
    };
    let tokens = signed_in();
    let hint = tokens["id_token"].as_str().unwrap();
    let bye = "https://app.example/bye";
    let end = |pairs: &[(&'static str, &str)]| suite.get("/end_session", &[], &with(Vec::new(), pairs));
    let (uri, state) = (("post_logout_redirect_uri", bye), ("state", "x"));
    let id_token = ("id_token_hint", hint);
    let bad = end(&[id_token, ("post_logout_redirect_uri", "https://app.example/bye/elsewhere"), state]);
    judge.row("oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", &bad, 400, "page");
    let added = end(&[id_token, ("post_logout_redirect_uri", "https://app.example/bye?foo=bar"), state]);
    judge.row("oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", &added, 400, "page");
    let (head, signature) = hint.rsplit_once('.').unwrap();
    let at = signature.len() / 2;
    let other = if &signature[at..=at] == "A" { "B" } else { "A" };
    let modified = format!("{head}.{}{other}{}", &signature[..at], &signature[at + 1..]);
    let modified = end(&[("id_token_hint", &modified), uri, state]);
    judge.row("oidcc-rp-initiated-logout-modified-id-token-hint", &modified, 400, "page");
    let foreign = Signer::new().sign(
        &json!({"alg": "ES256", "typ": "JWT"}),
        &json!({"iss": suite.tenant().issuer(), "aud": "query", "sub": "sarah"}),
    );
    judge.row(
        "oidcc-rp-initiated-logout-bad-id-token-hint",
        &end(&[("id_token_hint", &foreign), uri, state]),
        400,
        "page",
    );
    // Without a hint the person is asked on a page of ours, and goes nowhere else.
    let asks = suite.tenant().url("/logout");
    for (module, pairs) in [
        ("oidcc-rp-initiated-logout-no-id-token-hint", vec![uri, state]),
        ("oidcc-rp-initiated-logout-no-params", vec![]),
        ("oidcc-rp-initiated-logout-only-state", vec![state]),
    ] {
        judge.row(module, &end(&pairs), 303, &asks);
    }
    // None of these ended anything.
    let info = |tokens: &Value| {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        suite.get("/userinfo", &[("authorization", &bearer)], &Vec::new()).status
    };
    assert_eq!(info(&tokens), 200);

    // With a good hint the session ends, and the browser goes where it is registered, or stays here.
    for (module, more, to) in [
        ("oidcc-rp-initiated-logout-no-post-logout-redirect-uri", vec![], asks.as_str()),
        ("oidcc-rp-initiated-logout-no-state", vec![uri], bye),
        ("oidcc-rp-initiated-logout", vec![uri, state], "https://app.example/bye?state=x"),
    ] {
        let tokens = signed_in();
        assert_eq!(info(&tokens), 200);
        let hint = ("id_token_hint", tokens["id_token"].as_str().unwrap());
        judge.row(module, &end(&[vec![hint], more].concat()), 303, to);
        judge.holds(module, info(&tokens) == 401);
    }
}

/// Each module that the page names is a row of the file that it says: by its whole name, or by the rest of it behind what is
/// put before, and around, all of a table's.
#[test]
fn the_page_of_modules_is_true() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (page, mut source, mut named) = (read("docs/openid-suite.md"), String::new(), Vec::new());
    for line in page.lines() {
        if let Some((_, file)) = line.strip_prefix("## ").and_then(|heading| heading.split_once("(`")) {
            source = read(file.trim_end_matches("`)"));
        }
        let Some(module) = line.strip_prefix("    ") else { continue };
        let plan = ["fapi2-security-profile-final-", "fapi-ciba-id1-"];
        let rest = plan.into_iter().find_map(|plan| module.strip_prefix(plan)).unwrap_or(module);
        let object = rest.strip_prefix("ensure-request-object-").and_then(|rest| rest.strip_suffix("-fails"));
        let known = [Some(rest), object, rest.strip_prefix("ensure-requested-expiry-")].into_iter().flatten();
        let row = |name: &str| source.contains(&format!("\"{name}\"")) || source.contains(&format!("\"{name} ("));
        assert!(known.into_iter().any(row), "no row is `{module}`");
        named.push(module);
    }
    let all = named.len();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), all, "a module is named twice");
    assert!(all >= 130, "{all} modules");
}
