//! What the key ring and the seal promise, by example and for random values.

use super::*;
use proptest::prelude::*;
use std::sync::OnceLock;

const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 19_456, passes: 1, lanes: 1 };
const OLD: [u8; KEY_BYTES] = *b"an old key of thirty-two bytes..";
const NEW: [u8; KEY_BYTES] = *b"a new key of thirty-two bytes...";
const NONCE: [u8; NONCE_BYTES] = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
const HIERARCHIES: [Hierarchy; 3] = [Hierarchy::UserCredentials, Hierarchy::AgentCredentials, Hierarchy::System];

fn text(keys: &[(&str, u64, [u8; KEY_BYTES])]) -> String {
    let lines = keys.iter().map(|(id, created, bytes)| KeyRing::key_line(id, *created, bytes).unwrap().to_string());
    KeyRing::head() + &lines.collect::<String>()
}

fn ring(keys: &[(&str, u64, [u8; KEY_BYTES])]) -> KeyRing {
    KeyRing::parse(&text(keys), &[]).unwrap()
}

fn both() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| ring(&[("new", 20, NEW), ("old", 10, OLD)]))
}

#[test]
fn the_newest_key_seals_and_all_open() {
    let (before, after) = (ring(&[("old", 10, OLD)]), both());
    assert_eq!(after.ids().collect::<Vec<_>>(), [("old", 10), ("new", 20)]);
    let sealed = seal(&before, Hierarchy::System, b"here", b"value", &NONCE).unwrap();
    assert!(is_newest(&before, &sealed) && !is_newest(after, &sealed));
    assert_eq!(**open(after, Hierarchy::System, b"here", &sealed).unwrap(), *b"value");
    let anew = seal(after, Hierarchy::System, b"here", b"value", &NONCE).unwrap();
    assert!(is_newest(after, &anew));
    let error = open(&before, Hierarchy::System, b"here", &anew).unwrap_err();
    assert_eq!(error, OpenError::UnknownKey { id: "new".to_owned() });
    assert!(error.to_string().contains("`new`") && error.to_string().contains("add"));
}

#[test]
fn rows_that_change_places_do_not_open() {
    let places: [&[u8]; 2] = [b"tenant 1/token/a", b"tenant 1/token/b"];
    let rows = places.map(|place| seal(both(), Hierarchy::UserCredentials, place, b"value", &NONCE).unwrap());
    for (at, row) in rows.iter().enumerate() {
        for (there, place) in places.iter().enumerate() {
            let opened = open(both(), Hierarchy::UserCredentials, place, row);
            assert_eq!(opened.is_ok(), at == there);
            assert!(opened.is_ok() || opened == Err(OpenError::Damaged));
        }
    }
}

/// Envelopes that another program made (Python's `cryptography`: HKDF, CMAC, AES-GCM): the format stays what it is.
#[test]
fn the_format_is_what_the_page_says() {
    let head = "01036e65774142434445464748494a4b4c4d4e4f505152535455565758";
    for (hierarchy, body) in [
        (Hierarchy::UserCredentials, "5f8e1ce8065df1a544803ca10cc9bfb2fb93fab885"),
        (Hierarchy::AgentCredentials, "765a428a3b0272d2813379a842267b5ed6696639de"),
        (Hierarchy::System, "a0b49a99c073b1e2f1552038a5fc4603e1f9184c77"),
    ] {
        let sealed = seal(both(), hierarchy, b"tenant 1/token/a", b"value", &NONCE).unwrap();
        let hex: String = sealed.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, format!("{head}{body}"));
    }
}

/// A name cannot lend letters to a place, nor a place to a name.
#[test]
fn a_name_and_a_place_do_not_run_together() {
    let (short, long) = (ring(&[("k", 1, OLD)]), ring(&[("ka", 1, OLD)]));
    let sealed = seal(&short, Hierarchy::System, b"ab", b"value", &NONCE).unwrap();
    let mut renamed = vec![1, 2, b'k', b'a'];
    renamed.extend_from_slice(&sealed[3..]);
    assert_eq!(open(&long, Hierarchy::System, b"b", &renamed), Err(OpenError::Damaged));
    assert_eq!(open(&long, Hierarchy::System, b"ab", &renamed), Err(OpenError::Damaged));
}

#[test]
fn one_hierarchy_does_not_open_anothers() {
    for sealed_in in HIERARCHIES {
        let sealed = seal(both(), sealed_in, b"here", b"value", &NONCE).unwrap();
        for opened_in in HIERARCHIES {
            assert_eq!(open(both(), opened_in, b"here", &sealed).is_ok(), sealed_in == opened_in);
        }
    }
}

#[test]
fn what_cannot_be_sealed_or_read_is_refused() {
    let long = vec![0; PLAIN_BYTES_MAX + 1];
    assert_eq!(seal(both(), Hierarchy::System, b"p", &long, &NONCE), Err(SealError::TooLong(long.len())));
    assert!(seal(both(), Hierarchy::System, b"p", &long[1..], &NONCE).is_ok());
    assert_eq!(seal(both(), Hierarchy::System, b"", b"v", &NONCE), Err(SealError::NoPlace));
    assert_eq!(open(both(), Hierarchy::System, b"p", b""), Err(OpenError::Damaged));
    assert_eq!(open(both(), Hierarchy::System, b"p", b"\x02later"), Err(OpenError::Version(2)));
    assert!(!is_newest(both(), b"") && !is_newest(both(), b"\x02later"));
}

#[test]
fn a_passphrase_gives_the_key_again_and_is_not_kept() {
    let (phrase, salt) = (b"correct horse battery".as_slice(), [7; PASSPHRASE_SALT_BYTES]);
    let line = KeyRing::passphrase_line("p1", 5, &salt, CHEAP, phrase).unwrap();
    assert!(line.starts_with("passphrase p1 5 argon2id m=19456 t=1 p=1 salt="), "{line}");
    let text = KeyRing::head() + "# made by hand\n\n" + &line + &KeyRing::key_line("k", 4, &OLD).unwrap();
    let ring = KeyRing::parse(&text, &[b"another one, tried first", phrase]).unwrap();
    assert_eq!((ring.newest(), ring.ids().count()), ("p1", 2));
    let sealed = seal(&ring, Hierarchy::System, b"p", b"value", &NONCE).unwrap();
    let again = KeyRing::parse(&text, &[phrase]).unwrap();
    assert_eq!(**open(&again, Hierarchy::System, b"p", &sealed).unwrap(), *b"value");
    for passphrases in [&[b"another one, tried first".as_slice()], [].as_slice()] {
        let error = KeyRing::parse(&text, passphrases).unwrap_err();
        assert_eq!(error, KeyRingError::Passphrase { id: "p1".to_owned() });
    }
    let other = KeyRing::passphrase_line("p1", 5, &[8; PASSPHRASE_SALT_BYTES], CHEAP, phrase).unwrap();
    assert_ne!(line, other);
    let weak = KeyRing::passphrase_line("p1", 5, &salt, CHEAP, b"short");
    assert_eq!(weak, Err(KeyRingError::Weak));
    let cheaper = PassphraseCost { memory_kib: 8, ..CHEAP };
    assert_eq!(KeyRing::passphrase_line("p1", 5, &salt, cheaper, phrase), Err(KeyRingError::Weak));
}

#[test]
fn texts_that_are_no_key_ring_say_what_is_wrong() {
    let key = KeyRing::key_line("a", 1, &OLD).unwrap();
    let (head, key) = (KeyRing::head(), key.as_str());
    let line = |text: &str| format!("{head}{text}\n");
    let fault = |text: &str| KeyRing::parse(text, &[]).unwrap_err().to_string();
    for (text, says) in [
        (String::new(), "does not begin"),
        ("bailiwick-keys 2\n".to_owned(), "version"),
        (head.clone(), "has no key"),
        (format!("{head}{key}{key}"), "line 3"),
        (format!("{head}{key}{}", key.replace(" a 1 ", " b 1 ")), "line 3"),
        (format!("{head}{key}{}", key.replace(" a 1 ", " b 2 ")), "line 3"),
        (line("key A 1 AAAA"), "name"),
        (line("key a x AAAA"), "seconds since 1970"),
        (line("key a 1 AAAA"), "32 random bytes"),
        (line(&format!("key a 1 {}=", "A".repeat(43))), "32 random bytes"),
        (line("keys a 1 AAAA"), "write `key"),
        (line("passphrase a 1 argon2id m=19456 t=1 p=1 salt=AAAA check=AAAA"), "write `argon2id"),
        ("x".repeat(KEY_RING_BYTES_MAX + 1), "longer"),
    ] {
        let error = fault(&text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let many: String = (0..=KEYS_MAX as u64)
        .map(|n| {
            let mut bytes = OLD;
            bytes[0] = u8::try_from(n).unwrap();
            KeyRing::key_line(&format!("k{n}"), n, &bytes).unwrap().to_string()
        })
        .collect();
    assert_eq!(KeyRing::parse(&(head.clone() + &many), &[]).unwrap_err(), KeyRingError::TooMany);
    let last = many.rfind("key ").unwrap();
    assert_eq!(KeyRing::parse(&(head + many.split_at(last).0), &[]).unwrap().ids().count(), KEYS_MAX);
}

#[test]
fn nothing_secret_is_shown() {
    let shown = format!("{:?}", both());
    assert_eq!(shown, r#"KeyRing { keys: [("old", 10), ("new", 20)], .. }"#);
    // A key on a line that is wrong is not repeated.
    let key = KeyRing::key_line("a", 1, &OLD).unwrap();
    let error = KeyRing::parse(&(KeyRing::head() + "key " + &key), &[]).unwrap_err();
    let bytes = key.split_ascii_whitespace().last().unwrap();
    assert!(!format!("{error} {error:?}").contains(bytes));
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_nothing_else_does(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        place in proptest::collection::vec(any::<u8>(), 1..40),
        nonce: [u8; NONCE_BYTES],
        hierarchy in 0_usize..3,
        at: proptest::sample::Index,
        bit in 0_u32..8,
    ) {
        let hierarchy = HIERARCHIES[hierarchy];
        let sealed = seal(both(), hierarchy, &place, &plain, &nonce).unwrap();
        prop_assert_eq!(sealed.len(), 2 + 3 + NONCE_BYTES + plain.len() + 16);
        prop_assert_eq!(&**open(both(), hierarchy, &place, &sealed).unwrap(), &plain[..]);
        let mut damaged = sealed.clone();
        damaged[at.index(sealed.len())] ^= 1 << bit;
        prop_assert!(open(both(), hierarchy, &place, &damaged).is_err());
        let at = at.index(sealed.len());
        prop_assert!(open(both(), hierarchy, &place, &sealed[..at]).is_err());
        let mut moved = place.clone();
        moved.push(0);
        prop_assert_eq!(open(both(), hierarchy, &moved, &sealed), Err(OpenError::Damaged));
    }
}
