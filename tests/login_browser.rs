//! A browser for tests of the pages: it keeps cookies, reads forms, sends them and follows redirects. It knows no more of the
//! server than a browser does, and calls it without a socket.

use bailiwick::Bailiwick;
use bailiwick::identity::{Env, Identity, Tenant, TenantSettings, User};
use bailiwick::modules::login::{Call, Cost, House, Login, LoginSettings, NoOutside, Outside, Rates, Reply};
use bailiwick::secrets::KeyRing;
use bailiwick::tuple::Timestamp;
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const ISSUER: &str = "https://id.example.com/acme";
pub(crate) const START: u64 = 1_800_000_000;

pub(crate) fn random(bytes: &mut [u8]) {
    bailiwick::wire::random(bytes);
}

/// A tenant with its pages, and a clock that a test moves.
pub(crate) struct Site {
    pub(crate) tenant: Tenant,
    login: Login,
    now: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site::at(ISSUER)
    }

    pub(crate) fn at(issuer: &str) -> Site {
        Site::with(issuer, Arc::new(NoOutside))
    }

    pub(crate) fn with(issuer: &str, outside: Arc<dyn Outside>) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let engine = Bailiwick::open(directory.path()).unwrap();
        let line = KeyRing::key_line("k", 1, b"a key of thirty-two bytes, or so").unwrap();
        let ring = KeyRing::parse(&format!("{}{}", KeyRing::head(), *line), &[]).unwrap();
        let env = Env::new(Timestamp(START as i64 * 1_000_000_000), &random);
        let identity = Identity::open(engine, ring, &env).unwrap();
        let tenant = identity.create_tenant("acme", issuer, &TenantSettings::default(), &env).unwrap();
        let cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let login = Login::new(LoginSettings { cost, rates: Rates::default() }, outside, RandomState::new());
        Site { tenant, login, now: AtomicU64::new(START), _directory: directory }
    }

    /// The same with the rest of the house.
    pub(crate) fn in_house(self, house: House) -> Site {
        Site { login: self.login.with_house(house), ..self }
    }

    pub(crate) fn env(&self) -> Env<'static> {
        let now = Timestamp(self.now() as i64 * 1_000_000_000);
        Env { trace: Some("trace-1"), address: Some("192.0.2.7"), ..Env::new(now, &random) }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn user(&self, login: &str) -> User {
        self.tenant.create_user(None, &[login], serde_json::Map::new(), &self.env()).unwrap()
    }

    /// Kinds and reasons of all events, in their order.
    pub(crate) fn events(&self) -> Vec<String> {
        use bailiwick::identity::{AUDIT, Event, audit_key};
        let records = self.tenant.engine().records(AUDIT);
        let page = records.scan(&audit_key(self.tenant.number(), b'e'), None, 1_000).unwrap();
        let events = page.iter().map(|(_, bytes)| Event::read(bytes).unwrap());
        events.map(|e| format!("{} {}", e.kind().name(), e.get_reason().unwrap_or("-"))).collect()
    }
}

/// A form as a page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) options: Option<String>,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Form {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Form {
        self.fields.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// Where the browser would go that is not here.
    pub(crate) left_for: Option<String>,
    /// The path that it is shown at.
    pub(crate) path: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// The forms that are sent to a path, in order.
    pub(crate) fn forms(&self, path: &str) -> Vec<Form> {
        let parts = self.body.split("<form").skip(1).map(|part| part.split("</form>").next().unwrap());
        let forms = parts.map(|part| Form {
            action: attribute(part, "action").unwrap(),
            options: attribute(part, "data-options"),
            fields: part
                .split("<input")
                .skip(1)
                .map(|input| input.split('>').next().unwrap())
                .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
                .collect(),
        });
        forms.filter(|form| form.action.ends_with(path)).collect()
    }

    pub(crate) fn form(&self, path: &str) -> Form {
        let forms = self.forms(path);
        assert_eq!(forms.len(), 1, "one form to {path} on {}:\n{}", self.path, self.text());
        forms.into_iter().next().unwrap()
    }

    /// What a person reads, on one line.
    pub(crate) fn text(&self) -> String {
        let body = self.body.split("</style>").nth(1).unwrap_or(&self.body);
        let body = body.split("<script>").next().unwrap();
        let title =
            self.body.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or_default();
        let mut text = format!("{title} ");
        for part in body.split('<').skip(1) {
            text.push_str(part.split_once('>').map_or("", |(_, after)| after));
            text.push(' ');
        }
        unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub(crate) fn shows(&self, words: &str) -> &Page {
        assert!(self.text().contains(words), "`{words}` is not on {} ({}):\n{}", self.path, self.status, self.text());
        self
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(unescape(&tag[start..start + tag[start..].find('"')?]))
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, c) in [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")] {
        text = text.replace(code, c);
    }
    text
}

/// See the file's head.
pub(crate) struct Browser<'a> {
    site: &'a Site,
    pub(crate) cookies: BTreeMap<String, String>,
    /// What it says of where a form comes from.
    pub(crate) site_of_forms: Option<&'static str>,
    pub(crate) address: &'static str,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(site: &'a Site) -> Browser<'a> {
        Browser { site, cookies: BTreeMap::new(), site_of_forms: Some("same-origin"), address: "192.0.2.7" }
    }

    /// Gets a path below the issuer, and follows redirects.
    pub(crate) fn get(&mut self, path: &str) -> Page {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = Call { path, query, ..Call::default() };
        let reply = self.call(call);
        self.follow(path, reply)
    }

    pub(crate) fn post(&mut self, form: &Form) -> Page {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&form.fields);
        let (body, base) = (body.finish(), self.base());
        let path = form.action.strip_prefix(base.as_str()).unwrap();
        let call = Call {
            post: true,
            path,
            content_type: "application/x-www-form-urlencoded",
            sec_fetch_site: self.site_of_forms,
            body: body.as_bytes(),
            ..Call::default()
        };
        let reply = self.call(call);
        self.follow(path, reply)
    }

    fn base(&self) -> String {
        url::Url::parse(self.site.tenant.issuer()).unwrap().path().trim_end_matches('/').to_owned()
    }

    fn call(&mut self, call: Call<'_>) -> Reply {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = cookies.join("; ");
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let env = Env { address: Some(self.address), ..self.site.env() };
        let call = Call { cookie: &cookie, user_agent: agent, ..call };
        let reply = self.site.login.answer(&self.site.tenant, call, env).unwrap();
        for (_, set) in reply.headers.iter().filter(|(name, _)| *name == "set-cookie") {
            assert!(set.contains("; HttpOnly; SameSite=Lax") && set.contains("Path=/"), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.ends_with("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    fn follow(&mut self, path: &str, reply: Reply) -> Page {
        let mut page = Page {
            status: reply.status,
            headers: reply.headers,
            body: reply.body,
            left_for: None,
            path: path.to_owned(),
        };
        if page.status != 303 {
            return page;
        }
        let to = page.header("location").to_owned();
        match to.strip_prefix(&format!("{}/", self.base())) {
            Some(rest) => self.get(&format!("/{rest}")),
            None => {
                page.left_for = Some(to);
                page
            }
        }
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        self.cookies.keys().any(|name| name.contains("session"))
    }
}
