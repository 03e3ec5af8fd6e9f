//! Filters (RFC 7644 3.4.2.2), and the paths of PATCH, which may have one (3.5.2).
//!
//! Names are looked up while a filter is read, so that a wrong one is an error and not an empty list. What it reads it can
//! print, and reading that gives the same filter again: the property test rests on it.

use super::path::Path;
use super::schema::{Attribute, Kind, Type};
use super::{Answer, Fault};
use chrono::DateTime;
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;

/// Longest filter or path.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// Most brackets within brackets.
pub const FILTER_DEPTH_MAX: usize = 32;

macro_rules! operators {
    ($($op:ident = $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Op { $($op,)+ }

        impl Op {
            #[cfg(test)]
            pub(super) const ALL: &'static [Op] = &[$(Op::$op,)+];

            fn read(text: &str) -> Option<Op> {
                $(if text.eq_ignore_ascii_case($text) { return Some(Op::$op); })+
                None
            }

            fn text(self) -> &'static str {
                match self { $(Op::$op => $text,)+ }
            }
        }
    };
}

operators! {
    Eq = "eq",
    Ne = "ne",
    Co = "co",
    Sw = "sw",
    Ew = "ew",
    Gt = "gt",
    Ge = "ge",
    Lt = "lt",
    Le = "le",
}

/// See the file's head.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(pub(super) Node);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Present(Path),
    Compare(Path, Op, Value),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    /// A value of the attribute for which all of it holds.
    Within(Path, Box<Node>),
}

/// What a path of PATCH names: an attribute, some of its values, and something within those.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) path: Path,
    pub(super) filter: Option<Filter>,
}

/// Whose attributes are named.
#[derive(Clone, Copy)]
enum Scope {
    Resource(Kind),
    Value(&'static Attribute),
}

impl Scope {
    fn find(self, name: &str) -> Option<Path> {
        match self {
            Scope::Resource(kind) => Path::find(kind, name),
            Scope::Value(attribute) => Path::inside(attribute, name),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The keyword of what goes wrong.
    keyword: &'static str,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, keyword: &'static str) -> Answer<Reader<'a>> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(Fault::bad(keyword, format!("it is longer than {FILTER_BYTES_MAX} bytes")));
        }
        Ok(Reader { text, at: 0, keyword })
    }

    fn fault<T>(&self, what: impl fmt::Display) -> Answer<T> {
        Err(Fault::bad(self.keyword, format!("at byte {}: {what}", self.at)))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn takes(&mut self, sign: char) -> bool {
        let there = self.rest().starts_with(sign);
        self.at += if there { sign.len_utf8() } else { 0 };
        there
    }

    fn word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find([' ', '(', ')', '[', ']', '"']).unwrap_or(rest.len());
        rest.split_at_checked(end).map_or(rest, |(word, _)| word)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let there = self.word().eq_ignore_ascii_case(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn path(&mut self, scope: Scope) -> Answer<Path> {
        let word = self.word();
        let Some(path) = scope.find(word) else {
            return self.fault(format!("there is no attribute `{word}`; `/Schemas` lists those there are"));
        };
        self.at += word.len();
        Ok(path)
    }

    fn either(&mut self, scope: Scope, depth: usize) -> Answer<Node> {
        let mut left = self.both(scope, depth)?;
        loop {
            self.blanks();
            if !self.takes_word("or") {
                return Ok(left);
            }
            left = Node::Or(Box::new(left), Box::new(self.both(scope, depth)?));
        }
    }

    fn both(&mut self, scope: Scope, depth: usize) -> Answer<Node> {
        let mut left = self.term(scope, depth)?;
        loop {
            self.blanks();
            if !self.takes_word("and") {
                return Ok(left);
            }
            left = Node::And(Box::new(left), Box::new(self.term(scope, depth)?));
        }
    }

    /// What stands between brackets, behind the first.
    fn bracketed(&mut self, scope: Scope, depth: usize, end: char) -> Answer<Node> {
        if depth >= FILTER_DEPTH_MAX {
            return self.fault(format!("there are more than {FILTER_DEPTH_MAX} brackets within brackets"));
        }
        let node = self.either(scope, depth + 1)?;
        self.blanks();
        if self.takes(end) { Ok(node) } else { self.fault(format!("`{end}` is missing")) }
    }

    fn term(&mut self, scope: Scope, depth: usize) -> Answer<Node> {
        self.blanks();
        if self.takes('(') {
            return self.bracketed(scope, depth, ')');
        }
        if self.takes_word("not") {
            self.blanks();
            if !self.takes('(') {
                return self.fault("`not` is followed by brackets");
            }
            return Ok(Node::Not(Box::new(self.bracketed(scope, depth, ')')?)));
        }
        let path = self.path(scope)?;
        if self.takes('[') {
            let Scope::Resource(_) = scope else { return self.fault("brackets `[` stand in no others") };
            return Ok(Node::Within(path, Box::new(self.values(&path, depth)?)));
        }
        self.blanks();
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            self.at += word.len();
            return Ok(Node::Present(path));
        }
        let Some(op) = Op::read(word) else {
            return self.fault(format!("`{word}` is no operator; write pr, eq, ne, co, sw, ew, gt, ge, lt or le"));
        };
        self.at += word.len();
        self.blanks();
        let value = self.value()?;
        let Some(path) = path.compared() else { return self.fault("this has no value of its own to compare") };
        match path.last().map(|last| fits(last, op, &value)) {
            Some(Ok(())) => Ok(Node::Compare(path, op, value)),
            Some(Err(why)) => self.fault(why),
            None => self.fault("this names no attribute"),
        }
    }

    /// What stands in the brackets of a path.
    fn values(&mut self, path: &Path, depth: usize) -> Answer<Node> {
        match (path.attribute, path.inner) {
            (Some(attribute), None) if attribute.kind == Type::Complex => {
                self.bracketed(Scope::Value(attribute), depth, ']')
            }
            _ => self.fault("brackets `[` stand behind attributes that have others within"),
        }
    }

    /// A JSON value that is no object and no array.
    fn value(&mut self) -> Answer<Value> {
        let rest = self.rest();
        let end = if rest.starts_with('"') { string_end(rest) } else { Some(self.word().len()) };
        let text = end.and_then(|end| rest.get(..end)).unwrap_or_default();
        let value = serde_json::from_str(text).ok();
        match value.filter(|value| matches!(value, Value::String(_) | Value::Bool(_) | Value::Null)) {
            Some(value) => {
                self.at += text.len();
                Ok(value)
            }
            None => self.fault("write a text in quotes, true, false or null"),
        }
    }

    fn end(&mut self) -> Answer<()> {
        self.blanks();
        if self.rest().is_empty() { Ok(()) } else { self.fault("this does not belong here") }
    }
}

/// Where a JSON string ends, behind its last quote.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether an attribute can be compared so.
fn fits(attribute: &Attribute, op: Op, value: &Value) -> Result<(), String> {
    let equal = matches!(op, Op::Eq | Op::Ne);
    match (attribute.kind, value) {
        (_, Value::Null) if equal => Ok(()),
        (Type::Boolean, Value::Bool(_)) if equal => Ok(()),
        (Type::Text | Type::Reference, Value::String(_)) => Ok(()),
        (Type::DateTime, Value::String(text)) if !matches!(op, Op::Co | Op::Sw | Op::Ew) => {
            let read = DateTime::parse_from_rfc3339(text);
            read.map(|_| ()).map_err(|_| format!("`{text}` is no time; write as 2026-01-31T08:00:00Z"))
        }
        _ => Err(format!("`{}` of `{}` does not go with this value", op.text(), attribute.name)),
    }
}

impl Filter {
    /// Reads a filter over resources of a kind.
    ///
    /// # Errors
    /// It is no filter, or names what there is not: `invalidFilter`.
    pub fn parse(kind: Kind, text: &str) -> Answer<Filter> {
        let mut reader = Reader::new(text, "invalidFilter")?;
        let node = reader.either(Scope::Resource(kind), 0)?;
        reader.end()?;
        Ok(Filter(node))
    }

    /// Whether it holds for a resource, or for a value when it stands in brackets.
    #[must_use]
    pub fn matches(&self, resource: &Value) -> bool {
        holds(&self.0, resource)
    }

    /// Whether an attribute of the resource is named in it.
    #[must_use]
    pub fn names(&self, attribute: &str) -> bool {
        fn names(node: &Node, name: &str) -> bool {
            match node {
                Node::Present(path) | Node::Compare(path, ..) | Node::Within(path, _) => {
                    path.attribute.is_some_and(|attribute| attribute.name == name)
                }
                Node::And(a, b) | Node::Or(a, b) => names(a, name) || names(b, name),
                Node::Not(a) => names(a, name),
            }
        }
        names(&self.0, attribute)
    }

    /// The text that an attribute of the resource must be for the filter to hold, when it is one comparison alone.
    #[must_use]
    pub fn asks_for(&self, attribute: &str) -> Option<&str> {
        let Node::Compare(path, Op::Eq, Value::String(text)) = &self.0 else { return None };
        let own = path.extension.is_none() && path.inner.is_none();
        path.attribute.filter(|named| own && named.name == attribute).map(|_| text.as_str())
    }
}

impl Target {
    /// Reads a path of PATCH.
    ///
    /// # Errors
    /// It is no path, or names what there is not: `invalidPath`.
    pub(super) fn parse(kind: Kind, text: &str) -> Answer<Target> {
        let mut reader = Reader::new(text, "invalidPath")?;
        let mut path = reader.path(Scope::Resource(kind))?;
        let mut filter = None;
        if reader.takes('[') {
            filter = Some(Filter(reader.values(&path, 0)?));
            if reader.takes('.') {
                let name = reader.word();
                let inner = path.attribute.and_then(|attribute| attribute.inner(name));
                let Some(inner) = inner else { return reader.fault(format!("there is no `{name}` within it")) };
                reader.at += name.len();
                path.inner = Some(inner);
            }
        }
        reader.end()?;
        Ok(Target { path, filter })
    }
}

fn holds(node: &Node, resource: &Value) -> bool {
    match node {
        Node::Present(path) => path.values(resource).into_iter().any(is_there),
        Node::Compare(path, Op::Ne, value) => !equals(path, resource, value),
        Node::Compare(path, Op::Eq, value) => equals(path, resource, value),
        Node::Compare(path, op, value) => {
            let attribute = path.last();
            let compare = |there: &&Value| attribute.is_some_and(|attribute| compares(attribute, there, *op, value));
            path.values(resource).iter().any(compare)
        }
        Node::And(a, b) => holds(a, resource) && holds(b, resource),
        Node::Or(a, b) => holds(a, resource) || holds(b, resource),
        Node::Not(a) => !holds(a, resource),
        Node::Within(path, inner) => path.values(resource).into_iter().any(|value| holds(inner, value)),
    }
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn equals(path: &Path, resource: &Value, wanted: &Value) -> bool {
    let values = path.values(resource);
    if wanted.is_null() {
        return !values.into_iter().any(is_there); // what has no value is null (RFC 7643 2.5)
    }
    let Some(attribute) = path.last() else { return false };
    values.into_iter().any(|there| compares(attribute, there, Op::Eq, wanted))
}

fn compares(attribute: &Attribute, there: &Value, op: Op, wanted: &Value) -> bool {
    let (Value::String(there), Value::String(wanted)) = (there, wanted) else { return op == Op::Eq && there == wanted };
    if attribute.kind == Type::DateTime {
        let read = |text: &str| DateTime::parse_from_rfc3339(text).ok();
        return match (read(there), read(wanted)) {
            (Some(there), Some(wanted)) => ordered(op, there.cmp(&wanted)),
            _ => false,
        };
    }
    let folded = |text: &str| if attribute.case_exact { text.to_owned() } else { text.to_lowercase() };
    let (there, wanted) = (folded(there), folded(wanted));
    match op {
        Op::Co => there.contains(&wanted),
        Op::Sw => there.starts_with(&wanted),
        Op::Ew => there.ends_with(&wanted),
        Op::Eq | Op::Ne | Op::Gt | Op::Ge | Op::Lt | Op::Le => ordered(op, there.cmp(&wanted)),
    }
}

fn ordered(op: Op, order: Ordering) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Co | Op::Sw | Op::Ew => false,
    }
}

/// One side of `and` or `or`, in brackets where the reader would else take it apart otherwise.
fn side(f: &mut fmt::Formatter<'_>, node: &Node, apart: bool) -> fmt::Result {
    if apart { write!(f, "({node})") } else { write!(f, "{node}") }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Present(path) => write!(f, "{path} pr"),
            Node::Compare(path, op, value) => write!(f, "{path} {} {value}", op.text()),
            Node::And(a, b) => {
                side(f, a, matches!(**a, Node::Or(..)))?;
                f.write_str(" and ")?;
                side(f, b, matches!(**b, Node::Or(..) | Node::And(..)))
            }
            Node::Or(a, b) => {
                write!(f, "{a} or ")?;
                side(f, b, matches!(**b, Node::Or(..)))
            }
            Node::Not(a) => write!(f, "not ({a})"),
            Node::Within(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
