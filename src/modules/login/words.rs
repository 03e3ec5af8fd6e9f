//! Words for what pages show: devices, times, scopes, destinations. Nothing that a caller sent is trusted to be what it says.

use crate::identity::is_loopback;
use crate::wire::{is_hidden, visible};
use chrono::{DateTime, Utc};
use serde_json::Value;
use url::Url;

/// Longest text of a caller's that a page shows, in characters.
pub(super) const SHOWN_CHARS_MAX: usize = 120;
/// Most fields of a detail that are shown. One with more is not shown in part: the page says that it is too long.
pub(super) const DETAIL_FIELDS_MAX: usize = 40;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Systems by what their browsers say of them; the first that fits.
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
];
/// Browsers likewise. Most claim to be several, so the order counts.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// What a `User-Agent` seems to be: `Firefox on Linux`.
#[must_use]
pub(super) fn device(user_agent: &str) -> String {
    let find = |list: &[(&str, &'static str)]| list.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, n)| *n);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "Another program".to_owned(),
    }
}

/// A text of a caller's as a page shows it: without what cannot be seen or turns the direction of writing, and cut.
#[must_use]
pub(super) fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN_CHARS_MAX)
}

/// The same for a text that may be longer.
#[must_use]
pub(super) fn shown_up_to(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().filter(|c| !is_hidden(*c));
    let mut shown: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        shown.push('\u{2026}');
    }
    shown.trim().to_owned()
}

/// A text of ours as a sentence: with a large letter first and a full stop.
#[must_use]
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.ends_with(['.', '!', '?', '\u{2026}']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// How long ago: `5 minutes ago`, and the day when it is longer than a week. Times are in seconds since 1970.
#[must_use]
pub(super) fn ago(then: u64, now: u64) -> String {
    let past = now.saturating_sub(then);
    match past {
        0..MINUTE => "just now".to_owned(),
        MINUTE..HOUR => format!("{} ago", count(past / MINUTE, "minute")),
        HOUR..DAY => format!("{} ago", count(past / HOUR, "hour")),
        _ if past < 7 * DAY => format!("{} ago", count(past / DAY, "day")),
        _ => format!("on {}", day(then)),
    }
}

/// How much longer: `2 hours`, in whole units from above.
#[must_use]
pub(super) fn left(seconds: u64) -> String {
    match seconds {
        0..=MINUTE => "a minute".to_owned(),
        _ if seconds <= HOUR => count(seconds.div_ceil(MINUTE), "minute"),
        _ if seconds <= DAY => count(seconds.div_ceil(HOUR), "hour"),
        _ => count(seconds.div_ceil(DAY), "day"),
    }
}

fn day(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|s| DateTime::<Utc>::from_timestamp(s, 0));
    time.map(|t| t.format("%-d %B %Y").to_string()).unwrap_or_default()
}

fn count(n: u64, unit: &str) -> String {
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// What a scope of OpenID Connect allows. `None` for others, whose resource has words for them.
#[must_use]
pub(super) fn standard_scope(name: &str) -> Option<&'static str> {
    match name {
        "openid" => Some("Know that it is you"),
        "profile" => Some("See your name"),
        "email" => Some("See your e-mail address"),
        "address" => Some("See your postal address"),
        "phone" => Some("See your phone number"),
        "offline_access" => Some("Stay connected when you are away"),
        _ => None,
    }
}

/// Where a redirect URI leads, in a form that cannot be mistaken for another: the host in ASCII, or the device itself.
#[must_use]
pub(super) fn destination(redirect_uri: &str) -> String {
    let Ok(url) = Url::parse(redirect_uri) else { return shown(redirect_uri) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) if is_loopback(&url) => "a program on this device".to_owned(),
        ("http" | "https", Some(host)) => shown(&format!("{host}{port}")),
        (scheme, _) => shown(&format!("an app on this device ({scheme})")),
    }
}

/// The fields of one of a request's details (RFC 9396), flat: `address.city`, with what hides written out. `None` when there are more than
/// [`DETAIL_FIELDS_MAX`] or one is too long to be shown: who cannot see all of it cannot consent to it.
#[must_use]
pub(super) fn detail_fields(detail: &Value) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    flatten("", detail, &mut fields)?;
    Some(fields)
}

fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) -> Option<()> {
    let under = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(object) => object.iter().try_for_each(|(part, value)| flatten(&under(part), value, fields))?,
        Value::Array(array) if array.iter().any(|v| v.is_object() || v.is_array()) => {
            array.iter().enumerate().try_for_each(|(i, value)| flatten(&under(&(i + 1).to_string()), value, fields))?;
        }
        Value::Array(array) => fields.push((visible(name), array.iter().map(plain).collect::<Vec<_>>().join(", "))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            fields.push((visible(name), plain(value)))
        }
    }
    let fits = fields.len() <= DETAIL_FIELDS_MAX
        && fields.last().is_none_or(|(n, v)| n.len() + v.len() <= 4 * SHOWN_CHARS_MAX);
    fits.then_some(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), visible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_are_what_they_seem() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.0", "Another program"),
            ("", "Another program"),
        ] {
            assert_eq!(device(agent), name);
        }
    }

    #[test]
    fn times_are_in_words() {
        let now = 1_777_890_600; // 4 May 2026, 10:30 UTC
        for (past, words) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (3 * DAY, "3 days ago"),
            (30 * DAY, "on 4 April 2026"),
        ] {
            assert_eq!(ago(now - past, now), words);
        }
        assert_eq!(ago(now + 5, now), "just now", "clocks differ");
        for (seconds, words) in
            [(1, "a minute"), (61, "2 minutes"), (3_600, "60 minutes"), (3_601, "2 hours"), (DAY + 1, "2 days")]
        {
            assert_eq!(left(seconds), words);
        }
    }

    #[test]
    fn a_destination_cannot_be_mistaken() {
        for (uri, words) in [
            ("https://crm.example.com/cb?x=1", "crm.example.com"),
            ("https://crm.example.com:8443/cb", "crm.example.com:8443"),
            ("https://xn--e1awd7f.com/cb", "xn--e1awd7f.com"),
            ("https://good.com@evil.com/", "evil.com"),
            ("http://127.0.0.1:1234/cb", "a program on this device"),
            ("http://[::1]/cb", "a program on this device"),
            ("com.example.app:/cb", "an app on this device (com.example.app)"),
        ] {
            assert_eq!(destination(uri), words);
        }
    }

    #[test]
    fn what_a_caller_wrote_cannot_dress_up() {
        assert_eq!(shown("CRM\u{202e}moc.elgoog\u{0}\n"), "CRMmoc.elgoog");
        assert_eq!(shown("a\u{61c}b\u{2028}c\u{ad}d\u{2060}e\u{e0041}f\u{3164}"), "abcdef");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), SHOWN_CHARS_MAX + 1);
    }

    #[test]
    fn details_are_shown_whole_or_not_at_all() {
        let detail = json!({"type": "payment", "to": {"name": "Acme", "iban": "DE1"}, "items": ["a", "b"], "parts": [{"n": 1}], "now": true});
        let fields = detail_fields(&detail).unwrap();
        let flat: Vec<String> = fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(flat, ["type=payment", "to.name=Acme", "to.iban=DE1", "items=a, b", "parts.1.n=1", "now=true"]);
        let fields = detail_fields(&json!({"to": "1\u{202e}001", "a\u{200b}b": ["x\ny"]})).unwrap();
        let flat: Vec<String> = fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(flat, ["to=1⟨U+202E⟩001", "a⟨U+200B⟩b=x⟨U+000A⟩y"], "what hides is written out");
        let many: Vec<Value> = (0..50).map(|i| json!({ "n": i })).collect();
        assert_eq!(detail_fields(&json!(many)), None);
        assert_eq!(detail_fields(&json!({"a": "x".repeat(1_000)})), None);
    }
}
