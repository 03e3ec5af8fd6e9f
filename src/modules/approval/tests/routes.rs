//! One story over the routes: an agent asks, a person looks, proves who they are, and decides on a page; what comes of it is
//! fetched. And every way in which a page does not let somebody else decide.

use super::http::{Setup, Tokens, Visitor, Visitors, routes};
use super::*;
use crate::identity::{ErrorCode, Examined, Refusal};
use crate::wire::Front;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use std::sync::Arc;
use tower::ServiceExt as _;

/// Knows a browser by its `Cookie`, which is a session's.
struct Browsers;

impl Visitors for Browsers {
    fn visitor(&self, tenant: &Tenant, head: &Parts, _: &Env<'_>) -> Answer<Option<Visitor>> {
        let cookie = head.headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let random = |bytes: &mut [u8]| bytes.fill(0);
        let env = Env::new(at(START), &random);
        let session = tenant.session_of_cookie(cookie, &env)?;
        Ok(session.map(|session| Visitor { session, secret: cookie.to_owned() }))
    }

    fn sign_in(&self, tenant: &Tenant, back: &str, acr: Option<&str>) -> String {
        tenant.url(&format!("/login?back={back}&acr={}", acr.unwrap_or_default()))
    }
}

struct NoTokens;

impl Tokens for NoTokens {
    fn judge(&self, _: &Tenant, _: &Parts, _: &Env<'_>) -> Answer<Examined> {
        Err(Refusal::new(ErrorCode::InvalidToken, "token.none", "there is no token"))
    }
}

struct Desk {
    front: Front,
    runtime: tokio::runtime::Runtime,
}

struct Got {
    status: u16,
    location: String,
    policy: String,
    text: String,
}

impl Desk {
    fn new(world: &World) -> Desk {
        let setup = Setup {
            approvals: world.approvals.clone(),
            keys: Arc::new(NoKeys),
            uses: Arc::new(NoUses),
            visitors: Arc::new(Browsers),
            tokens: Arc::new(NoTokens),
            askers: Arc::new(NoTokens),
            shapes: Arc::new(crate::modules::approval::PlainShapes),
        };
        let front = Front::new(world.tenant.identity().clone(), routes(setup), 1, 16).unwrap();
        Desk { front, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Got {
        let mut request = Request::builder().method(method).uri(format!("/acme{path}")).header("host", "id.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.front.clone().oneshot(request.body(Body::from(body)).unwrap());
        self.runtime.block_on(async {
            let response = response.await.unwrap();
            let said =
                |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
            let (status, location, policy) =
                (response.status().as_u16(), said("location"), said("content-security-policy"));
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            Got { status, location, policy, text: String::from_utf8(bytes.to_vec()).unwrap() }
        })
    }

    fn get(&self, path: &str, cookie: &str) -> Got {
        self.send("GET", path, &[("cookie", cookie)], String::new())
    }

    fn post(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Got {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, &[("cookie", cookie), ("sec-fetch-site", "same-origin")], body)
    }
}

/// The cookie of somebody who has signed in.
fn cookie(world: &World, user: &str, acr: &str, at: u64) -> String {
    let authentication = Authentication { at, acr: acr.into(), amr: vec![] };
    world.tenant.start_session(user, authentication, Browser::default(), &world.env()).unwrap().1
}

/// The value of a hidden field.
#[expect(clippy::string_slice, reason = "a test fails loudly")]
fn hidden(html: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = &html[html.find(&start).unwrap() + start.len()..];
    rest[..rest.find('"').unwrap()].to_owned()
}

/// What the client gets now: the server has the system's clock.
fn fetch(world: &World, auth_req_id: &str) -> Answer<crate::identity::TokenAnswer> {
    let form = super::pairs(&[("auth_req_id", auth_req_id)]);
    let env = Env { now: crate::wire::now(), ..world.env() };
    let grant = super::super::CibaGrant(world.approvals.clone());
    crate::identity::GrantType::redeem(&grant, &world.tenant, &world.caller("sales"), &form, &env)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn a_person_decides_on_a_page_and_only_there() {
    let world = World::new();
    let env = world.env();
    // The client shows who it is with a secret, as most do.
    let held = world.tenant.client("sales").unwrap();
    let with_secret = Client { auth_methods: vec![AuthMethod::ClientSecretPost], keys: None, ..held.value.clone() };
    world.tenant.change_client(&held, &with_secret, &env).unwrap();
    let (_, secret) = world.tenant.add_secret("sales", None, &env).unwrap();
    let desk = Desk::new(&world);
    let details = json!([detail("5000"), detail("6000")]).to_string();
    let ask = |secret: &str| {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", "sales"),
                ("client_secret", secret),
                ("scope", "openid email:send drive:write"),
                ("login_hint", r#"{"format":"iss_sub","iss":"https://id.example/acme/","sub":"sarah"}"#),
                ("binding_message", "ACME-1"),
                ("authorization_details", &details),
            ])
            .finish();
        desk.send("POST", "/bc-authorize", &[("content-type", "application/x-www-form-urlencoded")], body)
    };
    assert_eq!(ask("wrong").status, 401);
    let answer = ask(&secret);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked: Value = serde_json::from_str(&answer.text).unwrap();
    let auth_req_id = asked["auth_req_id"].as_str().unwrap();
    assert_eq!((&asked["expires_in"], &asked["interval"]), (&json!(300), &json!(5)));
    let path = format!("/approvals/{}", auth_req_id.split_once('.').unwrap().0);

    // Nobody who is not signed in sees anything, and is sent to sign in, whether there is such a request or not.
    let nobody = desk.get(&path, "");
    assert_eq!((nobody.status, nobody.location), (303, format!("{ISSUER}/login?back={path}&acr=")));
    assert_eq!(desk.get("/approvals", "").status, 303);
    let eve = cookie(&world, "eve", "phr", START);
    assert_eq!(desk.get(&path, &eve).status, 404);
    assert!(desk.get("/approvals", &eve).text.contains("Nothing waits"));

    let weak = cookie(&world, "sarah", "aal1", START);
    let list = desk.get("/approvals", &weak);
    assert!(list.text.contains("Send the proposal for 5000 USD to Acme Corp, and 1 more"), "{}", list.text);
    let page = desk.get(&path, &weak);
    assert_eq!(page.status, 200);
    assert!(page.policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(page.text.contains("Confirm who I am") && !page.text.contains(">Approve<"), "{}", page.text);
    assert!(page.text.contains(&format!("/login?back={path}&#38;acr=aal2")), "{}", page.text);
    for shown in [
        "The agent The sales agent asks for your approval",
        "ACME-1",
        "6000 USD",
        "cfo@acme.example",
        "email:send in your name",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }

    let strong = cookie(&world, "sarah", "phr", START);
    let page = desk.get(&path, &strong);
    assert!(page.text.contains(">Approve<") && page.text.contains(">Deny<"));
    assert!(!page.text.contains("<script"));
    let (token, shown) = (hidden(&page.text, "token"), hidden(&page.text, "shown"));
    let good = [
        ("token", token.as_str()),
        ("shown", shown.as_str()),
        ("detail", "1"),
        ("scope", "drive:write"),
        ("decision", "approve"),
    ];
    let with =
        |name: &'static str, value: &'static str| good.map(|pair| if pair.0 == name { (name, value) } else { pair });
    // A look decides nothing; nor does a form of another site, of another browser, or of another request.
    assert_eq!(desk.get(&format!("{path}?decision=approve"), &strong).status, 200);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(good).finish();
    let crossed = desk.send("POST", &path, &[("cookie", &strong), ("sec-fetch-site", "cross-site")], body);
    assert_eq!(crossed.status, 403);
    assert_eq!(desk.post(&path, &strong, &with("token", "x")).status, 403);
    assert_eq!(desk.post(&path, &weak, &good).status, 403, "the token is of another browser");
    assert_eq!(desk.post(&path, &eve, &good).status, 403);
    assert_eq!(desk.post(&path, "", &good).status, 303);
    assert_eq!(desk.post(&path, &strong, &with("decision", "maybe")).status, 400);
    assert_eq!(desk.post(&path, &strong, &with("shown", "x")).status, 409);
    assert_eq!(desk.post(&path, &strong, &with("scope", "crm:update")).status, 400, "it was not asked for");
    let weak_token = hidden(&desk.get(&path, &weak).text, "token");
    let weakly = good.map(|pair| if pair.0 == "token" { ("token", weak_token.as_str()) } else { pair });
    assert_eq!(desk.post(&path, &weak, &weakly).status, 303, "sent to show who they are");
    assert_eq!(error(fetch(&world, auth_req_id)), "authorization_pending");

    let done = desk.post(&path, &strong, &good);
    assert_eq!(done.status, 200);
    assert!(
        done.text.contains("Approved") && !done.text.contains(auth_req_id),
        "the browser never has the token's key"
    );
    assert_eq!(desk.post(&path, &strong, &good).status, 409);
    assert_eq!(desk.get(&path, &strong).status, 409);
    let tokens = fetch(&world, auth_req_id).unwrap();
    assert_eq!(tokens.authorization_details, [detail("6000")]);
    assert_eq!(tokens.scope.as_deref(), Some("openid drive:write"));
}

#[test]
fn a_denial_on_the_page_is_told_to_the_client() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    let desk = Desk::new(&world);
    let (path, sarah) = (format!("/approvals/{}", id_of(&asked)), cookie(&world, "sarah", "aal2", START));
    let page = desk.get(&path, &sarah).text;
    let (token, shown) = (hidden(&page, "token"), hidden(&page, "shown"));
    let done = desk.post(&path, &sarah, &[("token", &token), ("shown", &shown), ("detail", "0"), ("decision", "deny")]);
    assert!(done.text.contains("Denied"));
    assert_eq!(error(world.fetch(&asked)), "access_denied");
}

#[test]
fn metadata_says_what_is_served() {
    let world = World::new();
    let mut metadata = serde_json::Map::new();
    CibaGrant(world.approvals.clone()).describe(&world.tenant, &mut metadata);
    assert_eq!(metadata["backchannel_authentication_endpoint"], format!("{ISSUER}/bc-authorize"));
    // fapi-ciba-id1-discovery-end-point-verification: no push.
    assert_eq!(metadata["backchannel_token_delivery_modes_supported"], json!(["poll", "ping"]));
    assert_eq!(metadata["backchannel_user_code_parameter_supported"], false);
    assert_eq!(metadata["authorization_details_types_supported"], json!(["proposal"]));
}
