//! What passes between us and a browser besides pages: cookies, tokens of forms, headers.
//!
//! A form's token is made of the secret of the cookie that the browser sends along with it, and of the form's action. Who
//! does not know the cookie cannot make one, and one form's token does not fit another.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Random bytes of a cookie.
pub(super) const COOKIE_BYTES: usize = 32;
/// Longest `Cookie` header that is read, in bytes.
pub const COOKIE_HEADER_BYTES_MAX: usize = 16 << 10;

/// Longest form, in bytes. A passkey's answer and its sealed state are most of it.
pub const FORM_BYTES_MAX: usize = 128 << 10;
/// Most fields of a form.
pub const FORM_FIELDS_MAX: usize = 32;

const COOKIE_CHARS: usize = 43;
const FORM_LABEL: &[u8] = b"bailiwick form 1\0";

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// A session: somebody is signed in.
    Session,
    /// A browser before anybody is signed in.
    Visit,
    /// The sealed state of a sign-in that is under way.
    Step,
}

/// The cookies of one tenant. Several tenants may share a host, and a cookie with `__Host-` has no path of its own: so the
/// tenant's number is part of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether the issuer is https. Over http on loopback there is no `Secure`, and so no `__Host-`.
    pub secure: bool,
    /// The tenant's number.
    pub tenant: u32,
}

/// The random text of a cookie. It is a secret, and not shown in `Debug`.
#[derive(Clone)]
pub(super) struct CookieSecret(Zeroizing<String>);

impl std::fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieSecret(..)")
    }
}

impl CookieSecret {
    /// One of random bytes.
    #[must_use]
    pub(super) fn new(random: &[u8; COOKIE_BYTES]) -> CookieSecret {
        CookieSecret(Zeroizing::new(URL_SAFE_NO_PAD.encode(random)))
    }

    /// One that a browser sent, if it has the form of ours.
    #[must_use]
    pub(super) fn read(text: &str) -> Option<CookieSecret> {
        let form = text.len() == COOKIE_CHARS && URL_SAFE_NO_PAD.decode(text).is_ok();
        form.then(|| CookieSecret(Zeroizing::new(text.to_owned())))
    }

    /// The text, for the browser alone.
    #[must_use]
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it, and names it where it must not be known.
    #[must_use]
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref());
        hash
    }

    /// The token of the form that is sent to `action`, and that is about `subject` (a request's id, or nothing).
    #[must_use]
    pub(super) fn form_token(&self, action: &str, subject: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(FORM_LABEL);
        context.update(action.as_bytes());
        context.update(&[0]);
        context.update(subject.as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// Whether a form came with its token.
    #[must_use]
    pub(super) fn is_form_token(&self, action: &str, subject: &str, token: &str) -> bool {
        verify_slices_are_equal(self.form_token(action, subject).as_bytes(), token.as_bytes()).is_ok()
    }
}

impl Cookies {
    /// The name of a cookie: `__Host-bw-session-7`.
    #[must_use]
    pub fn name(self, kind: CookieKind) -> String {
        let host = if self.secure { "__Host-" } else { "" };
        let kind = match kind {
            CookieKind::Session => "session",
            CookieKind::Visit => "visit",
            CookieKind::Step => "step",
        };
        format!("{host}bw-{kind}-{}", self.tenant)
    }

    /// The `Set-Cookie` that sets one, until the browser ends. The server decides when a session is over, not the cookie.
    #[must_use]
    pub fn set(self, kind: CookieKind, value: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/{secure}; HttpOnly; SameSite=Lax", self.name(kind))
    }

    /// The `Set-Cookie` that removes one.
    #[must_use]
    pub fn clear(self, kind: CookieKind) -> String {
        format!("{}; Max-Age=0", self.set(kind, ""))
    }

    /// The value of a cookie in a `Cookie` header. Twice the same name is none: somebody put one beside ours.
    #[must_use]
    pub fn find(self, header: &str, kind: CookieKind) -> Option<&str> {
        let name = self.name(kind);
        let header = Some(header).filter(|h| h.len() <= COOKIE_HEADER_BYTES_MAX)?;
        let mut found = header.split(';').filter_map(|pair| pair.trim().split_once('=')).filter(|(n, _)| *n == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

/// Whether a form may come from there: `Sec-Fetch-Site` says so in all browsers of today, and no page can set it. A client
/// that is no browser does not send it, and has no cookie that another could use.
#[must_use]
pub(super) fn is_own_site(sec_fetch_site: Option<&str>) -> bool {
    sec_fetch_site.is_none_or(|site| site == "same-origin" || site == "none")
}

/// The fields of a form that was sent.
pub(super) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Fields {
    /// Reads a body of `application/x-www-form-urlencoded`. `None` when it is longer than [`FORM_BYTES_MAX`], has more than
    /// [`FORM_FIELDS_MAX`] fields, or says one twice.
    #[must_use]
    pub(super) fn read(body: &[u8]) -> Option<Fields> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        if body.len() > FORM_BYTES_MAX {
            return None;
        }
        for (name, value) in url::form_urlencoded::parse(body) {
            if fields.len() == FORM_FIELDS_MAX || fields.iter().any(|(n, _)| *n == name) {
                return None;
            }
            fields.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Some(Fields(fields))
    }

    /// The value of a field; nothing when it was not sent.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }
}

/// What a page may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    /// It leads to another site when its form is sent: to the client that asked. Browsers hold `form-action` against every
    /// hop of the redirects that follow, and what hops the client has we do not know; so it has no `form-action`.
    Leads,
    /// Its forms stay here.
    Stays,
}

/// What may run on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script<'a> {
    /// Nothing.
    None,
    /// Its `<script>` element, of this text.
    Inline(&'a str),
    /// Files of our own address, which may keep a service worker there and name an app; nothing that stands in the page.
    Own,
}

/// The headers of a page. `style` is the text of its `<style>` element; no other styles, and no other scripts, count.
#[must_use]
pub(super) fn headers(kind: PageKind, style: &str, script: Script<'_>) -> [(&'static str, String); 7] {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())));
    let script = match script {
        Script::None => String::new(),
        Script::Inline(text) => format!("script-src {}; ", hash(text)),
        Script::Own => "script-src 'self'; worker-src 'self'; manifest-src 'self'; ".to_owned(),
    };
    let form = match kind {
        PageKind::Leads => "",
        PageKind::Stays => "form-action 'self'; ",
    };
    let policy =
        format!("default-src 'none'; {script}style-src {}; {form}base-uri 'none'; frame-ancestors 'none'", hash(style));
    [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("content-security-policy", policy),
        ("x-frame-options", "DENY".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cache-control", "no-store".to_owned()),
        (
            "permissions-policy",
            "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), \
             geolocation=()"
                .to_owned(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: Cookies = Cookies { secure: true, tenant: 7 };

    #[test]
    fn cookies_belong_to_a_host_and_a_tenant() {
        let set = HTTPS.set(CookieKind::Session, "v");
        assert_eq!(set, "__Host-bw-session-7=v; Path=/; Secure; HttpOnly; SameSite=Lax");
        let loopback = Cookies { secure: false, tenant: 7 };
        assert_eq!(loopback.clear(CookieKind::Visit), "bw-visit-7=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        let header = "a=b; __Host-bw-session-7=v;__Host-bw-session-8=w; bw-session-7=x";
        assert_eq!(HTTPS.find(header, CookieKind::Session), Some("v"));
        assert_eq!(loopback.find(header, CookieKind::Session), Some("x"));
        assert_eq!(HTTPS.find(header, CookieKind::Visit), None);
        assert_eq!(HTTPS.find("__Host-bw-session-7=v; __Host-bw-session-7=w", CookieKind::Session), None);
        let long = format!("{}; __Host-bw-session-7=v", "x".repeat(COOKIE_HEADER_BYTES_MAX));
        assert_eq!(HTTPS.find(&long, CookieKind::Session), None);
    }

    #[test]
    fn a_token_fits_one_form_of_one_browser() {
        let (ours, other) = (CookieSecret::new(&[1; 32]), CookieSecret::new(&[2; 32]));
        let token = ours.form_token("/login/password", "r1");
        assert!(ours.is_form_token("/login/password", "r1", &token));
        assert!(!ours.is_form_token("/login/consent", "r1", &token));
        assert!(!ours.is_form_token("/login/password", "r2", &token));
        assert!(!ours.is_form_token("/login/password", "r1", ""));
        assert!(!other.is_form_token("/login/password", "r1", &token));
        assert!(!token.contains(ours.text()));
        assert_ne!(ours.form_token("/a", "b"), ours.form_token("/a\0b", ""), "the label and the nought part them");
    }

    #[test]
    fn only_what_has_the_form_of_a_cookie_is_read() {
        let secret = CookieSecret::new(&[255; 32]);
        assert_eq!(CookieSecret::read(secret.text()).unwrap().hash(), secret.hash());
        assert_eq!(format!("{secret:?}"), "CookieSecret(..)");
        for bad in ["", "x", &"!".repeat(43), &"A".repeat(44)] {
            assert!(CookieSecret::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_known() {
        for (site, own) in [(None, true), (Some("same-origin"), true), (Some("none"), true)] {
            assert_eq!(is_own_site(site), own);
        }
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert!(!is_own_site(Some(site)), "{site}");
        }
    }

    #[test]
    fn a_form_says_each_thing_once() {
        let fields = Fields::read(b"name=a+b%26&token=x").unwrap();
        assert_eq!((fields.get("name"), fields.get("token"), fields.get("other")), ("a b&", "x", ""));
        assert!(Fields::read(b"a=1&b=2&a=3").is_none());
        assert!(Fields::read(&vec![b'a'; FORM_BYTES_MAX + 1]).is_none());
        let many: Vec<String> = (0..=FORM_FIELDS_MAX).map(|i| format!("f{i}=1")).collect();
        assert!(Fields::read(many.join("&").as_bytes()).is_none());
    }

    #[test]
    fn nothing_runs_on_a_page_but_what_is_ours() {
        let policy = |kind, script| {
            let headers = headers(kind, "b{}", script);
            headers.iter().find(|(n, _)| *n == "content-security-policy").map(|(_, v)| v.clone()).unwrap()
        };
        assert_eq!(
            policy(PageKind::Stays, Script::None),
            "default-src 'none'; style-src 'sha256-7yqHVAesot11p6HczDsgKRipvI5UPgs97z80zNXlans='; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let with = policy(PageKind::Leads, Script::Inline("1"));
        assert!(with.contains("script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='"), "{with}");
        assert!(!with.contains("form-action"), "{with}");
    }
}
