//! Where in a resource something is: `name.givenName`, `urn:…:User:manager`, `emails.value` (RFC 7644 3.10).

use super::schema::{Attribute, Kind, Schema, Type};
use serde_json::Value;
use std::fmt;

/// An attribute, found in the schemas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// In which extension it is; none for the resource itself.
    pub(super) extension: Option<&'static Schema>,
    /// Which; none for all of an extension.
    pub(super) attribute: Option<&'static Attribute>,
    /// Which within it.
    pub(super) inner: Option<&'static Attribute>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.extension.map(|schema| schema.urn) == other.extension.map(|schema| schema.urn)
            && self.attribute == other.attribute
            && self.inner == other.inner
    }
}

/// What is behind a prefix and a colon; small and large letters are the same.
fn behind<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl Path {
    /// Finds what a text names. The URN of the resource's own schema may stand before it.
    pub(super) fn find(kind: Kind, text: &str) -> Option<Path> {
        if let Some(extension) = kind.extension()
            && let Some(rest) = behind(text, extension.urn)
        {
            if rest.is_empty() {
                return Some(Path { extension: Some(extension), attribute: None, inner: None });
            }
            let rest = rest.strip_prefix(':')?;
            return Path::within(rest, |name| extension.attribute(name), Some(extension));
        }
        let rest = behind(text, kind.schema().urn).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
        Path::within(rest, |name| kind.attribute(name), None)
    }

    fn within(
        text: &str,
        find: impl Fn(&str) -> Option<&'static Attribute>,
        extension: Option<&'static Schema>,
    ) -> Option<Path> {
        let (name, inner) = text.split_once('.').map_or((text, None), |(name, inner)| (name, Some(inner)));
        let attribute = find(name)?;
        let inner = match inner {
            Some(inner) => Some(attribute.inner(inner)?),
            None => None,
        };
        Some(Path { extension, attribute: Some(attribute), inner })
    }

    /// An attribute within a complex one, seen from there.
    pub(super) fn inside(attribute: &'static Attribute, text: &str) -> Option<Path> {
        Some(Path { extension: None, attribute: Some(attribute.inner(text)?), inner: None })
    }

    /// What it ends at.
    pub(super) fn last(&self) -> Option<&'static Attribute> {
        self.inner.or(self.attribute)
    }

    /// The values there; those of a complex attribute with several values one by one.
    pub(super) fn values<'a>(&self, resource: &'a Value) -> Vec<&'a Value> {
        let place = match self.extension {
            Some(extension) => resource.get(extension.urn),
            None => Some(resource),
        };
        let Some(attribute) = self.attribute else { return place.into_iter().collect() };
        let found = place.and_then(|place| place.get(attribute.name));
        let each: Vec<&Value> = match found {
            Some(Value::Array(values)) => values.iter().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        match self.inner {
            Some(inner) => each.into_iter().filter_map(|value| value.get(inner.name)).collect(),
            None => each,
        }
    }

    /// The same, and of a complex attribute its `value`, which is what a comparison means (RFC 7644 3.4.2.2).
    pub(super) fn compared(self) -> Option<Path> {
        match self.last()? {
            last if last.kind != Type::Complex => Some(self),
            last => Some(Path { inner: Some(last.inner("value")?), ..self }),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.attribute.is_some() { ":" } else { "" };
        if let Some(extension) = self.extension {
            write!(f, "{}{colon}", extension.urn)?;
        }
        if let Some(attribute) = self.attribute {
            write!(f, "{}", attribute.name)?;
        }
        self.inner.map_or(Ok(()), |inner| write!(f, ".{}", inner.name))
    }
}
