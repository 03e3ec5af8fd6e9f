//! Login: forms and cookies of browsers, and what pages show of others' words.

use crate::pick::{Pick, words};
use bailiwick_fuzz::modules::approval::visible;
use bailiwick_fuzz::modules::login::{CookieKind, Cookies, FORM_BYTES_MAX, FORM_FIELDS_MAX, cookie, destination, detail_fields, field, shown};
use serde_json::Value;

/// A form has a field once, and what is read is what was sent.
#[test]
fn page_forms() {
    const WORDS: [&str; 14] = ["password=", "login=", "&", "=", "%", "+", "%00", "é", "x", "password=a&password=b", "%26", "a", ";", "%C3%A9"];
    bolero::check!().for_each(|input: &[u8]| {
        for text in [input, words(input, &WORDS).as_bytes()] {
            let all: Vec<_> = url::form_urlencoded::parse(text).collect();
            let once = all.iter().all(|(name, _)| all.iter().filter(|(other, _)| other == name).count() == 1);
            match field(text, "password") {
                Some(password) => {
                    assert!(once && all.len() <= FORM_FIELDS_MAX && text.len() <= FORM_BYTES_MAX);
                    let sent = all.iter().find(|(name, _)| name == "password").map_or("", |(_, value)| value);
                    assert_eq!(password, sent);
                }
                None => assert!(!once || all.len() > FORM_FIELDS_MAX || text.len() > FORM_BYTES_MAX),
            }
        }
    });
}

/// A cookie of ours is found when it is there once, whatever stands around it, and no other is.
#[test]
fn cookies() {
    const WORDS: [&str; 12] = [
        "bw-session-7=", "bw-session-8=", "__Host-bw-session-7=", "; ", ";", "=", "a", "\"", " ", "bw-session-7", "é",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        for header in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            for secure in [false, true] {
                let cookies = Cookies { secure, tenant: 7 };
                let name = cookies.name(CookieKind::Session);
                let there = header.split(';').map(str::trim).filter(|pair| pair.split_once('=').is_some_and(|(n, _)| n == name)).count();
                let found = cookies.find(&header, CookieKind::Session);
                assert_eq!(found.is_some(), there == 1 && header.len() <= 16 << 10, "{header}");
                if let Some(text) = found.and_then(cookie) {
                    assert!(text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
                }
            }
        }
    });
}

/// What others wrote stands on a page as it looks: nothing in it hides, turns the direction of writing, or begins a line.
#[test]
fn words_of_others() {
    const WORDS: [&str; 22] = [
        "https://", "http://", "good.example", "@evil.example", "/", "\u{202e}", "\u{200b}", "\u{61c}", "\u{2028}", "\u{ad}", "\n", "\0", "é",
        "com.example.app:", "127.0.0.1", "[::1]", ":8443", "#", "?", "localhost", "\u{e0041}", "pay",
    ];
    let names = ["type", "to", "amount", "\u{202e}a", "a\u{200b}", "items"];
    bolero::check!().for_each(|input: &[u8]| {
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            for said in [shown(&text), destination(&text)] {
                assert_eq!(visible(&said), said, "{text:?}");
                assert!(said.chars().count() <= 121);
            }
        }
        let mut pick = Pick(input);
        let detail = pick.json(&names, &WORDS, 4);
        let Some(fields) = detail_fields(&detail) else { return };
        assert!(fields.len() <= 40);
        for (name, value) in &fields {
            assert!(visible(name) == *name && visible(value) == *value, "{name:?}: {value:?}");
        }
        // All of it is there.
        let all: String = fields.iter().map(|(_, value)| value.as_str()).collect();
        for text in texts(&detail) {
            assert!(all.contains(&visible(&text)), "{text:?} of {detail}");
        }
    });
}

/// The texts in a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
