//! What the filter promises of what others hold, and of what waits.

use super::tests::{encodings, in_chunks};
use super::*;
use proptest::prelude::*;

const OF_SARAH: &str = "7a29.Q0AfH6SMBx-k3J_9fdTz+4/vNw5RgYpLs8Ue2Xc";
const OF_BOB: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// What begins like a word of ordinary text, so that all words wait.
const WORDLY: &str = "underground-4471-kfQz";

fn holdings() -> Arc<Holdings> {
    let holdings = Holdings::new(HOLDINGS_MAX);
    holdings.put("user:sarah at crm", [OF_SARAH.as_bytes()]).unwrap();
    holdings.put("user:bob at code", [OF_BOB.as_bytes()]).unwrap();
    Arc::new(holdings)
}

/// The filter of somebody who holds nothing of it.
fn filter() -> Filter {
    Filter::new([WORDLY.as_bytes()]).unwrap().without_shapes().with_holdings(holdings())
}

fn redact(filter: &Filter, text: &str) -> String {
    String::from_utf8(filter.redact(text.as_bytes()).0).unwrap()
}

#[test]
fn what_others_hold_leaves_in_no_encoding() {
    for (secret, owner) in [(OF_SARAH, "user:sarah at crm"), (OF_BOB, "user:bob at code")] {
        for (name, encoded) in encodings(secret.as_bytes()) {
            let text = [b"before <", &encoded[..], b"> after"].concat();
            for lengths in [&[usize::MAX][..], &[1], &[2, 3], &[7]] {
                let (out, report) = in_chunks(&filter(), &text, lengths);
                let out = String::from_utf8_lossy(&out);
                let what = format!("{name}: {} gave {out}", String::from_utf8_lossy(&text));
                assert!(out.starts_with("before <") && out.ends_with("> after"), "{what}");
                assert!(out.contains("[removed:secret-of-another]"), "{what}");
                assert!(out.len() <= "before <[removed:secret-of-another]> after".len() + 16, "{what}");
                assert_eq!(report.counts().collect::<Vec<_>>(), [("secret-of-another", 1)], "{what}");
                assert_eq!(report.owners().collect::<Vec<_>>(), [owner], "{what}");
            }
        }
    }
}

#[test]
fn what_the_caller_holds_is_called_so_though_all_is_looked_for() {
    let filter = Filter::new([OF_BOB.as_bytes()]).unwrap().with_holdings(holdings());
    let (out, report) = filter.redact(format!("{OF_BOB} {OF_SARAH}").as_bytes());
    assert_eq!(String::from_utf8(out).unwrap(), "[removed:held-secret] [removed:secret-of-another]");
    assert_eq!(report.owners().collect::<Vec<_>>(), ["user:bob at code", "user:sarah at crm"]);
}

#[test]
fn secrets_come_and_go_while_a_stream_does() {
    let holdings = holdings();
    let filter = Filter::new([]).unwrap().without_shapes().with_holdings(Arc::clone(&holdings));
    let (mut stream, mut out) = (filter.stream(), Vec::new());
    let new = "xoxe-1-Mi0xLTY4NzQ1NjM0NTYtOWYw";
    stream.push(format!("{new} {OF_BOB} ").as_bytes(), &mut out);
    holdings.put("user:bob at code", [new.as_bytes()]).unwrap();
    stream.push(format!("{new} {OF_BOB} ").as_bytes(), &mut out);
    holdings.put("user:bob at code", []).unwrap();
    stream.push(format!("{new} {OF_BOB} {OF_SARAH}").as_bytes(), &mut out);
    assert_eq!(stream.finish(&mut out).total(), 3);
    let mark = "[removed:secret-of-another]";
    assert_eq!(String::from_utf8(out).unwrap(), format!("{new} {mark} {mark} {OF_BOB} {new} {OF_BOB} {mark}"));
    assert_eq!(format!("{holdings:?}"), "Holdings { secrets: 1, .. }");
}

#[test]
fn only_what_nobody_can_guess_is_looked_for_in_what_others_get() {
    let holdings = Holdings::new(HOLDINGS_MAX);
    for guessed in [
        "Summer2026!",
        "correct horse battery staple",
        "internationalization",
        "0000000000000000000",
        "c6912E7710c8383",
    ] {
        holdings.put("user:eve", [guessed.as_bytes()]).unwrap();
        assert_eq!(format!("{holdings:?}"), "Holdings { secrets: 0, .. }", "{guessed}");
    }
    // Of a key in lines, each line; of one in bytes, what encodes it.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPq1nUu5p0TtJkF3\r\nWcYbq7yL9o0dWm8d2v1sQhZkR4xK\n-----END PRIVATE KEY-----\n";
    let der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20\xfa\xb5\x9d";
    holdings.put("user:eve", [pem.as_bytes(), der]).unwrap();
    assert_eq!(format!("{holdings:?}"), "Holdings { secrets: 3, .. }");
    let filter = Filter::new([]).unwrap().without_shapes().with_holdings(Arc::new(holdings));
    assert_eq!(redact(&filter, "'WcYbq7yL9o0dWm8d2v1sQhZkR4xK'"), "'[removed:secret-of-another]'");
    assert_eq!(redact(&filter, "<302e020100300506032b657004220420fab59d>"), "<[removed:secret-of-another]>");
    assert_eq!(filter.redact(der).0, der, "bytes as they are, which are no text");
    assert_eq!(redact(&filter, "-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
}

/// Tokens of one issuer begin alike.
#[test]
fn many_tokens_that_begin_alike_are_told_apart() {
    let token = |n: u32| {
        format!("eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUi{n:08}q7Rt2LpX9v")
    };
    let holdings = Holdings::new(HOLDINGS_MAX);
    for n in 0..10_000 {
        holdings.put(&format!("user:{n}"), [token(n).as_bytes()]).unwrap();
    }
    let filter = Filter::new([WORDLY.as_bytes()]).unwrap().without_shapes().with_holdings(Arc::new(holdings));
    let text = format!("<{}> {} {}.", token(7_421), token(10_000), token(3));
    let (out, report) = in_chunks(&filter, text.as_bytes(), &[5]);
    let mark = "[removed:secret-of-another]";
    assert_eq!(String::from_utf8(out).unwrap(), format!("<{mark}> {} {mark}.", token(10_000)));
    assert_eq!(report.owners().collect::<Vec<_>>(), ["user:3", "user:7421"]);
}

#[test]
fn the_most_secrets_are_looked_for_and_no_more() {
    let holdings = Holdings::new(3);
    let many: Vec<String> = (0..4).map(|n| format!("q7Rt2LpX{n:08}vBn4")).collect();
    let all = || many.iter().map(String::as_bytes);
    assert_eq!(holdings.put("user:eve", all()), Err(HoldingsFull(3)));
    assert_eq!(holdings.put("user:eve", all().skip(1)), Ok(()));
    assert_eq!(holdings.put("user:bob", [OF_BOB.as_bytes()]), Err(HoldingsFull(3)));
    assert_eq!(holdings.put("user:eve", []), Ok(()));
    assert_eq!(holdings.put("user:bob", [OF_BOB.as_bytes()]), Ok(()));
}

#[test]
fn words_of_ordinary_text_do_not_wait_unless_a_secret_begins_like_one() {
    let plain = Filter::new([]).unwrap().without_shapes().with_holdings(holdings());
    for (text, waits) in [
        ("Hello,", 0),
        ("Hello, (world", 0),
        ("He said \"Yes.\"", 0),
        ("it is McDonald", 8),
        ("in 2026", 4),
        ("of internationalization", 20),
        ("a web-page", 8),
        ("see https://example.com/", 20),
        ("see https://example.com/ ", 0),
        ("{\"a\":1,\n", 0),
        ("MC4CAQAwBQYDK2VwBCIE\n", 21),
        ("MC4CAQAwBQYDK2VwBCIE\r\n", 22),
        ("MC4CAQAwBQYDK2VwBCIE\n\n", 0),
        ("MC4CAQAwBQYDK2VwBCIE\nIPq1", 25),
        ("\u{4f60}\u{597d}", 0),
    ] {
        for length in [1, 3, usize::MAX] {
            let (mut stream, mut out) = (plain.stream(), Vec::new());
            text.as_bytes().chunks(length.min(text.len())).for_each(|chunk| stream.push(chunk, &mut out));
            assert!(
                stream.held() <= waits && (length < 4 || stream.held() == waits),
                "{} of {text:?} wait",
                stream.held()
            );
        }
    }
    let (mut stream, mut out) = (filter().stream(), Vec::new());
    stream.push(b"it is Hello,", &mut out);
    assert_eq!(stream.held(), 6);
    // So do they where a long secret was, once it is gone.
    let holdings = Arc::new(Holdings::new(HOLDINGS_MAX));
    let long = |bytes: usize| "q7Rt2LpX9vBn4KsW".repeat(bytes / 16);
    let waits = |holdings: &Arc<Holdings>| {
        let (mut stream, mut out) = (plain.with_holdings(Arc::clone(holdings)).stream(), Vec::new());
        stream.push("x1".repeat(200_000).as_bytes(), &mut out);
        stream.held()
    };
    holdings.put("user:eve", [long(HOLDING_BYTES_MAX).as_bytes()]).unwrap();
    assert!(waits(&holdings) > 90_000);
    holdings.put("user:eve", [OF_BOB.as_bytes(), long(HOLDING_BYTES_MAX + 16).as_bytes()]).unwrap();
    assert!(waits(&holdings) < 2_000, "one that is too long is not looked for");
    // What had left by then stays.
    let (cut, report) = in_chunks(&plain, OF_BOB.as_bytes(), &[3]);
    assert_eq!((String::from_utf8(cut).unwrap().as_str(), report.total()), ("ghp[removed:secret-of-another]", 1));
}

/// What comes near to a secret: starts of it in some encoding, whole lines of long encodings, and ordinary text.
fn near() -> impl Strategy<Value = Vec<u8>> {
    let secret = (any::<bool>(), any::<proptest::sample::Index>(), any::<proptest::sample::Index>());
    prop_oneof![
        "[a-z \"\\\\%&:=/\n]{0,12}".prop_map(String::into_bytes),
        secret.prop_map(|(of_bob, encoding, cut)| {
            let all = encodings(if of_bob { OF_BOB } else { OF_SARAH }.as_bytes());
            let mut text = encoding.get(&all).1.clone();
            // Not all of it.
            text.truncate(cut.index(text.len() * 3 / 4));
            text
        }),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Who sends a text byte by byte and looks at what waits learns nothing of what is held: as much waits where other
    /// secrets of the same lengths are held.
    #[test]
    fn what_waits_does_not_tell_what_is_held(
        parts in proptest::collection::vec(near(), 0..8),
        lengths in proptest::collection::vec(1_usize..9, 1..6),
    ) {
        let turned = |secret: &str| secret.chars().rev().collect::<String>().replace('7', "8");
        let own = |secrets: [&str; 2]| Filter::new([WORDLY, secrets[0], secrets[1]].map(str::as_bytes)).unwrap().without_shapes();
        let others = Arc::new(Holdings::new(HOLDINGS_MAX));
        let mut filters = vec![filter(), Filter::new([WORDLY.as_bytes()]).unwrap().without_shapes().with_holdings(Arc::clone(&others))];
        for secret in [OF_SARAH, OF_BOB] {
            others.put(secret, [turned(secret).as_bytes()]).unwrap();
        }
        filters.push(own([OF_SARAH, OF_BOB]));
        filters.push(own([&turned(OF_SARAH), &turned(OF_BOB)]));
        let text = parts.concat();
        prop_assume!(filters.iter().all(|filter| filter.redact(&text).1.total() == 0));
        let mut streams: Vec<_> = filters.iter().map(|filter| (filter.stream(), Vec::new())).collect();
        let (mut rest, mut lengths) = (&text[..], lengths.iter().cycle());
        while let Some(length) = lengths.next().filter(|_| !rest.is_empty()) {
            let (chunk, behind) = rest.split_at((*length).min(rest.len()));
            rest = behind;
            let waits: Vec<usize> = streams.iter_mut().map(|(stream, out)| { stream.push(chunk, out); stream.held() }).collect();
            let sent = &text[..text.len() - rest.len()];
            let sent = String::from_utf8_lossy(sent);
            prop_assert!(waits.windows(2).all(|pair| pair[0] == pair[1]), "{waits:?} wait of {sent:?}");
        }
    }

    /// Nothing that others hold leaves, whatever the chunks are.
    #[test]
    fn chunks_do_not_matter_for_what_others_hold(
        parts in proptest::collection::vec(near(), 0..6),
        which: proptest::sample::Index,
        at: proptest::sample::Index,
        lengths in proptest::collection::vec(1_usize..40, 1..6),
    ) {
        let mut parts = parts;
        parts.insert(at.index(parts.len() + 1), which.get(&encodings(OF_SARAH.as_bytes())).1.clone());
        let text = parts.concat();
        let (whole, report) = filter().redact(&text);
        for lengths in [&lengths[..], &[1]] {
            let (cut, of_cut) = in_chunks(&filter(), &text, lengths);
            prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
            prop_assert_eq!(&of_cut, &report);
        }
        prop_assert!(!String::from_utf8_lossy(&whole).contains(OF_SARAH));
    }
}
