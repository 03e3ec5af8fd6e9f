//! What the engine is given besides models and tuples: contexts, payloads and filters, tokens of pages, addresses.

use crate::pick::{Pick, words};
use bailiwick_fuzz::model::{CompiledCondition, ConditionDefinition, Origin, ParameterType};
use bailiwick_fuzz::tuple::{Revision, as_struct};
use bailiwick_fuzz::vector::{Chunk, Filter, PAYLOAD_BYTES_MAX, Payload, Payloads};
use bailiwick_fuzz::wire::{Allowed, Tokens, decode_page, encode_page, judge};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn condition(expression: &str, parameters: &[(&str, ParameterType)]) -> Option<CompiledCondition> {
    let parameters = parameters.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
    let (name, expression) = ("fuzz".to_owned(), expression.to_owned());
    CompiledCondition::compile(&ConditionDefinition { name, expression, parameters, origin: Origin::default() }).ok()
}

/// A context is of its parameters' types or it is an error, never an answer; numbers are compared as they are; what a tuple
/// stores wins; and a context is brought into one form once.
#[test]
fn contexts() {
    const NAMES: [&str; 8] = ["n", "u", "d", "t", "ip", "l", "m", "x"];
    const TEXTS: [&str; 12] =
        ["1", "-5", "1h30m", "10.0.0.1", "::ffff:10.0.0.1", "2026-01-01T00:00:00Z", "a", "1e3", "9.3e18", "", "0x1", "1.0"];
    let whole = condition("n < 10", &[("n", ParameterType::Int)]).expect("a condition");
    let address = condition("ip.in_cidr('10.0.0.0/8')", &[("ip", ParameterType::IpAddress)]).expect("a condition");
    let text = || Box::new(ParameterType::String);
    let all = [
        ("n", ParameterType::Int), ("u", ParameterType::Uint), ("d", ParameterType::Duration), ("t", ParameterType::Timestamp),
        ("ip", ParameterType::IpAddress), ("l", ParameterType::List(text())), ("m", ParameterType::Map(text())), ("x", ParameterType::Any),
    ];
    let any = condition("n > 1 || u < uint(5) || d < duration('1h') || t > timestamp('2026-01-01T00:00:00Z') || 'a' in l || 'a' in m", &all);
    let any = any.expect("a condition");
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let (stored, asked) = (pick.object(&NAMES, &TEXTS, 3), pick.object(&NAMES, &TEXTS, 3));
        let read = serde_json::from_slice::<Value>(input).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
        for (stored, asked) in [(&stored, &asked), (&read, &asked)] {
            let _ = any.evaluate(stored, Some(asked), 1_000);
            let _ = any.check_stored_context(stored);
            let seen = stored.get("n").or(asked.get("n"));
            match (whole.evaluate(stored, Some(asked), 100), seen) {
                (Ok(met), Some(Value::Number(n))) => assert_eq!(met, n.as_f64().expect("a number") < 10.0, "{n}"),
                (Ok(met), Some(Value::String(n))) => assert_eq!(met, n.parse::<f64>().expect("a number") < 10.0, "{n}"),
                (Ok(met), other) => panic!("{met} of {other:?}"),
                (Err(_), seen) => assert!(seen.and_then(Value::as_i64).is_none(), "{seen:?}"),
            }
            let seen = stored.get("ip").or(asked.get("ip")).and_then(Value::as_str);
            let v4 = |text: &str| match text.parse::<IpAddr>().ok()?.to_canonical() {
                IpAddr::V4(address) => Some(address.octets()[0] == 10),
                IpAddr::V6(_) => Some(false),
            };
            assert_eq!(address.evaluate(stored, Some(asked), 100).ok(), seen.and_then(v4));
            let mut once = stored.clone();
            as_struct(&mut once);
            let mut twice = once.clone();
            as_struct(&mut twice);
            assert_eq!(twice, once);
        }
    });
}

/// Any expression is a condition or none, and any condition answers within its cost.
#[test]
fn expressions() {
    const WORDS: [&str; 40] = [
        "n", "u", "l", "m", "x", "ip", "d", " < ", " == ", " + ", " && ", " || ", "!", "(", ")", "[", "]", "{", "}", "1", "1u", "1.5", "'a'",
        "\"b\"", ".size()", ".all(i, ", ".exists(i, ", ".map(i, ", "i", " in ", " ? ", " : ", "timestamp(", "duration(", "true", "null", ".a",
        ".in_cidr('10.0.0.0/8')", ", ", "-",
    ];
    let text = || Box::new(ParameterType::String);
    let parameters = [
        ("n", ParameterType::Int), ("u", ParameterType::Uint), ("l", ParameterType::List(text())), ("m", ParameterType::Map(text())),
        ("x", ParameterType::Any), ("ip", ParameterType::IpAddress), ("d", ParameterType::Duration),
    ];
    let context = json!({"n": 1, "u": 2, "l": ["a", "b"], "m": {"a": "b"}, "x": {"a": [1, {"a": 2}]}, "ip": "10.0.0.1", "d": "1h"});
    let context = context.as_object().expect("an object");
    bolero::check!().for_each(|input: &[u8]| {
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            let Some(condition) = condition(&text, &parameters) else { continue };
            let met = condition.evaluate(context, None, 1_000);
            assert_eq!(met, condition.evaluate(context, None, 1_000), "{text}");
            if let (Ok(_), Ok(cost)) = (&met, condition.cost(context, None)) {
                assert!(cost <= 1_000, "{text}: {cost}");
                assert!(condition.evaluate(context, None, cost).is_ok(), "{text}: {cost}");
            }
        }
    });
}

/// A payload is within its bounds and is read as it is kept; a filter takes what its opposite leaves.
#[test]
fn payloads_and_filters() {
    const NAMES: [&str; 8] = ["a", "b", "a.b", "", "and", "field", "lang", "é"];
    const TEXTS: [&str; 5] = ["a", "en", "", "\u{0}", "é"];
    const WORDS: [&str; 22] = [
        "{", "}", "[", "]", ",", "\"and\":[", "\"or\":[", "\"not\":{", "\"field\":\"a\"", "\"field\":\"a.b\"", "\"equal\":1", "\"equal\":\"a\"",
        "\"any_of\":[1,\"en\"]", "\"range\":{\"gte\":1,\"lt\":5}", "\"range\":{\"gt\":5,\"lt\":1}", "\"exists\":true", "\"exists\":1", "1e400",
        "\"x\":1", "null", "\"field\":7", "\"field\":\"lang\"",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut payloads = Payloads::default();
        let made = Value::from(pick.object(&NAMES, &TEXTS, 4)).to_string();
        for (at, text) in [made, String::from_utf8_lossy(input).into_owned()].iter().enumerate() {
            let Ok(payload) = Payload::parse(text) else { continue };
            assert!(payload.json().len() <= PAYLOAD_BYTES_MAX);
            assert_eq!(Payload::parse(payload.json()).as_ref(), Ok(&payload));
            payloads.set(Chunk(u32::try_from(at).unwrap()), Some(payload));
        }
        let operator = pick.of(&WORDS[10..18]);
        let made = format!("{{\"field\":\"{}\",{operator}}}", pick.of(&NAMES));
        for text in [made, String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            let Ok(filter) = Filter::parse(&text) else { continue };
            let opposite = payloads.matching(&Filter::Not(Box::new(filter.clone())));
            let found = payloads.matching(&filter);
            for chunk in [Chunk(0), Chunk(1), Chunk(2)] {
                assert_ne!(found.admits(chunk), opposite.admits(chunk), "{text}");
            }
        }
    });
}

/// A token is one that was given out, byte for byte, or it is none.
#[test]
fn tokens_of_pages() {
    let tokens = Tokens::new(7);
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        if let Ok(revision) = tokens.decode(&text) {
            assert_eq!(tokens.encode(revision), text.trim_end_matches('='));
        }
        if let Some(page) = decode_page(&text) {
            assert_eq!(encode_page(&page), text.trim_end_matches('='));
        }
        assert_eq!(decode_page(&encode_page(&text)).as_deref(), Some(text.as_ref()));
        let n = input.iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let token = tokens.encode(Revision(n));
        assert_eq!(tokens.decode(&token), Ok(Revision(n)));
        let mut damaged = token.clone().into_bytes();
        let at = input.len() % damaged.len();
        damaged[at] ^= input.first().copied().unwrap_or(0) & 0x7f;
        if let Ok(Ok(other)) = std::str::from_utf8(&damaged).map(|text| tokens.decode(text)) {
            assert!(other != Revision(n) || damaged == token.as_bytes());
        }
    });
}

/// IANA's registries of special-purpose addresses, and the metadata services of clouds that stand elsewhere: what may not be
/// connected to, by somebody else's table.
const SPECIAL: [&str; 26] = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "168.63.129.16/32", "::/127", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fc00::/7", "fe80::/10",
    "ff00::/8",
];

/// An address that is special is judged so, in whatever form it comes; and the list of those allowed says what it says.
#[test]
fn addresses() {
    const WORDS: [&str; 20] = [
        "10.", "0", ".1", "/8", "/33", "*.", "corp", ".example", "localhost", "::1", "::ffff:", "fe80::", "%eth0", "-", "_", "é", "..", ":", "127.0.0.1",
        "A",
    ];
    let special: Vec<ipnet::IpNet> = SPECIAL.iter().map(|net| net.parse().expect("a network")).collect();
    bolero::check!().for_each(|input: &[u8]| {
        let n = input.iter().take(16).fold(0_u128, |n, byte| n << 8 | u128::from(*byte));
        let v4 = Ipv4Addr::from(u32::try_from(n & 0xffff_ffff).unwrap());
        let (near, far) = (special[input.len() % special.len()].network(), n & 0xffff);
        let near = match near {
            IpAddr::V4(net) => IpAddr::V4(Ipv4Addr::from(u32::from(net) | u32::try_from(far & 0xff).unwrap())),
            IpAddr::V6(net) => IpAddr::V6(Ipv6Addr::from(u128::from(net) | far)),
        };
        for address in [IpAddr::V4(v4), IpAddr::V6(Ipv6Addr::from(n)), near] {
            if special.iter().any(|net| net.contains(&address)) {
                assert!(judge(address).is_some(), "{address}");
            }
        }
        let own = judge(IpAddr::V4(v4)).is_some();
        let low = u128::from(u32::from(v4));
        for prefix in [0xffff_u128 << 32, 0x64_ff9b_u128 << 96, 0x2002_u128 << 112] {
            let within = if prefix >> 112 == 0x2002 { prefix | low << 80 } else { prefix | low };
            assert!(!own || judge(IpAddr::V6(Ipv6Addr::from(within))).is_some(), "{v4} in {prefix:x}");
        }
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            if let Ok(allowed) = text.parse::<Allowed>() {
                assert_eq!(allowed.to_string().parse::<Allowed>().as_ref(), Ok(&allowed), "{text}");
            }
        }
    });
}
