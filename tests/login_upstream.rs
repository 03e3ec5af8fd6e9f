//! Sign-in with another provider: another tenant of ours stands for it, and its answers can be spoiled on the way.

use crate::login::{PASSWORD, app, parameter, request, sarah, sign_in, with_password};
use crate::login_browser::{Browser, Page, Site};
use bailiwick::identity::{Answer, Client, ClientKind, CodeGrant, ErrorCode, Form, NoKeys, Refusal};
use bailiwick::modules::login::{NewProvider, Outside, put_provider, remove_provider};
use bailiwick::modules::oauth::{Head, OAuth};
use serde_json::Value;
use std::sync::{Arc, Mutex};

const OTHER: &str = "https://login.other.example";
const CALLBACK: &str = "https://id.example.com/acme/login/upstream/callback";

/// What happens to an answer on its way.
type Spoil = Box<dyn Fn(&str, &mut Value) + Send>;

/// The other provider, as it is reached.
struct Reached {
    site: Arc<Site>,
    spoil: Mutex<Spoil>,
}

impl Reached {
    fn new(site: &Arc<Site>) -> Arc<Reached> {
        Arc::new(Reached { site: Arc::clone(site), spoil: Mutex::new(Box::new(|_, _| {})) })
    }

    fn spoiled(&self, url: &str, mut value: Value) -> Answer<Value> {
        (self.spoil.lock().unwrap())(url, &mut value);
        Ok(value)
    }

    fn oauth() -> OAuth {
        OAuth::new(vec![Arc::new(CodeGrant)], Arc::new(NoKeys))
    }
}

impl Outside for Reached {
    fn get(&self, url: &str) -> Answer<Value> {
        let tenant = &self.site.tenant;
        let value = match url.strip_prefix(OTHER).unwrap() {
            "/.well-known/openid-configuration" => Reached::oauth().metadata(tenant)?,
            "/jwks" => tenant.jwks(&self.site.env())?,
            path => panic!("{path}"),
        };
        self.spoiled(url, value)
    }

    fn post(&self, url: &str, form: &str, authorization: Option<&str>) -> Answer<Value> {
        assert_eq!(url, format!("{OTHER}/token"));
        let head = Head { authorization: authorization.map(str::to_owned), proofs: Vec::new() };
        let answer =
            Reached::oauth().token(&self.site.tenant, "/token", &head, &Form::parse(form)?, &self.site.env())?;
        self.spoiled(url, serde_json::to_value(answer).unwrap())
    }
}

/// Two sites, of which the first takes the word of the second.
fn sites() -> (Site, Arc<Site>, Arc<Reached>) {
    let other = Arc::new(Site::at(OTHER));
    sarah(&other);
    let mut client = Client::new("acme", ClientKind::App, "Acme");
    client.redirect_uris = vec![CALLBACK.to_owned()];
    client.grant_types = vec!["authorization_code".to_owned()];
    client.scopes = vec!["openid".to_owned()];
    client.consent = bailiwick::identity::ConsentRule::Managed;
    other.tenant.create_client(&client, &other.env()).unwrap();
    let (_, secret) = other.tenant.add_secret("acme", None, &other.env()).unwrap();
    let reached = Reached::new(&other);
    let site = Site::with(crate::login_browser::ISSUER, Arc::clone(&reached) as Arc<dyn Outside>);
    let provider = NewProvider { id: "other", name: "Other", issuer: OTHER, client_id: "acme", secret: Some(&secret) };
    put_provider(&site.tenant, provider, None, &site.env()).unwrap();
    sarah(&site);
    (site, other, reached)
}

/// What the other provider does with the browser that was sent there: the path of the callback, with its query.
fn there(other: &Site, at: &mut Browser<'_>, page: &Page) -> String {
    let url = url::Url::parse(page.left_for.as_ref().unwrap_or_else(|| panic!("{}", page.text()))).unwrap();
    assert_eq!(url.path(), "/authorize");
    let form = Form::parse(url.query().unwrap()).unwrap();
    let id = other.tenant.take_request(&form, &other.env()).unwrap();
    let mut page = at.get(&format!("/login?request={id}"));
    if page.left_for.is_none() {
        page = at.post(&with_password(&page, "sarah@example.com", PASSWORD));
    }
    page.left_for.unwrap().strip_prefix("https://id.example.com/acme").unwrap().to_owned()
}

fn link(other: &Site, browser: &mut Browser<'_>, at: &mut Browser<'_>) {
    let account = browser.get("/account");
    let page = browser.post(&account.form("/account/upstream"));
    let back = there(other, at, &page);
    browser.get(&back).shows("It was added").shows("Other Added");
}

#[test]
fn an_account_is_linked_by_its_owner_and_then_signs_in() {
    let (site, other, _) = sites();
    let (mut browser, mut at) = (Browser::new(&site), Browser::new(&other));
    // The same e-mail address there and here: nothing is linked by that.
    let page = browser.get("/login");
    let page = browser.post(&page.form("/login/upstream"));
    let back = there(&other, &mut at, &page);
    browser.get(&back).shows("No account here is linked with that account at Other");
    assert!(!browser.is_signed_in());
    assert!(site.events().contains(&"login.failed upstream.unlinked".to_owned()));

    sign_in(&mut browser);
    link(&other, &mut browser, &mut at);
    let mut second = Browser::new(&site);
    let page = second.get("/login");
    let page = second.post(&page.form("/login/upstream"));
    let back = there(&other, &mut at, &page);
    second.get(&back).shows("Your account");
    second.get(&back).shows("took too long, or began in another browser");
    let user = site.tenant.user_by_login("sarah@example.com").unwrap().unwrap();
    let sessions = site.tenant.sessions(&user.id, None).unwrap();
    assert_eq!(sessions.last().unwrap().authentication.acr, "aal1");
    // Nor can somebody else link it with theirs.
    let bob = site.user("bob@example.com");
    let mut third = Browser::new(&site);
    let page = third.get(&crate::login::invitation(&site, &bob));
    third.post(&page.form("/invite"));
    let form = third.get("/login/enrol/password").form("/login/enrol/password");
    let account = third.post(&form.with("password", PASSWORD).with("again", PASSWORD));
    let page = third.post(&account.form("/account/upstream"));
    let back = there(&other, &mut at, &page);
    third.get(&back).shows("linked with an account already");
    remove_provider(&site.tenant, "other", None, &site.env()).unwrap();
    assert!(Browser::new(&site).get("/login").forms("/login/upstream").is_empty());
}

#[test]
fn who_must_show_it_again_shows_it_there_again() {
    let (site, other, _) = sites();
    let (mut browser, mut at) = (Browser::new(&site), Browser::new(&other));
    sign_in(&mut browser);
    link(&other, &mut browser, &mut at);
    site.pass(2_000);
    other.pass(2_000);
    let page = browser.get("/account/password");
    let page = browser.post(&page.shows("Confirm that it is you").form("/login/upstream"));
    assert!(page.left_for.as_ref().unwrap().contains("max_age=0"));
    let back = there(&other, &mut at, &page);
    browser.get(&back).shows("Set a password");
}

#[test]
fn a_new_sign_in_is_asked_of_the_other_provider_too() {
    let (site, other, _) = sites();
    app(&site, true);
    let (mut browser, mut at) = (Browser::new(&site), Browser::new(&other));
    sign_in(&mut browser);
    link(&other, &mut browser, &mut at);
    site.pass(5);
    other.pass(5);
    // Who is signed in there alone would come back at once, with a sign-in from before.
    let left = |more: &str| {
        let mut nobody = Browser::new(&site);
        let page = nobody.get(&request(&site, more));
        let page = nobody.post(&page.form("/login/upstream"));
        (nobody, page)
    };
    let (mut nobody, page) = left("");
    assert!(!page.left_for.as_ref().unwrap().contains("max_age"));
    assert!(!parameter(&nobody.get(&there(&other, &mut at, &page)), "code").is_empty());
    for more in ["&prompt=login", "&max_age=0"] {
        let (mut nobody, page) = left(more);
        assert!(page.left_for.as_ref().unwrap().contains("max_age=0"), "{more}");
        assert!(!parameter(&nobody.get(&there(&other, &mut at, &page)), "code").is_empty(), "{more}");
        // And one that does not ask anew is not believed.
        site.pass(5);
        other.pass(5);
        let (mut nobody, mut page) = left(more);
        page.left_for = page.left_for.map(|url| url.replace("&max_age=0", ""));
        nobody.get(&there(&other, &mut at, &page)).shows("the other provider told of an old one");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn an_answer_that_is_not_right_signs_nobody_in() {
    let (site, other, reached) = sites();
    let (mut browser, mut at) = (Browser::new(&site), Browser::new(&other));
    sign_in(&mut browser);
    link(&other, &mut browser, &mut at);
    let spoils: [(&str, Spoil); 5] = [
        (
            "issuer",
            Box::new(|url, v| {
                if url.ends_with("configuration") {
                    v["issuer"] = "https://evil.example".into()
                }
            }),
        ),
        (
            "signature",
            Box::new(|url, v| {
                if url.ends_with("/jwks") {
                    v["keys"][0]["x"] = v["keys"][0]["y"].clone()
                }
            }),
        ),
        (
            "no keys",
            Box::new(|url, v| {
                if url.ends_with("/jwks") {
                    v["keys"] = serde_json::json!([])
                }
            }),
        ),
        (
            "no token",
            Box::new(|url, v| {
                if url.ends_with("/token") {
                    v["id_token"] = Value::Null
                }
            }),
        ),
        (
            "access token",
            Box::new(|url, v| {
                if url.ends_with("/token") {
                    v["id_token"] = v["access_token"].clone()
                }
            }),
        ),
    ];
    for (what, spoil) in spoils {
        let mut victim = Browser::new(&site);
        let page = victim.get("/login");
        let page = victim.post(&page.form("/login/upstream"));
        let back = there(&other, &mut at, &page);
        *reached.spoil.lock().unwrap() = spoil;
        victim.get(&back).shows("did not say who you are");
        assert!(!victim.is_signed_in(), "{what}");
        *reached.spoil.lock().unwrap() = Box::new(|_, _| {});
    }
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 5] = [
        ("state", |url| url.replace("state=", "state=x")),
        ("iss", |url| url.replace("iss=https%3A%2F%2Flogin", "iss=https%3A%2F%2Fevil")),
        ("no iss", |url| url.replace("&iss=", "&x=")),
        ("code", |url| url.replace("code=", "code=x")),
        ("error", |url| format!("{url}&error=access_denied")),
    ];
    for (what, change) in changes {
        let mut victim = Browser::new(&site);
        let page = victim.get("/login");
        let page = victim.post(&page.form("/login/upstream"));
        let page = victim.get(&change(there(&other, &mut at, &page)));
        assert!(!victim.is_signed_in() && page.status >= 200, "{what}: {}", page.text());
    }
    // What was begun in one browser is not ended in another: nobody is signed in to somebody else's account.
    let mut thief = Browser::new(&site);
    let page = thief.get("/login");
    let page = thief.post(&page.form("/login/upstream"));
    let back = there(&other, &mut at, &page);
    let mut victim = Browser::new(&site);
    victim.get("/login");
    victim.get(&back).shows("began in another browser");
}

#[test]
fn a_provider_is_written_as_it_must_be() {
    let site = Site::new();
    let good = NewProvider { id: "other", name: "Other", issuer: OTHER, client_id: "acme", secret: None };
    let put =
        |provider| put_provider(&site.tenant, provider, None, &site.env()).err().map(|r: Refusal| (r.error, r.rule));
    assert_eq!(put(good), None);
    for (bad, rule) in [
        (NewProvider { id: "Other", ..good }, "upstream.id"),
        (NewProvider { name: "", ..good }, "upstream.text"),
        (NewProvider { secret: Some(""), ..good }, "upstream.text"),
        (NewProvider { issuer: "http://login.other.example", ..good }, "upstream.issuer"),
        (NewProvider { issuer: "https://login.other.example?x", ..good }, "upstream.issuer"),
    ] {
        assert_eq!(put(bad), Some((ErrorCode::InvalidRequest, rule)));
    }
    for n in 0..15 {
        assert_eq!(put(NewProvider { id: Box::leak(format!("p{n}").into_boxed_str()), ..good }), None);
    }
    assert_eq!(put(NewProvider { id: "p15", ..good }).unwrap().1, "upstream.max");
    assert_eq!(put(NewProvider { name: "Another name", ..good }), None, "one that is there can be changed");
}
