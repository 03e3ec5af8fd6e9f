//! Input with a form, made of bytes: each byte is a choice, and when there are no more, the first choice is made.

use serde_json::{Map, Value};

/// See the file's head.
pub struct Pick<'a>(pub &'a [u8]);

impl<'a> Pick<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A number below another.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// True once in `n` times; not when there are no more bytes.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// One of some.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Some words, one behind the other.
    pub fn text(&mut self, words: &[&str], max: usize) -> String {
        (0..self.below(max + 1)).map(|_| self.of(words)).collect()
    }

    /// A value of JSON with such names and texts, not very deep.
    pub fn json(&mut self, names: &[&str], texts: &[&str], depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => self.once_in(2).into(),
            2 => (i64::from(self.byte()) - 100).into(),
            3 => (f64::from(self.byte()) / 8.0).into(),
            4 => u64::MAX.into(),
            5 => self.text(texts, 2).into(),
            6 => (0..self.below(4)).map(|_| self.json(names, texts, depth - 1)).collect(),
            _ => self.object(names, texts, depth).into(),
        }
    }

    /// An object of such.
    pub fn object(&mut self, names: &[&str], texts: &[&str], depth: usize) -> Map<String, Value> {
        let count = self.below(5);
        let mut members = Map::new();
        for _ in 0..count {
            let name = self.of(names).to_owned();
            members.insert(name, self.json(names, texts, depth.saturating_sub(1)));
        }
        members
    }
}

/// One word for each byte.
pub fn words(input: &[u8], all: &[&str]) -> String {
    input.iter().map(|byte| all[usize::from(*byte) % all.len()]).collect()
}

/// An object as a reader sees it who keeps every member, in the order in which they came.
#[derive(Debug, Clone)]
pub enum Loose {
    /// Of an object.
    Members(Vec<(String, Loose)>),
    /// Of an array.
    Items(Vec<Loose>),
    /// Anything else.
    Plain(Value),
}

impl<'de> serde::Deserialize<'de> for Loose {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Loose, D::Error> {
        struct Seen;
        impl<'de> serde::de::Visitor<'de> for Seen {
            type Value = Loose;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Plain(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
                Ok(Loose::Plain(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose::Plain(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
                Ok(Loose::Plain(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose::Plain(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Loose, E> {
                Ok(Loose::Plain(value.into()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Loose::Items(items))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Loose::Members(members))
            }
        }
        input.deserialize_any(Seen)
    }
}

impl Loose {
    /// What a lax reader takes for the value at a path: of members of one name the first or the last, and small and large
    /// letters alike (with `ſ` for `s` and the sign of kelvin for `k`, as Go does) or not.
    pub fn at(&self, path: &[&str], last: bool, any_case: bool) -> Option<&Loose> {
        let Some((name, path)) = path.split_first() else { return Some(self) };
        let Loose::Members(members) = self else { return None };
        let is = |known: &str| if any_case { folded(known) == folded(name) } else { known == *name };
        let mut found = members.iter().filter(|(known, _)| is(known)).map(|(_, value)| value);
        if last { found.next_back() } else { found.next() }?.at(path, last, any_case)
    }

    /// As a value, with the last of members of one name.
    pub fn value(&self) -> Value {
        match self {
            Loose::Members(members) => members.iter().map(|(name, value)| (name.clone(), value.value())).collect(),
            Loose::Items(items) => items.iter().map(Loose::value).collect(),
            Loose::Plain(value) => value.clone(),
        }
    }

    /// All that lax readers may take for the value at a path.
    pub fn readings(&self, path: &[&str]) -> Vec<Option<Value>> {
        let ways = [(false, false), (true, false), (false, true), (true, true)];
        ways.iter().map(|(last, any_case)| self.at(path, *last, *any_case).map(Loose::value)).collect()
    }
}

/// A name as Go's reader of JSON compares it.
fn folded(name: &str) -> String {
    let plain = |c| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c,
    };
    name.chars().map(plain).flat_map(char::to_lowercase).collect()
}
