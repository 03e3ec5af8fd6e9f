//! Web Push as `bailiwick serve` has it: a person chooses a browser on the page of their account, and its push service, here a
//! stub on loopback, is sent what that browser alone can read.

use crate::approvals_served::{World, write_access};
use crate::identity::{Issuing, env};
use crate::mcp_tenant::events;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use bailiwick::identity::{Authentication, Browser, encode};
use bailiwick::modules::approval::{devices, rotate_push_key};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long something that has to come may take. It is never waited for in full.
const COMES: Duration = Duration::from_secs(60);

/// What a push service was sent.
struct Pushed {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A push service that answers with these statuses, one after the other, and then with 201.
fn service(statuses: &'static [u16]) -> (SocketAddr, Receiver<Pushed>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, pushed) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut path, mut headers) = (String::new(), BTreeMap::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                match line.trim().split_once(": ") {
                    Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                    None => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
                }
            }
            let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.next().unwrap_or(&201);
            write!(reader.get_mut(), "HTTP/1.1 {status} It\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            let _ = sender.send(Pushed { path, headers, body });
        }
    });
    (address, pushed)
}

/// A browser of somebody who is signed in: its cookies, and its keys for notices.
struct Phone<'a> {
    issuing: &'a Issuing,
    cookies: BTreeMap<String, String>,
    key: PrivateKey,
    auth: [u8; 16],
}

impl<'a> Phone<'a> {
    fn of(issuing: &'a Issuing, user: &str) -> Phone<'a> {
        let tenant = &issuing.acme;
        let authentication = Authentication { at: env().seconds(), acr: "aal2".into(), amr: vec!["otp".into()] };
        let (_, cookie) = tenant.start_session(user, authentication, Browser { name: "a phone" }, &env()).unwrap();
        let name = format!("bw-session-{}", tenant.number());
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        Phone { issuing, cookies: [(name, cookie)].into(), key, auth: [7; 16] }
    }

    fn send(&mut self, method: &str, path: &str, pairs: &[(&str, &str)]) -> crate::identity::Heard {
        let cookie: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = cookie.join("; ");
        let agent =
            "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile Safari/537.36";
        let mut headers = vec![("cookie", cookie.as_str()), ("user-agent", agent)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            headers.push(("sec-fetch-site", "same-origin"));
        }
        let heard = self.issuing.send(method, path, &headers, &body);
        for set in heard.headers("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        heard
    }

    fn public(&self) -> Vec<u8> {
        self.key.compute_public_key().unwrap().as_ref().to_vec()
    }

    /// Presses the button as the page's script does, with what the browser would have said.
    fn subscribe(&mut self, endpoint: &str) -> crate::identity::Heard {
        let page = self.send("GET", "/t/acme/account", &[]);
        assert_eq!(page.status, 200, "{}", page.body);
        let token = token(&page.body, "/account/device\"");
        let (p256dh, auth) = (encode(&self.public()), encode(&self.auth));
        let pairs = [("token", token.as_str()), ("endpoint", endpoint), ("p256dh", &p256dh), ("auth", &auth)];
        self.send("POST", "/t/acme/account/device", &pairs)
    }

    /// What it shows of a message (RFC 8291 3.4, RFC 8188 2.2 and 2.3).
    fn read(&self, message: &[u8]) -> Value {
        let mac = |key: &[u8], parts: &[&[u8]]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
        };
        let (salt, rest) = message.split_at(16);
        let (sender, sealed) = rest[5..].split_at(65);
        let shared = agree(&self.key, UnparsedPublicKey::new(&ECDH_P256, sender), (), |s| Ok(s.to_vec())).unwrap();
        let input = mac(&mac(&self.auth, &[&shared]), &[b"WebPush: info\0", &self.public(), sender, &[1]]);
        let second = mac(salt, &[&input]);
        let content = mac(&second, &[b"Content-Encoding: aes128gcm\0", &[1]]);
        let nonce = mac(&second, &[b"Content-Encoding: nonce\0", &[1]]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content[..16]).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
        let mut bytes = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).unwrap();
        serde_json::from_slice(plain.strip_suffix(&[2]).unwrap()).unwrap()
    }
}

/// The token of the form that is sent to a path.
fn token(page: &str, action: &str) -> String {
    let form = page.split("<form").find(|form| form.contains(action)).unwrap();
    let value = form.split("name=\"token\" value=\"").nth(1).unwrap();
    value.split('"').next().unwrap().to_owned()
}

#[test]
fn a_phone_is_told_that_something_waits_and_forgets_when_its_service_says_so() {
    let (service, pushed) = service(&[201, 410]);
    let world = World::start(Issuing::start());
    let tenant = &world.issuing.acme;
    let mut phone = Phone::of(&world.issuing, "john");
    let endpoint = format!("http://{service}/send/johns-phone");
    let heard = phone.subscribe(&endpoint);
    assert_eq!((heard.status, heard.header("location").unwrap()), (303, "/t/acme/account?done=told"));
    let page = phone.send("GET", "/t/acme/account?done=told", &[]);
    assert!(page.body.contains("This browser shows a notice from now on"), "{}", page.body);
    assert!(page.body.contains("Chrome on Android") && !page.body.contains("johns-phone"), "{}", page.body);

    // Sarah's agent asks; her manager's phone is told, and can read it.
    let asked = world.ask(&write_access(), &[("binding_message", "W-42")]);
    let id = asked["auth_req_id"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let sent = pushed.recv_timeout(COMES).unwrap();
    assert_eq!(sent.path, "/send/johns-phone");
    let link = tenant.url(&format!("/approvals/{id}"));
    let said = json!({
        "title": "The sales agent asks for your approval", "body": "For sarah. Look at it and decide.", "link": link,
        "tag": id,
    });
    assert_eq!(phone.read(&sent.body), said);
    for (name, value) in [
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
        ("urgency", "high"),
        ("topic", id.as_str()),
    ] {
        assert_eq!(sent.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!((1..=300).contains(&sent.headers["ttl"].parse::<u64>().unwrap()), "{:?}", sent.headers);
    assert!(sent.headers["authorization"].starts_with("vapid t=ey"), "{:?}", sent.headers);
    // The link asks who one is; it decides nothing.
    assert_eq!(world.issuing.send("GET", &format!("/t/acme/approvals/{id}"), &[], "").status, 303);
    assert_eq!(phone.send("GET", &format!("/t/acme/approvals/{id}"), &[]).status, 200);
    crate::mcp_tenant::approve(&world.issuing, "john");

    // The service says that the browser is gone: it is forgotten, and the log says so.
    world.ask(&write_access(), &[]);
    pushed.recv_timeout(COMES).unwrap();
    let begun = std::time::Instant::now();
    while !devices(tenant, "john").unwrap().is_empty() {
        assert!(begun.elapsed() < COMES, "the browser is still there");
        std::thread::yield_now();
    }
    let told: Vec<String> = events(&world.issuing)
        .iter()
        .filter(|event| event.kind().name().starts_with("device."))
        .map(|event| {
            format!("{} {} {}", event.kind().name(), event.get_user().unwrap(), event.get_reason().unwrap_or("-"))
        })
        .collect();
    assert_eq!(told, ["device.added user:john -", "device.removed user:john push.gone"]);
}

#[test]
fn browsers_are_added_and_taken_away_by_their_owner_alone() {
    let issuing = Issuing::start();
    let mut phone = Phone::of(&issuing, "sarah");
    assert_eq!(phone.subscribe("http://push.example/x").status, 400, "not over http");
    assert_eq!(phone.subscribe("https://push.example/x").status, 303);
    // A form of another page, or of nobody.
    let (p256dh, auth) = (encode(&phone.public()), encode(&phone.auth));
    let wanted = [("endpoint", "https://push.example/y"), ("p256dh", &p256dh), ("auth", &auth)];
    assert_eq!(phone.send("POST", "/t/acme/account/device", &wanted).status, 403);
    let stranger = issuing.post("/t/acme/account/device", &[], &wanted);
    assert_eq!(stranger.status, 303, "who is not signed in signs in first");
    assert_eq!(devices(&issuing.acme, "sarah").unwrap().len(), 1);
    // Once there is another key, she is asked to bind it anew.
    const AGAIN: &str = "turn notices on in it again soon";
    assert!(!phone.send("GET", "/t/acme/account", &[]).body.contains(AGAIN));
    let key = rotate_push_key(&issuing.acme, false, "machine", &env()).unwrap();
    let page = phone.send("GET", "/t/acme/account", &[]).body;
    assert!(page.contains(AGAIN) && page.contains(&format!("name=\"key\" value=\"{key}\"")), "{page}");
    assert_eq!(phone.subscribe("https://push.example/x").status, 303);
    let page = phone.send("GET", "/t/acme/account", &[]);
    assert!(!page.body.contains(AGAIN));
    let form = page.body.split("<form").find(|form| form.contains("name=\"device\"")).unwrap();
    let id = form.split("name=\"device\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let token = token(&page.body, "/account/device/remove\"");
    let removed = phone.send("POST", "/t/acme/account/device/remove", &[("token", &token), ("device", id)]);
    assert_eq!((removed.status, removed.header("location").unwrap()), (303, "/t/acme/account?done=untold"));
    assert!(devices(&issuing.acme, "sarah").unwrap().is_empty());
}

#[test]
fn the_scripts_are_files_of_ours_and_nothing_runs_in_the_page() {
    let issuing = Issuing::start();
    let mut phone = Phone::of(&issuing, "sarah");
    let page = phone.send("GET", "/t/acme/account", &[]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; worker-src 'self'; manifest-src 'self'; "),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(page.body.matches("<script").count(), page.body.matches("<script src=\"/t/acme/account/").count());
    for (path, media) in [
        ("/t/acme/account/notices.js", "text/javascript; charset=utf-8"),
        ("/t/acme/account/notices-worker.js", "text/javascript; charset=utf-8"),
        ("/t/acme/account/app.webmanifest", "application/manifest+json"),
    ] {
        assert!(page.body.contains(path), "{path}");
        let heard = issuing.send("GET", path, &[], "");
        assert_eq!((heard.status, heard.header("content-type").unwrap()), (200, media));
        assert_eq!(heard.header("x-content-type-options"), Some("nosniff"));
        assert!(heard.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert!(heard.header("set-cookie").is_none(), "{path}");
    }
    // Nobody else's pages get a script by it.
    let login = issuing.send("GET", "/t/acme/login", &[], "");
    assert!(!login.header("content-security-policy").unwrap().contains("script-src 'self'"));
}
