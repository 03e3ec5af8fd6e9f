//! The pages of signing in, as a browser sees them: each story is one that a person lives through, or that somebody tries.

use crate::login_browser::{Browser, Form, Page, START, Site};
use crate::login_passkeys::Device;
use bailiwick::identity::{
    AuthMethod, AuthRequest, Caller, Client, ClientKind, CodeGrant, CredentialKind, GrantType as _, Resource, Scope,
    TokenKind, User,
};
use bailiwick::modules::login::{Factors, TOTP_SECRET_BYTES, make_recovery_codes};
use url::Url;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const ORIGIN: &str = "https://id.example.com";
/// The wait between two codes of an app.
const STEP: u64 = 30;

/// The path of an invitation below the issuer.
pub(crate) fn invitation(site: &Site, user: &User) -> String {
    format!("/invite?code={}", site.tenant.invite(&user.id, 3_600, &site.env()).unwrap())
}

/// A user with a password, who is signed in nowhere.
pub(crate) fn sarah(site: &Site) -> User {
    let user = site.user("sarah@example.com");
    let mut browser = Browser::new(site);
    let page = browser.get(&invitation(site, &user));
    let page = browser.post(&page.form("/invite"));
    let page = if page.path.ends_with("/password") { page } else { browser.get("/login/enrol/password") };
    let form = page.form("/login/enrol/password").with("password", PASSWORD).with("again", PASSWORD);
    browser.post(&form).shows("Your account");
    user
}

pub(crate) fn with_password(page: &Page, name: &str, password: &str) -> Form {
    page.form("/login/password").with("name", name).with("password", password)
}

pub(crate) fn sign_in(browser: &mut Browser<'_>) -> Page {
    let page = browser.get("/login");
    browser.post(&with_password(&page, "sarah@example.com", PASSWORD))
}

/// A code of an app (RFC 6238), by another implementation than the one that checks it.
fn code(secret: &[u8; TOTP_SECRET_BYTES], now: u64) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &(now / STEP).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn add_app(site: &Site, browser: &mut Browser<'_>) -> ([u8; TOTP_SECRET_BYTES], Vec<String>) {
    let page = browser.get("/account/totp");
    let text = page.text();
    let shown = text.split("type this key into the app ").nth(1).unwrap();
    let shown: String = shown.split_whitespace().take(8).collect();
    let mut bits = shown.chars().map(|c| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap() as u64);
    let mut secret = [0_u8; TOTP_SECRET_BYTES];
    for chunk in secret.chunks_mut(5) {
        let five = (0..8).fold(0_u64, |all, _| all << 5 | bits.next().unwrap());
        chunk.copy_from_slice(&five.to_be_bytes()[3..]);
    }
    let page = browser.post(&page.form("/account/totp").with("code", &code(&secret, site.now())));
    page.shows("never again");
    let codes = page
        .text()
        .split_whitespace()
        .filter(|w| w.len() == 19 && w.matches('-').count() == 3)
        .map(Into::into)
        .collect();
    (secret, codes)
}

/// An application, and its request with more parameters.
pub(crate) fn app(site: &Site, consent_is_managed: bool) -> Client {
    let mut client = Client::new("crm", ClientKind::App, "CRM");
    client.redirect_uris = vec!["https://crm.example.com/cb".to_owned()];
    client.grant_types = vec!["authorization_code".to_owned()];
    client.scopes = ["openid", "email"].map(str::to_owned).to_vec();
    if consent_is_managed {
        client.consent = bailiwick::identity::ConsentRule::Managed;
    }
    site.tenant.create_client(&client, &site.env()).unwrap()
}

pub(crate) fn request(site: &Site, more: &str) -> String {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let query = format!(
        "client_id=crm&response_type=code&redirect_uri=https%3A%2F%2Fcrm.example.com%2Fcb&scope=openid%20email&state=s1\
         &code_challenge={challenge}&code_challenge_method=S256{more}"
    );
    let form = bailiwick::identity::Form::parse(&query).unwrap();
    let id = site.tenant.take_request(&form, &site.env()).unwrap();
    format!("/login?request={id}")
}

/// The parameters that the application got.
fn answer(page: &Page) -> Vec<(String, String)> {
    let url = Url::parse(page.left_for.as_ref().unwrap_or_else(|| panic!("still here: {}", page.text()))).unwrap();
    assert!(url.as_str().starts_with("https://crm.example.com/cb?"), "{url}");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    assert!(pairs.contains(&("state".to_owned(), "s1".to_owned())));
    pairs
}

pub(crate) fn parameter(page: &Page, name: &str) -> String {
    answer(page).into_iter().find(|(n, _)| n == name).map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn an_invitation_leads_to_an_account_once() {
    let site = Site::new();
    let user = site.user("sarah@example.com");
    let path = invitation(&site, &user);
    let mut browser = Browser::new(&site);
    for _ in 0..3 {
        browser.get(&path).shows("Welcome").shows("sarah@example.com");
    }
    let page = browser.get(&path);
    let page = browser.post(&page.form("/invite"));
    page.shows("Add a passkey");
    browser.get(&path).shows("This invitation is unknown, used or too old");
    let mut device = Device::new(ORIGIN, false);
    let form = page.form("/login/enrol/passkey");
    let response = device.create(form.options.as_ref().unwrap());
    browser
        .post(&form.with("response", &response).with("label", "Phone"))
        .shows("Passkey “Phone”")
        .shows("only way in");
    assert!(browser.is_signed_in());
    let events =
        ["tenant.created", "user.created", "user.changed", "user.changed", "credential.added", "session.started"];
    assert_eq!(site.events(), events.map(|event| format!("{event} -")));

    let mut late = Browser::new(&site);
    let path = invitation(&site, &user);
    site.pass(3_600);
    late.get(&path).shows("too old");
    late.get("/invite?code=x").shows("unknown");
    late.get("/login/enrol").shows("took too long");
}

#[test]
fn a_password_signs_in_and_a_wrong_one_says_nothing() {
    let site = Site::new();
    sarah(&site);
    let mut browser = Browser::new(&site);
    let page = browser.get("/login");
    let unknown = browser.post(&with_password(&page, "bob@example.com", PASSWORD));
    let wrong = browser.post(&with_password(&page, "sarah@example.com", "correct horse battery stable"));
    let empty = browser.post(&with_password(&page, "sarah@example.com", ""));
    for page in [&unknown, &wrong, &empty] {
        assert_eq!(page.status, 422);
        page.shows("The name or the password is not right.");
    }
    assert_eq!(unknown.text(), wrong.text(), "who is not here looks like who is");
    assert!(!browser.is_signed_in());
    let page = browser.post(&with_password(&wrong, " SARAH@example.com ", PASSWORD));
    page.shows("Your account").shows("Firefox on Linux").shows("this browser");
    let failed = site.events().iter().filter(|e| *e == "login.failed password.wrong").count();
    assert_eq!(failed, 3);
}

#[test]
fn attempts_are_limited_for_an_account_and_for_an_address() {
    let site = Site::new();
    sarah(&site);
    let mut attacker = Browser::new(&site);
    attacker.address = "198.51.100.1";
    let page = attacker.get("/login");
    for _ in 0..10 {
        assert_eq!(attacker.post(&with_password(&page, "sarah@example.com", "wrong")).status, 422);
    }
    let limited = attacker.post(&with_password(&page, "sarah@example.com", PASSWORD));
    assert_eq!((limited.status, limited.header("retry-after")), (429, "150"));
    limited.shows("Try again in 3 minutes.");
    // An account that is not there is held up just as well.
    for _ in 0..10 {
        attacker.post(&with_password(&page, "nobody", "wrong"));
    }
    assert_eq!(attacker.post(&with_password(&page, "nobody", "wrong")).status, 429);
    for n in 0..20 {
        attacker.post(&with_password(&page, &format!("user{n}"), "wrong"));
    }
    assert_eq!(attacker.post(&with_password(&page, "fresh", "wrong")).status, 429, "so is the address");
    let mut other = Browser::new(&site);
    let page = other.get("/login");
    assert_eq!(other.post(&with_password(&page, "fresh", "wrong")).status, 422, "and no other");
    site.pass(150);
    assert!(other.post(&with_password(&page, "sarah@example.com", PASSWORD)).status == 200, "a wait helps");
}

#[test]
fn a_code_is_needed_where_there_is_an_app_and_is_used_once() {
    let site = Site::new();
    let user = sarah(&site);
    let mut browser = Browser::new(&site);
    sign_in(&mut browser);
    let (secret, codes) = add_app(&site, &mut browser);
    assert_eq!(codes.len(), 10);
    site.pass(STEP);
    let mut second = Browser::new(&site);
    let page = sign_in(&mut second);
    page.shows("Second step");
    assert!(!second.is_signed_in());
    let good = code(&secret, site.now());
    let wrong = second.post(&page.form("/login/code").with("code", "12345"));
    assert_eq!(wrong.status, 422);
    wrong.shows("not right");
    second.post(&page.form("/login/code").with("code", &good)).shows("Your account");
    // Somebody looked over the shoulder, and knows the password.
    let mut third = Browser::new(&site);
    let page = sign_in(&mut third);
    third.post(&page.form("/login/code").with("code", &good)).shows("or it was used");
    let page = third.get("/login/code?recovery=yes");
    third.post(&page.form("/login/recovery").with("code", &codes[3].to_lowercase())).shows("Your account");
    let mut fourth = Browser::new(&site);
    sign_in(&mut fourth);
    let page = fourth.get("/login/code?recovery=yes");
    fourth.post(&page.form("/login/recovery").with("code", &codes[3])).shows("or it was used");
    for _ in 0..3 {
        fourth.post(&page.form("/login/recovery").with("code", "AAAA-AAAA-AAAA-AAAA"));
    }
    let page = fourth.post(&page.form("/login/recovery").with("code", &codes[4]));
    assert_eq!((page.status, fourth.is_signed_in()), (429, false));
    site.pass(600);
    let page = fourth.get("/login/code");
    page.shows("took too long").form("/login/password");
    make_recovery_codes(&site.tenant, &user.id, &site.env()).unwrap();
    let mut fifth = Browser::new(&site);
    site.pass(1_500);
    sign_in(&mut fifth);
    let page = fifth.get("/login/code?recovery=yes");
    fifth.post(&page.form("/login/recovery").with("code", &codes[5])).shows("none of your recovery codes");
}

#[test]
fn forms_of_other_sites_other_browsers_and_from_before_are_refused() {
    let site = Site::new();
    sarah(&site);
    let mut browser = Browser::new(&site);
    let page = browser.get("/login");
    let good = with_password(&page, "sarah@example.com", PASSWORD);
    browser.site_of_forms = Some("cross-site");
    assert_eq!(browser.post(&good).status, 403);
    browser.site_of_forms = Some("same-origin");
    assert_eq!(browser.post(&good.clone().with("token", "")).status, 403);
    let other = Browser::new(&site).get("/login");
    let foreign = other.form("/login/password").fields["token"].clone();
    browser.post(&good.clone().with("token", &foreign)).shows("too old, or it is not ours");
    let cookies = browser.cookies.clone();
    browser.cookies.clear();
    assert_eq!(browser.post(&good).status, 403, "nor without the cookie");
    browser.cookies = cookies;
    browser.post(&good).shows("Your account");
    assert_eq!(browser.post(&good).status, 403, "signing in makes forms from before void");
    let account = browser.get("/account");
    let out = account.form("/logout");
    assert_eq!(
        browser
            .post(&Form {
                action: account
                    .forms("/account/session")
                    .pop()
                    .map_or(out.action.replace("/logout", "/account/session"), |f| f.action),
                ..out
            })
            .status,
        403,
        "one form's token fits no other"
    );
    assert!(browser.is_signed_in());
}

#[test]
fn a_passkey_signs_in_without_a_name() {
    let site = Site::new();
    sarah(&site);
    let (mut browser, mut device) = (Browser::new(&site), Device::new(ORIGIN, false));
    sign_in(&mut browser);
    let page = browser.get("/account/passkey");
    let form = page.form("/account/passkey");
    let response = device.create(form.options.as_ref().unwrap());
    browser.post(&form.with("response", &response)).shows("Passkey");
    let mut second = Browser::new(&site);
    let page = second.get("/login");
    let form = page.form("/login/passkey");
    let form = form.clone().with("response", &device.get(form.options.as_ref().unwrap()));
    // What was prepared for one browser is of no use in another.
    let mut thief = Browser::new(&site);
    let token = thief.get("/login").form("/login/passkey").fields["token"].clone();
    thief.post(&form.clone().with("token", &token)).shows("not known here");
    second.post(&form).shows("Your account");
    let user = site.tenant.user_by_login("sarah@example.com").unwrap().unwrap();
    // Sessions that began in the same millisecond stand in any order.
    let sessions = site.tenant.sessions(&user.id, None).unwrap();
    let ways = sessions.iter().map(|s| (s.authentication.acr.as_str(), s.authentication.amr.join(" ")));
    assert!(ways.clone().any(|way| way == ("phr", "pop user mfa".to_owned())), "{:?}", ways.collect::<Vec<_>>());
    assert!(site.events().contains(&"login.failed passkey.unproved".to_owned()));
}

#[test]
fn an_application_is_allowed_or_refused_and_not_asked_for_again() {
    let site = Site::new();
    sarah(&site);
    app(&site, false);
    let mut browser = Browser::new(&site);
    let page = browser.get(&request(&site, ""));
    page.shows("to continue to CRM");
    let page = browser.post(&with_password(&page, "sarah@example.com", PASSWORD));
    page.shows("CRM asks for access").shows("See your e-mail address").shows("You will be sent to crm.example.com");
    let refused = browser.post(&page.form("/login/consent").with("decision", "refuse"));
    assert_eq!(
        (parameter(&refused, "error").as_str(), parameter(&refused, "iss").as_str()),
        ("access_denied", "https://id.example.com/acme")
    );
    browser.post(&page.form("/login/consent").with("decision", "allow")).shows("unknown, finished or too old");

    let page = browser.get(&request(&site, ""));
    let unclear = browser.post(&page.form("/login/consent").with("decision", "maybe"));
    unclear.shows("neither yes nor no");
    let allowed = browser.post(&page.form("/login/consent").with("decision", "allow"));
    assert_eq!(parameter(&allowed, "code").len(), 43);
    let again = browser.get(&request(&site, ""));
    assert_eq!(parameter(&again, "code").len(), 43, "what was allowed is not asked again");
    browser.get(&request(&site, "&prompt=consent")).shows("CRM asks for access");

    let account = browser.get("/account");
    account.shows("What you have allowed CRM");
    browser.post(&account.form("/account/consent")).shows("It was withdrawn");
    browser.get(&request(&site, "")).shows("CRM asks for access");
    assert!(site.events().contains(&"grant.revoked consent.withdrawn".to_owned()));
}

/// TX-7a, TX-7b: what an application may do with somebody's data is on the page, in words, and the token is for that alone.
#[test]
fn people_allow_what_stands_on_the_page_and_nothing_else() {
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let site = Site::new();
    sarah(&site);
    let mut browser = Browser::new(&site);
    let page = browser.get("/login");
    browser.post(&with_password(&page, "sarah@example.com", PASSWORD));
    for (id, name, data, scope, words, other) in [
        ("travel", "TravelBot", "Google Calendar", "calendar.read", "Access your Google Calendar", "calendar.write"),
        ("meals", "Meal Planner", "Fitness tracker", "steps.read", "See how many steps you take", "heart.read"),
    ] {
        let place = format!("https://{id}.example/");
        let scope_of = |name: &str, words: &str| Scope { name: name.into(), description: words.into(), checked: false };
        let scopes = vec![scope_of(scope, words), scope_of(other, "Something else")];
        let resource = Resource { id: id.into(), identifier: place.clone(), name: data.into(), scopes, created_at: 0 };
        site.tenant.put_resource(&resource, &site.env()).unwrap();
        let mut client = Client::new(id, ClientKind::App, name);
        client.redirect_uris = vec!["https://crm.example.com/cb".to_owned()];
        client.grant_types = vec!["authorization_code".to_owned()];
        client.scopes = vec![scope.to_owned(), other.to_owned()];
        client.resources = vec![place.clone()];
        site.tenant.create_client(&client, &site.env()).unwrap();
        let asked = |scope: &str| {
            let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
            let pairs = [
                ("client_id", id),
                ("response_type", "code"),
                ("redirect_uri", "https://crm.example.com/cb"),
                ("scope", scope),
                ("resource", &place),
                ("state", "s1"),
                ("code_challenge", challenge),
                ("code_challenge_method", "S256"),
            ];
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let form = bailiwick::identity::Form::parse(&query).unwrap();
            format!("/login?request={}", site.tenant.take_request(&form, &site.env()).unwrap())
        };
        let page = browser.get(&asked(scope));
        page.shows(&format!("{name} asks for access")).shows(data).shows(words);
        assert!(!page.text().contains("Something else"), "{}", page.text());
        let refused = browser.post(&page.form("/login/consent").with("decision", "refuse"));
        assert_eq!(parameter(&refused, "error"), "access_denied");
        let page = browser.get(&asked(scope));
        let allowed = browser.post(&page.form("/login/consent").with("decision", "allow"));
        let code = parameter(&allowed, "code");
        let redeemed = format!("code={code}&code_verifier={VERIFIER}&redirect_uri=https%3A%2F%2Fcrm.example.com%2Fcb");
        let form = bailiwick::identity::Form::parse(&redeemed).unwrap();
        let client = site.tenant.client(id).unwrap();
        let caller = Caller { client, method: AuthMethod::ClientSecretBasic, jkt: None };
        let answer = CodeGrant.redeem(&site.tenant, &caller, &form, &site.env()).unwrap();
        assert_eq!(answer.scope.as_deref(), Some(scope));
        // More is another question; taken back, the token is of no use.
        browser.get(&asked(&format!("{scope} {other}"))).shows("Something else");
        let living = || site.tenant.examine(&answer.access_token, TokenKind::Access, Some(&place), &site.env());
        assert_eq!(living().unwrap().scopes, [scope]);
        let account = browser.get("/account");
        browser.post(&account.form("/account/consent")).shows("It was withdrawn");
        assert_eq!(living().unwrap_err().rule, "consent.withdrawn");
    }
}

#[test]
fn where_consent_is_managed_nobody_is_asked_and_who_cancels_goes_back() {
    let site = Site::new();
    sarah(&site);
    app(&site, true);
    let mut browser = Browser::new(&site);
    let page = browser.get(&request(&site, ""));
    let gone = browser.post(&page.form("/login/cancel"));
    assert_eq!(parameter(&gone, "error"), "access_denied");
    let page = browser.get(&request(&site, "&login_hint=sarah%40example.com"));
    let form = page.form("/login/password").with("password", PASSWORD);
    assert_eq!(form.fields["name"], "sarah@example.com");
    assert_eq!(parameter(&browser.post(&form), "code").len(), 43);
    let page = browser.get(&request(&site, "&prompt=none"));
    assert!(!parameter(&page, "code").is_empty(), "what needs no page gets none");
    for (more, error) in [("&acr_values=phr", "interaction_required"), ("&max_age=0", "login_required")] {
        let page = browser.get(&request(&site, &format!("&prompt=none{more}")));
        assert_eq!(parameter(&page, "error"), error);
    }
    let mut nobody = Browser::new(&site);
    assert_eq!(parameter(&nobody.get(&request(&site, "&prompt=none")), "error"), "login_required");
    browser.get("/login?request=nonsense").shows("start again from the application");
}

#[test]
fn more_is_asked_for_when_an_application_asks_for_more() {
    let site = Site::new();
    sarah(&site);
    app(&site, true);
    let mut browser = Browser::new(&site);
    sign_in(&mut browser);
    assert!(!parameter(&browser.get(&request(&site, "&acr_values=aal1")), "code").is_empty());
    // Nothing more yet: a passkey is added on the way, and that is enough.
    let page = browser.get(&request(&site, "&acr_values=phr"));
    page.shows("One more thing");
    let href = page.body.split("/acme/account/passkey?").nth(1).unwrap().split('"').next().unwrap();
    let page = browser.get(&format!("/account/passkey?{href}"));
    let (mut device, form) = (Device::new(ORIGIN, false), page.form("/account/passkey"));
    let response = device.create(form.options.as_ref().unwrap());
    let page = browser.post(&form.with("response", &response));
    assert!(!parameter(&page, "code").is_empty());
    // Another browser, with the password alone: it is not enough, and a passkey is asked for.
    let mut other = Browser::new(&site);
    sign_in(&mut other);
    let page = other.get(&request(&site, "&acr_values=phr"));
    assert!(page.forms("/login/password").is_empty());
    let form = page.shows("Confirm that it is you").form("/login/passkey");
    let response = device.get(form.options.as_ref().unwrap());
    let page = other.post(&form.with("response", &response));
    assert!(!parameter(&page, "code").is_empty());
    let steps = site.events().iter().filter(|e| *e == "session.started step-up").count();
    assert_eq!(steps, 2, "the session is the same, and shown to be more");
}

#[test]
fn who_they_are_is_asked_again_when_it_is_long_ago_or_wanted() {
    let site = Site::new();
    sarah(&site);
    app(&site, true);
    let mut browser = Browser::new(&site);
    sign_in(&mut browser);
    site.pass(500);
    assert!(!parameter(&browser.get(&request(&site, "&max_age=600")), "code").is_empty());
    for more in ["&max_age=300", "&max_age=0", "&prompt=login"] {
        site.pass(1);
        let page = browser.get(&request(&site, more));
        let form = page.shows("Confirm that it is you").form("/login/password");
        assert_eq!(form.fields["name"], "sarah@example.com");
        assert!(!parameter(&browser.post(&form.with("password", PASSWORD)), "code").is_empty(), "{more}");
        site.pass(400);
    }
    // Within one second: what was there when the application asked is not enough, and who is quick is asked once.
    for more in ["&prompt=login", "&max_age=0", "&prompt=login"] {
        let page = browser.get(&request(&site, more));
        let form = page.shows("Confirm that it is you").form("/login/password");
        assert!(!parameter(&browser.post(&form.with("password", PASSWORD)), "code").is_empty(), "{more}");
    }
    let page = browser.get(&request(&site, "&prompt=select_account"));
    assert_eq!(page.shows("Sign in").form("/login/password").fields["name"], "");
}

#[test]
fn sessions_end_by_their_owner_by_rest_and_by_time() {
    let site = Site::new();
    sarah(&site);
    let (mut one, mut two) = (Browser::new(&site), Browser::new(&site));
    sign_in(&mut one);
    sign_in(&mut two);
    let page = one.get("/account");
    let others = page.forms("/account/session");
    assert_eq!(others.len(), 3, "the one of the welcome, the other one, and all others");
    one.post(others.last().unwrap()).shows("It was ended");
    two.get("/account").form("/login/password");
    one.get("/account").shows("Where you are signed in");
    let page = one.get("/account");
    one.post(&page.form("/logout")).shows("You are signed out");
    assert!(!one.is_signed_in());
    sign_in(&mut one);
    for _ in 0..12 {
        site.pass(3_599);
        one.get("/account").shows("Where you are signed in");
    }
    site.pass(100);
    one.get("/account").form("/login/password");
    sign_in(&mut one);
    site.pass(3_600);
    one.get("/account").form("/login/password");
    assert!(site.now() > START);
}

/// Sessions that are over stay on the disk while something hangs on them; the account shows those that are not.
#[test]
fn the_account_shows_where_one_is_signed_in_now() {
    use bailiwick::identity::{Authentication, Browser as Told, SESSIONS_PAGE_MAX};
    let site = Site::new();
    let user = sarah(&site);
    for _ in 0..SESSIONS_PAGE_MAX {
        let authentication = Authentication { at: site.now(), acr: "aal1".into(), amr: vec!["pwd".into()] };
        let (session, _) = site.tenant.start_session(&user.id, authentication, Told::default(), &site.env()).unwrap();
        site.tenant.end_session(&user.id, &session.id, "test", &site.env()).unwrap();
    }
    site.pass(5);
    let mut browser = Browser::new(&site);
    sign_in(&mut browser).shows("this browser");
}

#[test]
fn changing_ways_in_asks_again_and_leaves_one() {
    let site = Site::new();
    let user = sarah(&site);
    let mut browser = Browser::new(&site);
    let page = sign_in(&mut browser);
    page.shows("your only way in");
    let id = site.tenant.credentials(&user.id).unwrap()[0].id.clone();
    let mut remove = page.form("/logout");
    assert!(page.forms("/account/credential").is_empty());
    remove.action = remove.action.replace("/logout", "/account/credential");
    assert_eq!(browser.post(&remove.with("credential", &id)).status, 403);

    site.pass(901);
    let page = browser.get("/account/password");
    let form = page.shows("Confirm that it is you").form("/login/password");
    let page = browser.post(&form.with("password", PASSWORD));
    let form = page.shows("Set a password").form("/account/password");
    let wrong = browser.post(&form.clone().with("password", "too short").with("again", "too short"));
    wrong.shows("at least 15 characters");
    let wrong = browser.post(&form.clone().with("password", "another one of these").with("again", "another one"));
    wrong.shows("This is not the same.");
    let mut other = Browser::new(&site);
    sign_in(&mut other);
    let new = "another one of these, please";
    browser.post(&form.with("password", new).with("again", new)).shows("The password was set");
    other.get("/account").form("/login/password");
    let page = sign_in(&mut other);
    page.shows("not right");
    other.post(&with_password(&page, "sarah@example.com", new)).shows("Your account");
    let passwords = Factors::of(&site.tenant, &user.id).unwrap();
    assert_eq!(passwords.all().iter().filter(|c| c.kind == CredentialKind::Password).count(), 1);
}

#[test]
fn who_has_lost_all_begins_anew() {
    let site = Site::new();
    let user = sarah(&site);
    let mut thief = Browser::new(&site);
    sign_in(&mut thief);
    let mut browser = Browser::new(&site);
    let page = browser.get(&invitation(&site, &user));
    browser.post(&page.shows("Add a way to sign in").form("/invite"));
    let page = browser.get("/login/enrol");
    let (mut device, form) = (Device::new(ORIGIN, false), page.form("/login/enrol/passkey"));
    let response = device.create(form.options.as_ref().unwrap());
    browser.post(&form.with("response", &response).with("reset", "yes")).shows("your only way in");
    thief.get("/account").form("/login/password");
    sign_in(&mut thief).shows("not right");
}

#[test]
fn who_is_suspended_or_gone_does_not_get_in() {
    let site = Site::new();
    let user = sarah(&site);
    site.tenant.suspend(&user.subject(), true, None, &site.env()).unwrap();
    let mut browser = Browser::new(&site);
    sign_in(&mut browser).shows("may do nothing for now");
    assert!(!browser.is_signed_in());
    site.tenant.suspend(&user.subject(), false, None, &site.env()).unwrap();
    sign_in(&mut browser).shows("Your account");
    site.tenant.delete_user(&user.id, &site.env()).unwrap();
    browser.get("/account").form("/login/password");
    sign_in(&mut browser).shows("not right");
}

#[test]
fn pages_hold_what_their_headers_promise() {
    let site = Site::new();
    sarah(&site);
    let mut browser = Browser::new(&site);
    let mut pages = vec![browser.get("/login"), browser.get("/login/nothing"), sign_in(&mut browser)];
    for path in ["/account", "/account/totp", "/account/passkey", "/account/password", "/logout"] {
        pages.push(browser.get(path));
    }
    for page in pages {
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(policy.contains("script-src"), page.body.contains("<script>"), "{}", page.path);
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert!(!page.body.contains(" style=") && !page.body.contains(" onclick"), "{}", page.path);
        assert_eq!(page.body.matches("<script>").count(), page.body.matches("<script").count());
    }
    for name in browser.cookies.keys() {
        assert!(name.starts_with("__Host-bw-"), "{name}");
    }
}

#[test]
fn what_others_wrote_is_shown_and_does_nothing() {
    let site = Site::new();
    sarah(&site);
    let mut client = Client::new("crm", ClientKind::Agent, "<b onclick=x>CRM\u{202e}</b>\"'");
    client.redirect_uris = vec!["https://crm.example.com/cb".to_owned()];
    client.grant_types = vec!["authorization_code".to_owned()];
    client.scopes = ["openid", "email"].map(str::to_owned).to_vec();
    site.tenant.create_client(&client, &site.env()).unwrap();
    let mut browser = Browser::new(&site);
    let page = browser.get(&request(&site, "&login_hint=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"));
    assert!(!page.body.contains("<script>alert"));
    let page = browser.post(&with_password(&page, "\"><script>alert(2)</script>", "x"));
    assert!(!page.body.contains("<script>alert"));
    let page = browser.post(&with_password(&page, "sarah@example.com", PASSWORD));
    page.shows("<b onclick=x>CRM</b>\"' asks for access").shows("will act for you");
    assert!(!page.body.contains("<b onclick") && !page.body.contains('\u{202e}'));
    let _: Option<AuthRequest> = None;
}

#[test]
fn a_site_that_is_a_number_does_without_passkeys() {
    let site = Site::at("http://127.0.0.1:8080");
    sarah(&site);
    let mut browser = Browser::new(&site);
    let page = browser.get("/login");
    assert!(page.forms("/login/passkey").is_empty());
    sign_in(&mut browser).shows("Your account");
    assert!(!browser.get("/account").text().contains("Add a passkey"));
    assert!(browser.cookies.keys().all(|name| name.starts_with("bw-")), "over http there is no __Host-");
}
