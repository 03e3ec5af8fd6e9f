//! The page of consent, line by line: who asks, what it is for, who answers for it, who else may act then, what is allowed, and
//! where the browser goes.

use crate::elsewhere::{Furnished, Walker};
use crate::login::{PASSWORD, request, sarah, sign_in};
use crate::login_browser::{Browser, Page, Site};
use bailiwick::identity::{Answer, Client, ClientKind, Resource, Scope, Tenant, hash_of};
use bailiwick::modules::login::{Agents, House, Introduction};
use std::sync::Arc;

/// Knows agents whose id has `known` in it.
struct Known;

impl Agents for Known {
    fn introduce(&self, _: &Tenant, id: &str) -> Answer<Option<Introduction>> {
        Ok(id.contains("known").then(|| Introduction {
            purpose: format!("writes proposals as {id}"),
            accountable: Some("john".to_owned()),
            team: Some("sales-ops".to_owned()),
        }))
    }
}

fn site() -> Site {
    let site = Site::new().in_house(House { agents: Some(Arc::new(Known)), ..House::default() });
    sarah(&site);
    let claims = serde_json::json!({"name": "John Miller"}).as_object().unwrap().clone();
    site.tenant.create_user(Some("john"), &[], claims, &site.env()).unwrap();
    site
}

fn client(site: &Site, id: &str, kind: ClientKind, name: &str) {
    let mut client = Client::new(id, kind, name);
    client.redirect_uris = vec!["https://crm.example.com/cb".to_owned()];
    client.grant_types = vec!["authorization_code".to_owned()];
    client.scopes = ["openid", "email", "offline_access", "read"].map(str::to_owned).to_vec();
    client.resources = vec!["https://api.example/".to_owned()];
    site.tenant.create_client(&client, &site.env()).unwrap();
}

fn hands_on(site: &Site, pairs: &[(&str, &str)]) {
    let env = site.env();
    let mut change = site.tenant.change(&env);
    pairs.iter().for_each(|(from, to)| change.relate(from, "delegate", to));
    change.commit().unwrap();
}

/// The page of a request of a client.
fn asked(site: &Site, client: &str) -> Page {
    let path = if client == "crm" { request(site, "") } else { asks_for(site, client, "openid", "") };
    let mut browser = Browser::new(site);
    sign_in(&mut browser);
    browser.get(&path)
}

fn asks_for(site: &Site, client: &str, scope: &str, resource: &str) -> String {
    let challenge = hash_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let mut pairs = vec![
        ("client_id", client),
        ("response_type", "code"),
        ("redirect_uri", "https://crm.example.com/cb"),
        ("scope", scope),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    pairs.extend(Some(("resource", resource)).filter(|_| !resource.is_empty()));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let form = bailiwick::identity::Form::parse(&query).unwrap();
    format!("/login?request={}", site.tenant.take_request(&form, &site.env()).unwrap())
}

#[test]
fn an_agent_stands_there_with_its_purpose_and_who_answers_for_it() {
    let site = site();
    client(&site, "known-1", ClientKind::Agent, "Sales");
    asked(&site, "known-1")
        .shows("Sales asks for access")
        .shows("You are signed in as sarah@example.com")
        .shows("The agent Sales will act for you. Writes proposals as known-1.")
        .shows("Answerable for it: John Miller, the team sales-ops.");
    // Of an agent that nobody registered nobody has said anything, and an application acts for nobody by itself.
    client(&site, "other", ClientKind::Agent, "Other");
    let page = asked(&site, "other");
    page.shows("The agent Other will act for you.");
    assert!(!page.text().contains("Answerable"), "{}", page.text());
    client(&site, "known-app", ClientKind::App, "CRM");
    assert!(!asked(&site, "known-app").text().contains("act for you"));
}

#[test]
fn whoever_may_go_on_with_what_is_allowed_stands_there_too() {
    let site = site();
    client(&site, "crm", ClientKind::App, "CRM");
    for (id, kind, name) in [
        ("known-1", ClientKind::Agent, "Sales"),
        ("known-2", ClientKind::Agent, "Planner"),
        ("print", ClientKind::App, "Printer"),
        ("idle", ClientKind::Agent, "Idle"),
        ("apart", ClientKind::Agent, "Apart"),
    ] {
        client(&site, id, kind, name);
    }
    assert!(!asked(&site, "crm").text().contains("may then act"));
    hands_on(
        &site,
        &[
            ("app:crm", "agent:known-1"),
            ("app:crm", "agent:idle"),
            ("agent:known-1", "agent:known-2"),
            ("agent:known-2", "agent:known-1"),
            ("agent:known-2", "app:print"),
            ("agent:apart", "app:crm"),
        ],
    );
    site.tenant.suspend("agent:idle", true, None, &site.env()).unwrap();
    let page = asked(&site, "crm");
    page.shows("The agent Sales may then act for you too. Writes proposals as known-1. Answerable for it: John Miller")
        .shows("The agent Planner may then act for you too. Writes proposals as known-2.")
        .shows("The application Printer may then act for you too.");
    assert_eq!(page.text().matches("may then act").count(), 3, "{}", page.text());
    // More than a page can name are said to be there.
    for n in 0..20 {
        client(&site, &format!("more-{n}"), ClientKind::Agent, "More");
        hands_on(&site, &[("app:print", &format!("agent:more-{n}"))]);
    }
    let page = asked(&site, "crm");
    page.shows("Others may then act for you too, who are too many to be named here.");
    assert_eq!(page.text().matches("The agent More may then act").count(), 17, "{}", page.text());
}

#[test]
fn what_is_allowed_where_and_for_how_long_and_where_the_browser_goes() {
    let site = site();
    client(&site, "crm", ClientKind::App, "CRM");
    let scopes = vec![Scope { name: "read".into(), description: "Read your orders".into(), checked: false }];
    let identifier = "https://api.example/".to_owned();
    let resource = Resource { id: "api".into(), identifier, name: "Orders".into(), scopes, created_at: 0 };
    site.tenant.put_resource(&resource, &site.env()).unwrap();
    let mut browser = Browser::new(&site);
    sign_in(&mut browser);
    let page = browser.get(&asks_for(&site, "crm", "openid offline_access read", "https://api.example/"));
    page.shows("About you")
        .shows("Know that it is you")
        .shows("Orders")
        .shows("https://api.example/")
        .shows("Read your orders read")
        .shows("It may use this access when you are away, until you withdraw it.")
        .shows("You will be sent to crm.example.com");
    assert!(!page.text().contains("is described at"), "it is known by no document: {}", page.text());
    assert!(!browser.get(&request(&site, "&prompt=consent")).text().contains("when you are away"));
}

/// LINK-1: the host of the document is what is known of such an application; what it calls itself is what somebody wrote.
#[test]
fn the_host_of_a_document_is_what_is_verified() {
    let site = site();
    client(&site, "g", ClientKind::App, "Google");
    let env = site.env();
    let held = site.tenant.client("g").unwrap();
    let mut change = site.tenant.change(&env);
    site.tenant.name_client(&mut change, &held, "https://agents.example:8443/google.json", "Google");
    change.commit().unwrap();
    let page = asked(&site, "https://agents.example:8443/google.json");
    page.shows("Google asks for access")
        .shows("You will be sent to crm.example.com")
        .shows("The application is the one that is described at agents.example:8443");
}

/// What is served has the registry behind the page.
#[test]
fn the_registry_introduces_its_agents() {
    let db = Furnished::new();
    db.good(&["user", "create", "john@example.com", "--id", "john", "--name", "John Miller"]);
    db.good(&["team", "add", "sales-ops", "john"]);
    let who = ["--name", "Sales", "--owner", "team:sales-ops", "--accountable", "user:john"];
    let what = ["--purpose", "Writes proposals that a person sends"];
    db.good(&[&["agent", "register", "--id", "sales"], &who[..], &what].concat());
    db.good(&["agent", "activate", "sales"]);
    let to = ["--redirect-uri", "https://sales.example/cb", "--grant-type", "authorization_code", "--scope", "openid"];
    db.good(&[&["client", "set", "sales"], &to[..]].concat());
    let link = db.json(&["user", "invite", "john"])["link"].as_str().unwrap().to_owned();
    let serving = db.serve();
    let mut browser = Walker::new(&serving);
    browser.enrol(&link, PASSWORD).shows("Your account");
    let challenge = hash_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let pairs = [
        ("client_id", "sales"),
        ("response_type", "code"),
        ("redirect_uri", "https://sales.example/cb"),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    browser
        .get(&format!("/authorize?{query}"))
        .shows("The agent Sales will act for you. Writes proposals that a person sends.")
        .shows("Answerable for it: John Miller, the team sales-ops.");
}
