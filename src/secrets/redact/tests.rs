//! What the filter promises, by example and for random texts and chunks.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

/// An ordinary token; one with what escapes change; bytes that are no text; one with line breaks.
const SECRETS: [&[u8]; 4] = [
    b"v4ult-9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    b"p/a+s\"s\\w=o&r%d 41 \xc3\xa9\xf0\x9f\x98\x80",
    b"\x00\xff\xfe\x80\x81binary\x01\x02\x03",
    b"first line of a key\nsecond line of a key\r\nthird",
];

fn filter() -> Filter {
    Filter::new(SECRETS).unwrap()
}

fn redact(text: &[u8]) -> (String, Report) {
    let (out, report) = filter().redact(text);
    (String::from_utf8_lossy(&out).into_owned(), report)
}

/// In chunks of these lengths, again and again.
pub(super) fn in_chunks(filter: &Filter, text: &[u8], lengths: &[usize]) -> (Vec<u8>, Report) {
    let (mut redactor, mut out) = (filter.stream(), Vec::new());
    let mut rest = text;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at((*length).min(rest.len()));
        redactor.push(chunk, &mut out);
        rest = behind;
    }
    let report = redactor.finish(&mut out);
    (out, report)
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
}

/// Every byte as `%XX`, or only those that have to be.
fn percent(bytes: &[u8], all: bool) -> String {
    let one = |b: &u8| match b {
        b if !all && b.is_ascii_alphanumeric() => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    bytes.iter().map(one).collect()
}

fn unicode(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

fn lines(text: &str, width: usize, end: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(width).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join(end)
}

/// OUT-1: the usual encodings of a secret, each of which a reader turns back into the secret.
pub(super) fn encodings(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = vec![("raw".into(), secret.to_vec())];
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text.into_bytes()));
    for before in 0..3 {
        for after in 0..3 {
            let framed = [&b"a:b"[..before], secret, &b"~~"[..after]].concat();
            add("base64", STANDARD.encode(&framed));
            add("base64url", URL_SAFE.encode(&framed));
            add("base64url without padding", URL_SAFE_NO_PAD.encode(&framed));
            add("base64 in lines", lines(&STANDARD.encode(&framed), 16, "\n"));
            add("base64 in lines of mail", lines(&STANDARD.encode(&framed), 12, "\r\n"));
            add("base64 in lines in JSON", json(&lines(&STANDARD.encode(&framed), 20, "\n")));
            add("base64 in a URL", percent(STANDARD.encode(&framed).as_bytes(), false));
        }
    }
    add("hex", hex(secret, false));
    add("HEX", hex(secret, true));
    add("URL", percent(secret, false));
    add("URL, all", percent(secret, true));
    add("URL, small", percent(secret, true).to_lowercase());
    add("URL, twice", percent(percent(secret, false).as_bytes(), false));
    if let Ok(text) = std::str::from_utf8(secret) {
        add("JSON", json(text));
        add("JSON, /", json(text).replace('/', "\\/"));
        add("JSON in JSON", json(&json(text)));
        add("\\u", unicode(text));
        add("\\U", unicode(text).to_uppercase().replace("\\U", "\\u"));
        add("\\u in JSON", json(&unicode(text)));
        add("HTML", text.replace('&', "&amp;").replace('"', "&quot;"));
        add("HTML, numbers", text.chars().map(|c| format!("&#{};", u32::from(c))).collect());
        add("form", percent(text.replace(' ', "+").as_bytes(), false).replace("%2B41%2B", "+41+"));
    }
    all
}

#[test]
fn a_held_secret_leaves_in_no_encoding() {
    for secret in SECRETS {
        for (name, encoded) in encodings(secret) {
            if name == "form" && secret.contains(&b' ') && secret.contains(&b'\n') {
                continue; // a form has its line breaks as %0A, and the spaces of this one are covered by another
            }
            let text = [b"before <", &encoded[..], b"> after"].concat();
            for lengths in [&[usize::MAX][..], &[1], &[2, 3], &[7]] {
                let (out, report) = in_chunks(&filter(), &text, lengths);
                let out = String::from_utf8_lossy(&out);
                let what = format!("{name}: {} gave {out}", String::from_utf8_lossy(&text));
                assert!(out.contains("[removed:held-secret]"), "{what}");
                assert!(out.starts_with("before <") && out.ends_with("> after"), "{what}");
                // What is left of it is less than one letter on each side.
                assert!(out.len() <= "before <[removed:held-secret]> after".len() + 16, "{what}");
                assert_eq!(report.counts().collect::<Vec<_>>(), [("held-secret", 1)], "{what}");
            }
        }
    }
}

#[test]
fn ordinary_text_is_unchanged_and_hardly_held_back() {
    let text = "Reset it under https://example.com/a?b=c&d=%20e; then run `make`.\\n \u{e9}\n\n{\"next_page_token\":\"CAUQAA\"}\n";
    let filter = filter();
    let (mut redactor, mut out) = (filter.stream(), Vec::new());
    let mut word = 0;
    for byte in text.bytes() {
        redactor.push(&[byte], &mut out);
        word = if byte.is_ascii_graphic() { word + 1 } else { 0 };
        assert!(redactor.held() <= word.max(12), "{} bytes wait of a word of {word}", redactor.held());
    }
    assert_eq!(redactor.held(), 0, "the end of a line lets go");
    assert_eq!(redactor.finish(&mut out), Report::default());
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

#[test]
fn neighbours_and_overlaps_are_one() {
    let secret = SECRETS[0];
    let twice = [b"<", secret, secret, b">"].concat();
    assert_eq!(redact(&twice).0, "<[removed:held-secret]>");
    let apart = [b"<", secret, b" ", secret, b">"].concat();
    assert_eq!(redact(&apart).0, "<[removed:held-secret] [removed:held-secret]>");
    // One secret that is the start of another, and one that is within another.
    let filter = Filter::new([&b"abcdefgh12"[..], b"abcdefgh1234", b"efgh1234zz"]).unwrap().without_shapes();
    let one = |text: &[u8]| String::from_utf8(filter.redact(text).0).unwrap();
    assert_eq!(one(b"-abcdefgh12-"), "-[removed:held-secret]-");
    assert_eq!(one(b"-abcdefgh1234-"), "-[removed:held-secret]-");
    assert_eq!(one(b"-abcdefgh1234zz-"), "-[removed:held-secret]-");
    assert_eq!(one(b"-abcdefgh1-"), "-abcdefgh1-");
}

#[test]
fn a_secret_that_repeats_itself_is_found_where_it_begins_late() {
    let filter = Filter::new([&b"abababab"[..]]).unwrap().without_shapes();
    assert_eq!(filter.redact(b"ababababab!").0, b"[removed:held-secret]!");
    let filter = Filter::new([&b"abababababX"[..]]).unwrap().without_shapes();
    assert_eq!(filter.redact(b"ababababababababX!").0, b"ababab[removed:held-secret]!");
}

#[test]
fn what_cannot_be_looked_for_is_refused_and_not_shown() {
    for (secret, error) in [
        (&b"1234567"[..], FilterError::Short(7)),
        (b"12345\r\n6", FilterError::Short(7)),
        (b"%41%42%43%44", FilterError::Short(4)),
        (&vec![b'a'; 17][..], FilterError::Repeats(17)),
        (&vec![b'x'; HELD_SECRET_BYTES_MAX + 1][..], FilterError::Long(HELD_SECRET_BYTES_MAX + 1)),
    ] {
        assert_eq!(Filter::new([secret]).unwrap_err(), error);
    }
    let many: Vec<Vec<u8>> = (0..=HELD_SECRETS_MAX).map(|n| format!("secret number {n:06}").into_bytes()).collect();
    assert_eq!(Filter::new(many.iter().map(|s| &s[..])).unwrap_err(), FilterError::Many);
    assert!(Filter::new(many.iter().skip(1).map(|s| &s[..])).is_ok());
    let mut redactor = filter().stream();
    redactor.push(SECRETS[0], &mut Vec::new());
    assert!(!format!("{redactor:?} {:?}", filter()).contains("v4ult"));
}

/// What is held back is bounded, however the stream is made to look as if a secret came.
#[test]
fn what_waits_is_bounded() {
    let filter = filter();
    let longest = 2 * SECRETS.iter().map(|s| s.len()).max().unwrap();
    let bound = 16 * longest + 12 * SHAPE_BYTES_MAX;
    let start = &SECRETS[0][..20];
    let escaped: String = start.iter().map(|b| format!("\\u005cu{b:04x}")).collect();
    for evil in [
        [start, &b"\n".repeat(50_000)].concat(),
        escaped.repeat(5_000).into_bytes(),
        format!("eyJ{}", "a".repeat(100_000)).into_bytes(),
        "eyJ-".repeat(50_000).into_bytes(),
        "password=".repeat(20_000).into_bytes(),
        format!("password={}", "a1B2".repeat(50_000)).into_bytes(),
        format!("-----BEGIN PRIVATE KEY-----{}", "\n".repeat(100_000)).into_bytes(),
        format!("-----BEGIN PRIVATE KEY-----{}", "\n      ABCD".repeat(20_000)).into_bytes(),
        format!("://{}", "a:".repeat(50_000)).into_bytes(),
        "&#x".repeat(50_000).into_bytes(),
        "\\\\u00".repeat(50_000).into_bytes(),
    ] {
        let (mut redactor, mut out) = (filter.stream(), Vec::new());
        for chunk in evil.chunks(37) {
            redactor.push(chunk, &mut out);
            assert!(redactor.held() <= bound, "{} bytes wait of {:?}", redactor.held(), &evil[..40]);
        }
    }
}

/// Parts of texts that come near to secrets, and secrets.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let secret = (0..SECRETS.len(), any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 0..4_u8);
    prop_oneof![
        "[a-z \"\\\\%&:=/\n]{0,12}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
        secret.prop_map(|(which, encoding, cut, whole)| {
            let all = encodings(SECRETS[which]);
            let mut text = encoding.get(&all).1.clone();
            if whole == 0 {
                text.truncate(cut.index(text.len()));
            }
            text
        }),
        proptest::sample::select(vec![
            "ghp_",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
            "api_key = '",
            "q7Rt2LpX9vBn4KsW8mZc",
            "'",
            "https://bob:hunter2x@",
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "MIIEpAIBAAKCAQEA7bq9",
            "-----END RSA PRIVATE KEY-----",
            "Authorization: Bearer ",
            "\\n",
            "%0A",
            "\\\\u0022",
            "&quot;",
            "sk-ant-api03-",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYz91",
            "SG.",
            "xoxb-123456789012-abcdefABCDEF1234",
            "[removed:",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The result does not depend on where chunks end, and nothing that is held is in it.
    #[test]
    fn chunks_do_not_matter(
        parts in proptest::collection::vec(part(), 0..12),
        lengths in proptest::collection::vec(1_usize..40, 1..6),
    ) {
        let (text, filter) = (parts.concat(), filter());
        let (whole, report) = filter.redact(&text);
        let cut = in_chunks(&filter, &text, &lengths);
        prop_assert_eq!(String::from_utf8_lossy(&cut.0), String::from_utf8_lossy(&whole));
        prop_assert_eq!(&cut.1, &report);
        let bytewise = in_chunks(&filter, &text, &[1]);
        prop_assert_eq!((&bytewise.0, &bytewise.1), (&whole, &report));
        for secret in SECRETS {
            prop_assert!(!whole.windows(secret.len()).any(|w| w == secret));
        }
        if report.total() == 0 {
            prop_assert_eq!(whole, text);
        }
    }

    /// Random secrets in random surroundings.
    #[test]
    fn any_secret_is_found_in_any_encoding(
        secret in proptest::collection::vec(any::<u8>(), 8..80),
        which: proptest::sample::Index,
        before in "[a-z0-9]{0,5} ", after in " [a-z0-9]{0,5}",
        length in 1_usize..20,
    ) {
        prop_assume!(Filter::takes(&secret).is_ok());
        let filter = Filter::new([&secret[..]]).unwrap().without_shapes();
        let all: Vec<_> = encodings(&secret).into_iter().filter(|(name, _)| name != "form").collect();
        let (name, encoded) = which.get(&all);
        let text = [before.as_bytes(), encoded, after.as_bytes()].concat();
        let (out, report) = in_chunks(&filter, &text, &[length]);
        prop_assert_eq!(report.total(), 1, "{}: {:?} gave {:?}", name, String::from_utf8_lossy(&text), String::from_utf8_lossy(&out));
    }
}

/// Line breaks within a secret do not count as those of a long encoding do.
#[test]
fn a_secret_may_have_blank_lines() {
    for secret in [&b"\0\n\n\0\x0e\0\0\0\x0e\x80"[..], b"-key-\r\n\r\n-of-\n\n\n-mine-\n\n", b"\n\n\nhead-and-body"] {
        let filter = Filter::new([secret]).unwrap();
        for (name, encoded) in encodings(secret).into_iter().filter(|(name, _)| name != "form") {
            let text = [b"before <", &encoded[..], b"> after"].concat();
            for lengths in [&[usize::MAX][..], &[1], &[3]] {
                let (out, report) = in_chunks(&filter, &text, lengths);
                assert_eq!(report.total(), 1, "{name}: {}", String::from_utf8_lossy(&out));
            }
        }
    }
}

#[test]
fn a_secret_may_begin_within_an_escape() {
    for (secret, text, left) in [
        (&b"n0t-an-escape"[..], &b"C:\\n0t-an-escape;"[..], "C:\\[removed:held-secret];"),
        (b"u0041secret", b"\\u0041secret", "\\[removed:held-secret]"),
        (b"41secret!", b"100 %41secret!", "100 %[removed:held-secret]"),
        (b"cnsecret!", b"%5cnsecret!", "%5[removed:held-secret]"),
        (b"nsecret!", b"%5cnsecret!", "%5c[removed:held-secret]"),
        (b"39;secret", b"&#39;secret", "&#[removed:held-secret]"),
    ] {
        let filter = Filter::new([secret]).unwrap();
        for lengths in [&[usize::MAX][..], &[1], &[3]] {
            assert_eq!(String::from_utf8(in_chunks(&filter, text, lengths).0).unwrap(), left);
        }
    }
}
