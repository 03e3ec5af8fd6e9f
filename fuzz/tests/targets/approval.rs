//! Approvals: what a client asks for, and what people are shown of it.

use crate::pick::{Loose, Pick, words};
use bailiwick_fuzz::identity::{Env, check_id, decimal};
use bailiwick_fuzz::modules::approval::{
    AccessWanted, DetailType, Who, access_detail, canonical, check, digest_of, encrypted, filled, hinted, in_words, leaves, things,
    visible,
};
use bailiwick_fuzz::tuple::Timestamp;
use serde_json::{Value, json};

const NAMES: [&str; 12] = ["type", "a", "b", "amount", "to", "name", "x/y", "x~y", "é", "items", "\u{202e}", "note"];
const TEXTS: [&str; 12] =
    ["a", "450000.00", "{/b}", "{{", "\u{202e}gnp", "a\u{200b}b", "\n", "\"", "", "0.0000001", "\u{e0041}", "payment"];

/// A value has one spelling, which is read as the value, with its members in the order of UTF-16.
#[test]
fn canonical_json() {
    const WORDS: [&str; 24] = [
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\ud83d\\ude00\"", "\"\\ufb33\"", "\"\\u20ac\"", "1", "-0.0", "1e21", "1e-7", "4.50",
        "9007199254740993", "9007199254740991", "1e400", "null", "true", "\"\\u0000\"", "\"\\/\"", "333333333.33333329", " ",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let made = Pick(input).json(&NAMES, &TEXTS, 5);
        let texts = [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)];
        for value in texts.iter().filter_map(|text| serde_json::from_str(text).ok()).chain([made]) {
            let Ok(text) = canonical(&value) else { continue };
            let again: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(canonical(&again).as_ref(), Ok(&text));
            assert_eq!(digest_of(&again), digest_of(&value));
            in_order(&again);
        }
    });
}

fn in_order(value: &Value) {
    match value {
        Value::Object(members) => {
            let names: Vec<Vec<u16>> = members.keys().map(|name| name.encode_utf16().collect()).collect();
            assert!(names.is_sorted(), "{value}");
            members.values().for_each(in_order);
        }
        Value::Array(items) => items.iter().for_each(in_order),
        _ => {}
    }
}

/// Whether nothing in a text hides, turns it, or begins a line.
fn is_plain(text: &str) -> bool {
    visible(text) == text && !text.chars().any(char::is_control)
}

/// Any text is a template or none; what it says of a value can be seen whole, and what a value says fills no further place.
#[test]
fn templates() {
    const WORDS: [&str; 16] =
        ["{/a}", "{/b}", "{", "}", "{{", "}}", "{/x~1y}", "{/items/0}", "pay ", "\u{202e}", "{a}", "{}", "{/", "é", "\n", "{/a{/b}}"];
    bolero::check!().for_each(|input: &[u8]| {
        let value = Value::from(Pick(input).object(&NAMES, &TEXTS, 3));
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            let Some((places, said)) = filled(&text, &value) else { continue };
            assert!(text.len() <= 256 && places.iter().all(|place| place.starts_with('/')));
            assert!(is_plain(&said), "{said:?}");
            // As many signs as the template has by itself, and those of the values once each.
            let of_values = places.iter().map(|place| value.pointer(place).map_or("–".to_owned(), in_words));
            let of_values: String = of_values.collect();
            let count = |text: &str| text.chars().filter(|c| !c.is_ascii_punctuation()).count();
            let between = text.replace("{{", "").replace("}}", "");
            let own: String = between.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
            assert_eq!(count(&said), count(&own) + count(&of_values), "{text} says {said}");
        }
    });
}

fn payment() -> DetailType {
    serde_json::from_value(json!({
        "name": "payment",
        "schema": {
            "type": "object", "additionalProperties": false, "required": ["type", "amount"],
            "properties": {
                "type": {"const": "payment"}, "amount": {"type": ["string", "integer"]}, "to": {"$ref": "#/$defs/who"},
                "items": {"type": "array", "items": {"$ref": "#/$defs/who"}}, "note": true, "x/y": {"type": "boolean"},
            },
            "$defs": {"who": {"type": "object", "additionalProperties": false, "properties": {"name": {"type": "string"}, "a": {}}}},
        },
        "title": "Pay {/amount} to {/to/name}",
        "fields": [{"label": "Note", "value": "{/note}"}],
        "rules": [
            {"when": "amount > most", "values": {"amount": {"kind": "decimal", "path": "/amount"},
                "most": {"kind": "decimal", "value": "1000.50"}}, "who": ["manager"]},
            {"who": ["subject"]},
        ],
    }))
    .expect("a type")
}

/// What of a detail is shown: each text and number of it stands on the page, or the page is not made.
fn is_shown_whole(of: &DetailType, detail: &Value) {
    let shown = of.render(detail).expect("its templates are good");
    let lines = shown.lines.iter().flat_map(|line| [line.label.as_str(), line.value.as_str()]);
    let all: Vec<&str> = lines.chain([shown.title.as_str()]).collect();
    assert!(all.iter().all(|text| is_plain(text)), "{all:?}");
    for (place, leaf) in leaves(detail).into_iter().filter(|(place, _)| place != "/type") {
        let said = [in_words(leaf), visible(&canonical(leaf).expect("it is valid"))];
        assert!(said.iter().any(|said| all.iter().any(|text| text.contains(said))), "{place} of {detail} in {all:?}");
    }
}

/// Any detail is of the type or not; one that is has no member that the type does not know, is shown whole, and goes to
/// whom exact numbers say.
#[test]
fn details() {
    let of = payment();
    check(&of).expect("a good type");
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut made = Value::from(pick.object(&NAMES, &TEXTS, 4));
        made["type"] = pick.of(&["payment", "payment", "other"]).into();
        made["amount"] = match pick.below(4) {
            0 => i64::from(pick.byte()).into(),
            1 => (i64::from(pick.byte()) * 100).into(),
            2 => format!("{}.{}", u16::from(pick.byte()) * 8, pick.byte()).into(),
            _ => pick.json(&NAMES, &TEXTS, 1),
        };
        if pick.once_in(2) {
            made["to"] = json!({"name": pick.text(&TEXTS, 3)});
            made["items"] = json!([{"name": pick.text(&TEXTS, 3)}, {"a": pick.json(&NAMES, &TEXTS, 2)}]);
        }
        if pick.once_in(2) {
            let known = ["type", "amount", "to", "items", "note", "x/y"];
            made.as_object_mut().unwrap().retain(|name, _| known.contains(&name.as_str()));
            made["x/y"] = true.into();
        }
        for detail in [made, serde_json::from_slice(input).unwrap_or_default()] {
            if let Err(refusal) = of.validate(&detail) {
                assert!(["details.form", "details.schema"].contains(&refusal.rule) && is_plain(&refusal.description));
                continue;
            }
            let members = detail.as_object().expect("an object");
            assert!(members.keys().all(|name| of.schema["properties"].get(name).is_some()), "{detail}");
            is_shown_whole(&of, &detail);
            match (of.who(&detail), decimal(&detail["amount"])) {
                (Ok(who), Some(amount)) => {
                    let expected = if amount > 1_000_500_000 { Who::Manager } else { Who::Subject };
                    assert_eq!(who, [expected], "{detail}");
                }
                (Err(refusal), None) => assert_eq!(refusal.rule, "details.rule"),
                (who, amount) => panic!("{who:?} of {amount:?}"),
            }
        }
    });
}

/// A type that may be kept shows all of what is of it, whatever its schema and its templates are.
#[test]
fn types_of_details() {
    const WORDS: [&str; 14] = ["{/a}", "{/b}", "{", "}", "x", "\u{202e}", "{/to}", " ", "{/items}", "é", "{/x~1y}", "{/amount}", "\n", "{/note}"];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let part = |pick: &mut Pick<'_>| match pick.below(8) {
            0 => json!(true),
            1 => json!({"type": "string"}),
            2 => json!({"$ref": pick.of(&["#/$defs/a", "#/$defs/b", "#", "https://a.example/s", "#/$defs/a/b"])}),
            3 => json!({"type": "array", "items": {"$ref": "#/$defs/a"}}),
            4 => json!({"pattern": pick.of(&["^a+$", "(", "(a+)+$"])}),
            5 => json!({"allOf": [{"$ref": "#/$defs/b"}, true]}),
            6 => json!({"$id": "x"}),
            _ => pick.json(&["type", "items", "properties", "$ref", "enum"], &["string", "#/$defs/a", "object"], 2),
        };
        let schema = json!({
            "type": "object", "additionalProperties": pick.once_in(8),
            "properties": {"type": {"const": "t"}, "a": part(&mut pick), "b": part(&mut pick), "note": true},
            "$defs": {"a": part(&mut pick), "b": part(&mut pick)},
        });
        let made = json!({
            "name": "t", "schema": schema, "title": pick.text(&WORDS, 4),
            "fields": [{"label": pick.of(&["Label", "", "a\u{202e}b"]), "value": pick.text(&WORDS, 3)}],
        });
        let text = words(input, &[
            "{", "}", "\"name\":\"t\"", ",", "\"schema\":", "\"title\":\"x\"", "\"type\":\"object\"", "\"additionalProperties\":false",
            "\"properties\":", "\"type\":{}", "[", "]", "\"rules\":[]", "\"x\":1",
        ]);
        for value in [made, serde_json::from_str(&text).unwrap_or_default(), serde_json::from_slice(input).unwrap_or_default()] {
            let Ok(of) = serde_json::from_value::<DetailType>(value) else { continue };
            if check(&of).is_err() {
                continue;
            }
            let mut detail = Value::from(pick.object(&["a", "b", "note"], &TEXTS, 3));
            detail["type"] = "t".into();
            if of.validate(&detail).is_ok() {
                is_shown_whole(&of, &detail);
            }
        }
    });
}

fn none(_: &mut [u8]) {}

/// An access request is for the person of the token, asks for 1 to 16 things, and each becomes a detail that says all of it.
#[test]
fn access_requests() {
    const WORDS: [&str; 27] = [
        "\"requested_access\":{}", "\"client\":{\"actor\":{\"id\":\"b\"}}", "\"context\":{}",
        "{", "}", ",", "[", "]", "\"resource\":", "\"action\":", "\"type\":\"a\"", "\"id\":\"b\"", "\"name\":\"c\"", "\"properties\":",
        "\"items\":", "\"subject\":", "\"type\":\"user\"", "\"id\":\"sarah\"", "\"denial\":", "\"expires_at\":\"2099-01-01T00:00:00Z\"",
        "\"message\":\"m\"", "\"callback\":{}", "{\"type\":\"a\",\"id\":\"b\"}", "{\"name\":\"c\"}", "\"x\":1", "null", "\"\"",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let env = Env::new(Timestamp(1_700_000_000_000_000_000), &none);
        let mut pick = Pick(input);
        let entity = |pick: &mut Pick<'_>| json!({"type": pick.of(&TEXTS), "id": pick.of(&TEXTS), "properties": pick.object(&NAMES, &TEXTS, 3)});
        let action = |pick: &mut Pick<'_>| json!({"name": pick.of(&TEXTS), "properties": pick.object(&NAMES, &TEXTS, 3)});
        let mut made = json!({"subject": {"type": pick.of(&["user", "app"]), "id": pick.of(&["sarah", "bob"])}});
        if pick.once_in(2) {
            made["resource"] = entity(&mut pick);
            made["action"] = action(&mut pick);
        }
        let items = (0..pick.below(20)).map(|_| json!({"resource": entity(&mut pick), "action": action(&mut pick)}));
        let items: Vec<Value> = items.collect();
        if !items.is_empty() && pick.once_in(2) {
            made["items"] = items.into();
        }
        if pick.once_in(4) {
            made["denial"] = json!({"expires_at": pick.of(&["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "soon"])});
        }
        let texts = [made.to_string(), String::from_utf8_lossy(input).into_owned(), format!("{{{}}}", words(input, &WORDS))];
        for text in texts {
            let Ok(wanted) = serde_json::from_str::<AccessWanted>(&text) else { continue };
            let Ok(things) = things(&wanted, "sarah", &env) else { continue };
            assert!((1..=16).contains(&things.len()) && wanted.callback.is_none(), "{text}");
            assert!(wanted.requested_access.is_none_or(|wanted| wanted.is_empty()), "{text}");
            assert!(wanted.subject.is_none_or(|subject| (subject.kind, subject.id) == ("user".into(), "sarah".into())));
            let until = wanted.denial.and_then(|denial| denial.expires_at);
            let moment = |text: String| chrono::DateTime::parse_from_rfc3339(&text).expect("a time").timestamp();
            assert!(until.is_none_or(|until| moment(until) > 1_700_000_000), "{text}");
            for item in things {
                let detail = access_detail(&item);
                let at = |place: &str| detail.pointer(place).and_then(Value::as_str);
                assert_eq!(at("/type"), Some("access_request"));
                assert_eq!(at("/resource/type").zip(at("/resource/id")), Some((&*item.resource.kind, &*item.resource.id)));
                assert_eq!(at("/action/name"), Some(&*item.action.name));
                let said = |of: &str| detail.pointer(of).and_then(Value::as_object).cloned();
                assert_eq!(said("/resource/properties"), item.resource.properties);
                assert_eq!(said("/action/properties"), item.action.properties);
            }
        }
    });
}

/// A hint names one person, whoever reads it, or nobody.
#[test]
fn login_hints() {
    const ISSUER: &str = "https://id.example/acme";
    const WORDS: [&str; 20] = [
        "{", "}", ",", "\"format\":\"iss_sub\"", "\"format\":\"opaque\"", "\"format\":\"email\"", "\"iss\":\"https://id.example/acme/\"",
        "\"iss\":\"https://other.example\"", "\"sub\":\"sarah\"", "\"sub\":\"bob\"", "\"id\":\"sarah\"", "\"id\":\"user:sarah\"",
        "\"email\":\"s@example.com\"", "\"email\":\"b@example.com\"", "\"format\":\"phone\"", "\"x\":1", " ", "null", "sarah@example.com",
        "\"iss\":\"https://id.example/acme\"",
    ];
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let members: Vec<&str> = (0..pick.below(6)).map(|_| pick.of(&WORDS[3..])).collect();
        for hint in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS), format!("{{{}}}", members.join(","))] {
            let named = match hinted(&hint, ISSUER) {
                Ok(named) => named,
                Err(refusal) => {
                    assert!(refusal.rule == "hint.form" && hint.trim_start().starts_with('{'));
                    continue;
                }
            };
            if !hint.trim_start().starts_with('{') {
                assert_eq!(named, ("login", hint));
                continue;
            }
            assert!(named.0 != "id" || check_id(&named.1).is_ok(), "{hint}");
            let loose: Loose = serde_json::from_str(&hint).expect("it was read");
            let read = |name: &str, last: bool| loose.at(&[name], last, false).and_then(|v| v.value().as_str().map(str::to_owned));
            for last in [false, true] {
                let text = |name: &str| read(name, last);
                let id = |id: Option<String>| id.filter(|id| check_id(id).is_ok()).map_or(("nobody", String::new()), |id| ("id", id));
                let person = match text("format").as_deref() {
                    Some("email") => ("login", text("email").expect("an address")),
                    Some("opaque") => id(text("id")),
                    _ if text("iss").is_some_and(|iss| iss.trim_end_matches('/') == ISSUER) => id(text("sub")),
                    _ => ("nobody", String::new()),
                };
                assert_eq!(person, named, "{hint}");
            }
            let all = ["email", "id", "sub"].iter().filter(|name| read(name, false).is_some()).count();
            assert_eq!(all, 1, "{hint} says it in two ways");
        }
    });
}

/// What browsers send as keys is a key that can be encrypted for, or none; a message has the size that push services take.
#[test]
fn keys_of_browsers() {
    let (key, auth) = (bailiwick_fuzz::identity::decode(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    ).unwrap(), [7; 16]);
    assert!(encrypted(&key, &auth, b"").is_some());
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let (at, flip, n) = (pick.below(key.len()), pick.byte(), pick.below(20));
        let mut damaged = key.clone();
        damaged[at] ^= flip;
        damaged.truncate(damaged.len() - n / 19);
        for (key, auth) in [(damaged.as_slice(), &auth[..]), (pick.0, &auth[..]), (key.as_slice(), pick.0)] {
            if let Some(message) = encrypted(key, auth, input) {
                assert!(key.len() == 65 && auth.len() == 16 && message.len() == 16 + 5 + 65 + input.len() + 1 + 16);
                assert!(message.len() <= 4_096 && (input.len() < 24 || !message.windows(input.len()).any(|part| part == input)));
            }
        }
    });
}
