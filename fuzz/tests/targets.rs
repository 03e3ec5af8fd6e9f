//! Any input is answered, never with a panic; and what is read, printed and read again is the same.

use bailiwick_fuzz::keys::{Fields, Key, Table};
use bailiwick_fuzz::model::Model;
use bailiwick_fuzz::tuple::{ObjectRef, SubjectRef, TupleKeyRef};

/// Words of the language, so that random input gets past the first line.
const WORDS: [&str; 32] = [
    "model\n",
    "  schema 1.1\n",
    "  schema 1.2\n",
    "type ",
    "relations\n",
    "define ",
    ": ",
    "[",
    "]",
    "user",
    "group",
    "#member",
    ":*",
    " with ",
    " or ",
    " and ",
    " but not ",
    " from ",
    "(",
    ")",
    "condition ",
    "x: int",
    "x: list<string>",
    "{",
    "}",
    "x < 1",
    "\n",
    ", ",
    "# note\n",
    "module m\n",
    "extend type ",
    "é",
];

fn words(input: &[u8]) -> String {
    let mut text = String::from("model\n  schema 1.1\n");
    for byte in input {
        text.push_str(WORDS[usize::from(*byte) % WORDS.len()]);
    }
    text
}

fn round_trip(text: &str) {
    if let Ok(model) = Model::parse_dsl(text) {
        let _ = model.validate();
        let json = model.to_json();
        assert_eq!(Model::from_json(&json).expect("our own JSON").to_json(), json);
        if model.validate().is_ok() {
            let printed = model.to_dsl();
            let again = Model::parse_dsl(&printed).unwrap_or_else(|e| panic!("{e:?}\n{printed}"));
            assert_eq!(again.to_dsl(), printed);
        }
    }
}

#[test]
fn model_text() {
    bolero::check!().for_each(|input: &[u8]| {
        round_trip(&String::from_utf8_lossy(input));
        round_trip(&words(input));
    });
}

#[test]
fn model_json() {
    bolero::check!().for_each(|input: &[u8]| {
        if let Ok(value) = serde_json::from_slice(input)
            && let Ok(model) = Model::from_json(&value)
        {
            let _ = model.validate();
            let _ = model.to_dsl();
        }
    });
}

#[test]
fn tuple_text() {
    bolero::check!().for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        if let Ok(object) = ObjectRef::parse(&text) {
            assert_eq!(object.to_string(), text);
        }
        if let Ok(subject) = SubjectRef::parse(&text) {
            assert_eq!(subject.to_string(), text);
        }
        let _ = TupleKeyRef::parse(&text, &text, &text);
    });
}

#[test]
fn key_codec() {
    bolero::check!().with_type::<(u32, u64, u64)>().for_each(|&(store, a, b)| {
        let key = |n| Key::of(Table::Log).u32(store).u64(n);
        assert_eq!(key(a).bytes().cmp(key(b).bytes()), a.cmp(&b));
        assert!(key(a).end().as_slice() > key(a).bytes());
        let key = key(a);
        let mut fields = Fields(key.bytes().split_first().unwrap().1);
        assert_eq!((fields.u32(), fields.u64(), fields.u8()), (Some(store), Some(a), None));
    });
}
