//! What clients show of themselves, and what is named in requests.

use crate::pick::{Pick, words};
use base64::Engine as _;
use bailiwick_fuzz::identity::{
    Form, RESOURCE_BYTES_MAX, Rule, SCOPES_MAX, ValueKind, check_id, check_resource, connection_scope_object, connection_scope_of, decimal,
    domain_of, is_scope, keys_of_svids, scopes_of, shown,
};
use bailiwick_fuzz::tuple::ObjectRef;
use serde_json::{Value, json};

/// A client shows itself in one way, with the id and the secret that it sent.
#[test]
fn clients() {
    const WORDS: [&str; 14] = [
        "client_id=crm", "client_id=other", "client_secret=s", "client_assertion=a.b.c", "&",
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-spiffe", "client_assertion_type=x", "client_secret=", "&&", "%",
        "scope=a", "client_id=", "x=1",
    ];
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let (id, secret) = text.split_at(text.floor_char_boundary(text.len() / 2));
        // As the standard has it: both encoded. And as many send it: as they are.
        let encoded = |part: &str| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
        let none = Form::default();
        let (_, read_id, read_secret) = shown(Some(&basic(&format!("{}:{}", encoded(id), encoded(secret)))), &none).expect("a pair");
        assert_eq!((read_id.as_str(), read_secret.as_deref()), (id, Some(secret)));
        if !text.contains(['%', '+', ':']) {
            let (_, read_id, read_secret) = shown(Some(&basic(&format!("{id}:{secret}"))), &none).expect("a pair");
            assert_eq!((read_id.as_str(), read_secret.as_deref()), (id, Some(secret)));
        }
        let _ = shown(Some(&text), &none);
        for form in [text.as_ref(), words(input, &WORDS).as_str()] {
            let Ok(form) = Form::parse(form) else { continue };
            for header in [None, Some("Basic Y3JtOnM="), Some("Bearer x")] {
                let ways = [header.is_some(), form.get("client_secret").is_some(), form.get("client_assertion").is_some()];
                match shown(header, &form) {
                    Ok((way, id, secret)) => {
                        assert!(ways.iter().filter(|way| **way).count() <= 1);
                        assert_eq!(secret.is_some(), way == "basic" || way == "post");
                        let assertion = way == "assertion" || way == "svid";
                        assert!(form.get("client_id").is_none_or(|named| assertion || named == id));
                    }
                    Err(refusal) => assert!(refusal.rule.starts_with("client."), "{}", refusal.rule),
                }
            }
        }
    });
}

/// What may be a name stands in tuples, keys and URLs as it is.
#[test]
fn names() {
    const WORDS: [&str; 16] = ["a", "crm:read", " ", "\"", "\\", "%", "#", ":", "|", "é", "openid", "https://a.example/", "@", "\0", "..", "/"];
    bolero::check!().for_each(|input: &[u8]| {
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS)] {
            if check_id(&text).is_ok() {
                let whole = format!("user:{text}");
                assert!(text.len() <= 64 && ObjectRef::parse(&whole).is_ok_and(|object| object.id == text));
                assert_eq!(url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>(), text);
            }
            if is_scope(&text) {
                let object = connection_scope_object("crm", &text);
                let read = ObjectRef::parse(&object).expect("an object");
                assert_eq!(connection_scope_of(read.id), Some(("crm".to_owned(), text.clone())));
                assert_eq!(scopes_of(&text).expect("a scope"), [text.clone()]);
            }
            if let Some((connection, scope)) = connection_scope_of(&text) {
                assert_eq!(connection_scope_object(&connection, &scope), format!("connection_scope:{text}"));
            }
            if let Ok(scopes) = scopes_of(&text) {
                assert!(scopes.len() <= SCOPES_MAX && scopes.iter().all(|scope| is_scope(scope)));
                assert_eq!(scopes_of(&scopes.join(" ")).expect("the same"), scopes);
            }
            if check_resource(&text).is_ok() {
                let url = url::Url::parse(&text).expect("a URI");
                assert!(text.len() <= RESOURCE_BYTES_MAX && url.fragment().is_none() && url.username().is_empty());
            }
        }
    });
}

/// A SPIFFE ID is of the trust domain that it begins with, and does not climb out of it; of a bundle only those keys count
/// that say that they are for SVIDs.
#[test]
fn spiffe() {
    const WORDS: [&str; 16] =
        ["spiffe://", "example.org", "/", "agents", "sales", "..", ".", "%2e", "SPIFFE://", "@", ":", "?", "#", "é", "A", "_"];
    bolero::check!().for_each(|input: &[u8]| {
        for id in [String::from_utf8_lossy(input).into_owned(), words(input, &WORDS), format!("spiffe://example.org/{}", words(input, &WORDS))] {
            let Some(domain) = domain_of(&id) else { continue };
            let path = id.strip_prefix(domain).and_then(|path| path.strip_prefix('/')).expect("a path");
            assert!(domain.starts_with("spiffe://") && domain.len() > 9 && !domain[9..].contains('/') && id.len() <= 2_048);
            assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !id.contains(['%', '?', '#', '@']), "{id}");
        }
        let mut pick = Pick(input);
        let key = |pick: &mut Pick<'_>| json!({"kty": "EC", "use": pick.of(&["jwt-svid", "x509-svid", "sig", ""]), "kid": "a"});
        let keys: Vec<Value> = (0..pick.below(4)).map(|_| if pick.once_in(4) { pick.json(&["use"], &["jwt-svid"], 2) } else { key(&mut pick) }).collect();
        for bundle in [json!({ "keys": keys }), serde_json::from_slice(input).unwrap_or_default()] {
            let of_svids = |key: &&Value| key.get("use").and_then(Value::as_str) == Some("jwt-svid");
            let expected = bundle.get("keys").and_then(Value::as_array).into_iter().flatten().filter(of_svids).count();
            let found = keys_of_svids(&bundle);
            assert_eq!(found["keys"].as_array().expect("a set").len(), expected);
        }
    });
}

/// A decimal by somebody else's arithmetic: digits as they stand there, in millionths.
fn millionths(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fine = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !fine(whole) || !fine(fraction) || fraction.len() > 6 {
        return None;
    }
    format!("{whole}{fraction:0<6}").parse::<i128>().ok().map(|n| sign * n)
}

/// Amounts are exact, and a rule over them says what exact numbers say, or that it cannot.
#[test]
fn decimals() {
    const WORDS: [&str; 18] =
        ["0", "1", "9", "99", ".", "-", "000000", "9223372036854", "775807", "775808", " ", "e5", "+", ",", "5", "é", "12", "00"];
    let names = [("amount".to_owned(), ValueKind::Decimal), ("most".to_owned(), ValueKind::Decimal)];
    let rule = Rule::compile("amount > most", &names).expect("a rule");
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let (a, b) = input.split_at(input.len() / 2);
        let (made, other) = (words(a, &WORDS), words(b, &WORDS));
        for (amount, most) in [(text.as_ref(), "1"), (made.as_str(), other.as_str())] {
            let exact = |text: &str| millionths(text).filter(|n| n.unsigned_abs() <= i64::MAX.unsigned_abs().into());
            assert_eq!(decimal(&amount.into()).map(i128::from), exact(amount), "{amount}");
            let values = json!({"amount": amount, "most": most});
            match (rule.holds(values.as_object().expect("an object")), exact(amount).zip(exact(most))) {
                (Ok(holds), Some((amount, most))) => assert_eq!(holds, amount > most),
                (Err(_), None) => {}
                (said, exact) => panic!("{said:?} of {exact:?}"),
            }
        }
        if let Ok(expression) = std::str::from_utf8(input) {
            let _ = Rule::compile(expression, &names);
        }
        let made = words(input, &["amount", "most", " > ", " + ", "(", ")", "1", "'x'", " && ", "true", ".size()", "[", "]", "!", "amount < 5"]);
        if let Ok(rule) = Rule::compile(&made, &names) {
            let _ = rule.holds(json!({"amount": "1", "most": "2"}).as_object().expect("an object"));
        }
    });
}
