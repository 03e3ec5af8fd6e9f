//! Another OpenID provider, as a served database asks it: sign in there, come back, and an account is linked. AUTH-1, F-2.1.

use crate::elsewhere::{Elsewhere, Furnished, Serving, Walker};
use crate::identity::env;
use crate::login_browser::Page;
use crate::outgoing_served::Signer;
use bailiwick::identity::hash_of;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "our-secret-at-the-other-provider";

/// What the provider knows of a code that it gave: who signed in, the nonce, the challenge.
type Codes = Arc<Mutex<BTreeMap<String, (String, String, String)>>>;

struct Provider {
    stub: Elsewhere,
    codes: Codes,
}

impl Provider {
    fn start(runtime: &tokio::runtime::Runtime) -> Provider {
        let (codes, signer) = (Codes::default(), Arc::new(Signer::new("one")));
        let (known, origin) = (Arc::clone(&codes), Arc::new(Mutex::new(String::new())));
        let own = Arc::clone(&origin);
        let stub = Elsewhere::start(runtime, move |asked| {
            let origin = own.lock().clone();
            match asked.path() {
                "/.well-known/openid-configuration" => (
                    200,
                    json!({
                        "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
                        "token_endpoint": format!("{origin}/token"), "jwks_uri": format!("{origin}/jwks"),
                        "authorization_response_iss_parameter_supported": true,
                    }),
                ),
                "/jwks" => (200, signer.jwks()),
                "/token" => token(&known, &signer, &origin, asked.header("authorization"), &asked.body),
                _ => (404, Value::Null),
            }
        });
        *origin.lock() = stub.origin.clone();
        Provider { stub, codes }
    }

    /// What somebody does at the provider whom a browser was sent there: the path of the callback, with its query.
    fn sign_in(&self, serving: &Serving, page: &Page, subject: &str) -> String {
        let url = url::Url::parse(page.left_for.as_ref().unwrap_or_else(|| panic!("{}", page.text()))).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.stub.origin)), "{url}");
        let said: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!((said["client_id"].as_str(), said["response_type"].as_str()), ("acme", "code"));
        assert_eq!((said["scope"].as_str(), said["code_challenge_method"].as_str()), ("openid", "S256"));
        let callback = format!("{}/login/upstream/callback", serving.issuer);
        assert_eq!(said["redirect_uri"], callback);
        let mut codes = self.codes.lock();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), (subject.to_owned(), said["nonce"].clone(), said["code_challenge"].clone()));
        let pairs = [("code", code.as_str()), ("state", &said["state"]), ("iss", &self.stub.origin)];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("/login/upstream/callback?{query}")
    }
}

/// Redeems a code for who shows the secret and the verifier.
fn token(codes: &Codes, signer: &Signer, origin: &str, authorization: &str, body: &str) -> (u16, Value) {
    use base64::Engine as _;
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let shown = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("acme:{SECRET}")));
    let Some((subject, nonce, challenge)) = codes.lock().remove(&form["code"]) else {
        return (400, json!({"error": "invalid_grant"}));
    };
    if authorization != shown || hash_of(&form["code_verifier"]) != challenge {
        return (401, json!({"error": "invalid_client"}));
    }
    let now = env().seconds();
    let claims = json!({"iss": origin, "aud": "acme", "sub": subject, "nonce": nonce, "iat": now, "exp": now + 60, "auth_time": now});
    let id_token = signer.sign("JWT", &claims);
    (200, json!({"access_token": "of-no-use-here", "token_type": "Bearer", "id_token": id_token}))
}

#[test]
fn an_account_is_linked_with_one_elsewhere_and_signs_in_by_it() {
    let db = Furnished::new();
    let provider = Provider::start(&db.runtime);
    for login in ["sarah@example.com", "bob@example.com"] {
        db.good(&["user", "create", login]);
    }
    let link = |login: &str| db.json(&["user", "invite", login])["link"].as_str().unwrap().to_owned();
    let (sarahs, bobs) = (link("sarah@example.com"), link("bob@example.com"));
    std::fs::write(db.directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let put = ["provider", "put", "work", "--name", "Work", "--issuer", &provider.stub.origin, "--client-id", "acme"];
    db.good(&[&put[..], &["--secret-file", "secret"]].concat());
    let serving = db.serve();

    // Who is linked with nobody signs in to nothing, and is told what to do.
    let mut stranger = Walker::new(&serving);
    let page = stranger.get("/login");
    let page = stranger.post(&page.form("/login/upstream"));
    let back = provider.sign_in(&serving, &page, "s-17");
    stranger.get(&back).shows("No account here is linked with that account at Work");
    assert!(!stranger.is_signed_in());

    // Sarah links hers, and signs in by it in another browser.
    let mut sarah = Walker::new(&serving);
    let account = sarah.enrol(&sarahs, PASSWORD);
    let page = sarah.post(&account.form("/account/upstream"));
    let back = provider.sign_in(&serving, &page, "s-17");
    sarah.get(&back).shows("It was added").shows("Work Added");
    let mut again = Walker::new(&serving);
    let page = again.get("/login");
    let page = again.post(&page.form("/login/upstream"));
    let back = provider.sign_in(&serving, &page, "s-17");
    again.get(&back).shows("Your account").shows("sarah@example.com");
    assert!(again.is_signed_in());
    again.get(&back).shows("took too long, or began in another browser");

    // Nobody else links theirs with it, and another account there is another account here.
    let mut bob = Walker::new(&serving);
    let account = bob.enrol(&bobs, PASSWORD);
    let page = bob.post(&account.form("/account/upstream"));
    bob.get(&provider.sign_in(&serving, &page, "s-17")).shows("linked with an account already");
    let account = bob.get("/account");
    let page = bob.post(&account.form("/account/upstream"));
    bob.get(&provider.sign_in(&serving, &page, "b-4")).shows("It was added");
    // A code that is not the provider's is refused, and the page says what to do.
    let page = stranger.get("/login");
    let page = stranger.post(&page.form("/login/upstream"));
    let back = provider.sign_in(&serving, &page, "s-17").replace("code=code-", "code=x");
    stranger.get(&back).shows("did not say who you are");
    assert!(!stranger.is_signed_in());
}
