//! Kinds of values that a setting can have. Each reads itself from text, prints itself, and carries its bound in its type.

use bailiwick::wire::{Allowed, AllowedError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value.
pub(crate) trait Kind: Sized {
    /// What to write, for help texts: `COUNT`, `TIME`.
    const FORM: &'static str;
    /// Reads a value; the error says what would be right.
    fn read(text: &str) -> Result<Self, String>;
    /// The value as it would be written; empty when there is none.
    fn show(&self) -> String;
    /// What is allowed, in words.
    fn bound() -> String;
}

/// A whole number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Kind for Count<MIN, MAX> {
    const FORM: &'static str = "N";
    fn read(text: &str) -> Result<Self, String> {
        let number = text.replace('_', "").parse().ok().filter(|n| (MIN..=MAX).contains(n));
        number.map(Count).ok_or_else(|| format!("write a whole number, {}", Self::bound()))
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
    fn bound() -> String {
        format!("{MIN} to {MAX}")
    }
}

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// The number, in the type that the machine counts memory in.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A time, up to a bound in seconds. Zero means that there is none, where the setting says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<const MAX_SECONDS: u64>(pub(crate) Duration);

impl<const MAX_SECONDS: u64> Kind for Time<MAX_SECONDS> {
    const FORM: &'static str = "TIME";
    fn read(text: &str) -> Result<Self, String> {
        let right = || format!("write a time with its unit, as in `3s`, `500ms` or `1m30s`, {}", Self::bound());
        let time = duration(text).ok_or_else(right)?;
        if time > Duration::from_secs(MAX_SECONDS) { Err(right()) } else { Ok(Time(time)) }
    }
    fn show(&self) -> String {
        let (seconds, ms) = (self.0.as_secs(), self.0.as_millis());
        if u128::from(seconds) * 1000 == ms { format!("{seconds}s") } else { format!("{ms}ms") }
    }
    fn bound() -> String {
        format!("0s to {MAX_SECONDS}s")
    }
}

/// A duration as Go prints and reads it: numbers with units, one after the other.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let seconds = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl Kind for Address {
    const FORM: &'static str = "ADDRESS";
    fn read(text: &str) -> Result<Self, String> {
        // `:8080` is how Go programs say "every address of this machine".
        let full = match text.strip_prefix(':') {
            Some(port) => format!("{}:{port}", Ipv4Addr::UNSPECIFIED),
            None => text.replacen("localhost:", "127.0.0.1:", 1),
        };
        let right = "write an address of this machine and a port, as in `127.0.0.1:8080`; port 0 takes a free one";
        full.parse().map(Address).map_err(|_| right.to_owned())
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
    fn bound() -> String {
        "an address and a port".into()
    }
}

/// How the engine asks who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authn {
    /// It does not.
    None,
    /// By keys.
    Preshared,
}

impl Kind for Authn {
    const FORM: &'static str = "METHOD";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Authn::None),
            "preshared" => Ok(Authn::Preshared),
            _ => Err("write `none` or `preshared`; tokens of another issuer (`oidc`) are not taken".to_owned()),
        }
    }
    fn show(&self) -> String {
        match self {
            Authn::None => "none".to_owned(),
            Authn::Preshared => "preshared".to_owned(),
        }
    }
    fn bound() -> String {
        "none or preshared".into()
    }
}

/// Keys that are never shown. Whether they are of use is said where they are used, without saying them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) Vec<String>);

impl Kind for Keys {
    const FORM: &'static str = "LIST";
    fn read(text: &str) -> Result<Self, String> {
        Ok(Keys(text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()))
    }
    fn show(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("({} hidden)", self.0.len()) }
    }
    fn bound() -> String {
        "1 to 64 keys of 16 letters or more, with commas between".into()
    }
}

/// Where to listen, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionalAddress(pub(crate) Option<SocketAddr>);

impl Kind for OptionalAddress {
    const FORM: &'static str = "ADDRESS";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(OptionalAddress(None));
        }
        Address::read(text).map(|address| OptionalAddress(Some(address.0)))
    }
    fn show(&self) -> String {
        self.0.map(|address| address.to_string()).unwrap_or_default()
    }
    fn bound() -> String {
        Address::bound()
    }
}

/// A path, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory(pub(crate) Option<PathBuf>);

impl Kind for Directory {
    const FORM: &'static str = "DIR";
    fn read(text: &str) -> Result<Self, String> {
        Ok(Directory(Some(text).filter(|t| !t.is_empty()).map(PathBuf::from)))
    }
    fn show(&self) -> String {
        self.0.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
    }
    fn bound() -> String {
        "a directory".into()
    }
}

/// The path of a file, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File(pub(crate) Option<PathBuf>);

impl Kind for File {
    const FORM: &'static str = "FILE";
    fn read(text: &str) -> Result<Self, String> {
        Ok(File(Some(text).filter(|t| !t.is_empty()).map(PathBuf::from)))
    }
    fn show(&self) -> String {
        self.0.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
    }
    fn bound() -> String {
        "a file".into()
    }
}

/// The longest [`Text`], in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A text, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Kind for Text {
    const FORM: &'static str = "TEXT";
    fn read(text: &str) -> Result<Self, String> {
        let fits = text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        if fits { Ok(Text(text.to_owned())) } else { Err(format!("write {}", Self::bound())) }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
    fn bound() -> String {
        format!("a line of at most {TEXT_BYTES_MAX} bytes")
    }
}

/// A URL to send requests to, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) Option<String>);

impl Kind for Endpoint {
    const FORM: &'static str = "URL";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Endpoint(None));
        }
        let right =
            "write an http or https URL without user and password, as in `https://api.openai.com/v1/embeddings`";
        let parsed: http::Uri = text.parse().map_err(|_| right.to_owned())?;
        let scheme = parsed.scheme_str().is_some_and(|s| matches!(s, "http" | "https"));
        let host = parsed.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        if scheme && host { Ok(Endpoint(Some(text.to_owned()))) } else { Err(right.to_owned()) }
    }
    fn show(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
    fn bound() -> String {
        "an http or https URL".into()
    }
}

/// Texts separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl Kind for Names {
    const FORM: &'static str = "LIST";
    fn read(text: &str) -> Result<Self, String> {
        Ok(Names(text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()))
    }
    fn show(&self) -> String {
        self.0.join(",")
    }
    fn bound() -> String {
        "separated by commas".into()
    }
}

/// What outgoing requests may reach although its address is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowList(pub(crate) Vec<Allowed>);

impl Kind for AllowList {
    const FORM: &'static str = "LIST";
    fn read(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| entry.parse().map_err(|error: AllowedError| error.to_string()))
            .collect::<Result<_, _>>()
            .map(AllowList)
    }
    fn show(&self) -> String {
        self.0.iter().map(Allowed::to_string).collect::<Vec<_>>().join(",")
    }
    fn bound() -> String {
        "networks, addresses and hosts, separated by commas".into()
    }
}

impl Kind for bool {
    const FORM: &'static str = "BOOL";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("write `true` or `false`".into()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn bound() -> String {
        "true or false".into()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Kind for LogFormat {
    const FORM: &'static str = "FORMAT";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("write `text` or `json`".into()),
        }
    }
    fn show(&self) -> String {
        match self {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        }
    }
    fn bound() -> String {
        "text or json".into()
    }
}

/// How the mail relay is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailTlsWish {
    /// By where it is.
    Auto,
    /// In the clear.
    None,
    /// In the clear until both have said that they go on over TLS.
    StartTls,
    /// Over TLS from the first byte.
    Implicit,
}

/// See [`MailTlsWish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MailTls(pub(crate) MailTlsWish);

const MAIL_TLS: [(&str, MailTlsWish); 4] = [
    ("auto", MailTlsWish::Auto),
    ("none", MailTlsWish::None),
    ("starttls", MailTlsWish::StartTls),
    ("implicit", MailTlsWish::Implicit),
];

impl Kind for MailTls {
    const FORM: &'static str = "HOW";
    fn read(text: &str) -> Result<Self, String> {
        let found = MAIL_TLS.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, wish)| MailTls(wish)).ok_or_else(|| format!("write {}", Self::bound()))
    }
    fn show(&self) -> String {
        MAIL_TLS.into_iter().find(|(_, wish)| *wish == self.0).map_or_else(String::new, |(name, _)| name.to_owned())
    }
    fn bound() -> String {
        "auto, none, starttls or implicit".into()
    }
}

/// The least grave event that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) tracing::level_filters::LevelFilter);

impl Kind for LogLevel {
    const FORM: &'static str = "LEVEL";
    fn read(text: &str) -> Result<Self, String> {
        use tracing::level_filters::LevelFilter;
        match text {
            "none" | "off" => Ok(LogLevel(LevelFilter::OFF)),
            // Go's loggers have two levels above `error`; here they are the same.
            "error" | "panic" | "fatal" => Ok(LogLevel(LevelFilter::ERROR)),
            "warn" => Ok(LogLevel(LevelFilter::WARN)),
            "info" => Ok(LogLevel(LevelFilter::INFO)),
            "debug" => Ok(LogLevel(LevelFilter::DEBUG)),
            "trace" => Ok(LogLevel(LevelFilter::TRACE)),
            _ => Err(format!("write one of: {}", Self::bound())),
        }
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
    fn bound() -> String {
        "none, error, warn, info, debug or trace".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_prints_them() {
        let read = |text| Time::<7200>::read(text).map(|t| t.0.as_millis()).ok();
        for (text, ms) in [("3s", 3000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("0", 0), ("1h", 3_600_000)]
        {
            assert_eq!(read(text), Some(ms), "{text}");
        }
        for text in ["", "3", "s", "3 s", "-3s", "3d", "3h", "1..5s", "999999999999999999999h"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Time::<10>::read("1500ms").unwrap().show(), "1500ms");
    }

    #[test]
    fn addresses_are_read_as_openfga_takes_them() {
        let read = |text| Address::read(text).map(|a| a.show()).ok();
        assert_eq!(read(":8080").as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(read("localhost:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(read("[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(read("8080"), None);
        assert_eq!(read("example.com:80"), None);
    }

    #[test]
    fn allow_lists_are_read_and_shown_alike() {
        let text = "10.1.0.0/16,10.1.2.3,::1,localhost,*.corp.example";
        assert_eq!(AllowList::read(text).unwrap().show(), text);
        assert_eq!(AllowList::read("").unwrap().0, []);
        assert_eq!(AllowList::read(" 10.1.2.3/16 , crm.Corp.example").unwrap().show(), "10.1.0.0/16,crm.corp.example");
        assert!(AllowList::read("10.1.2.3,http://x").unwrap_err().contains("`http://x` is no network"));
    }

    #[test]
    fn endpoints_are_urls_without_secrets() {
        let read = |text| Endpoint::read(text).map(|e| e.show()).ok();
        for good in ["", "http://127.0.0.1:1/v1/embeddings", "https://x.example/openai?api-version=2024-02-01"] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in
            ["x", "/v1/embeddings", "127.0.0.1:80", "ftp://x/", "https://user:pw@x/", "https://user@x/", "http://"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(Count::<1, 100>::read("1_00").map(|c| c.0), Ok(100));
        assert!(Count::<1, 100>::read("0").is_err());
        assert!(Count::<1, 100>::read("101").unwrap_err().contains("1 to 100"));
        assert!(Time::<10>::read("11s").is_err());
    }
}
