//! Bodies, read by the schemas into one spelling; and the part of a resource that a client wants to see.

use super::path::Path;
use super::schema::{Attribute, Kind, Mutability, Returned, Schema, Type};
use super::{Answer, Fault};
use chrono::DateTime;
use serde_json::{Map, Value};

/// Most values of an attribute, but for the members of a group.
pub const VALUES_MAX: usize = 200;

/// A resource as it was asked for: what a client may write of it, by the names of the schemas, nothing that has no value.
pub(super) type Wanted = Map<String, Value>;

fn malformed(detail: impl Into<String>) -> Fault {
    Fault::bad("invalidSyntax", detail)
}

/// Reads the body of a POST or a PUT. What only the server says is left out (RFC 7644 3.5.1), and so is `password`: nobody logs
/// in here with a password that somebody else chose.
///
/// # Errors
/// It is no such resource.
pub(super) fn read(kind: Kind, body: &Value) -> Answer<Wanted> {
    let members = body.as_object().ok_or_else(|| malformed("the body is no JSON object"))?;
    let core = kind.schema().urn;
    let named = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas")).map(|(_, value)| value);
    let urns: Vec<&str> = named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !urns.iter().any(|urn| urn.eq_ignore_ascii_case(core)) {
        return Err(malformed(format!("`schemas` does not have `{core}`")));
    }
    let known = |urn: &str| {
        urn.eq_ignore_ascii_case(core) || kind.extension().is_some_and(|schema| schema.urn.eq_ignore_ascii_case(urn))
    };
    if let Some(other) = urns.iter().find(|urn| !known(urn)) {
        return Err(malformed(format!("the schema `{other}` is not served; `/ResourceTypes` says which are")));
    }
    let mut wanted = Map::new();
    for (name, value) in members {
        if name.eq_ignore_ascii_case("schemas") || is_password(kind, name) {
            continue;
        }
        match kind.extension().filter(|schema| schema.urn.eq_ignore_ascii_case(name)) {
            Some(schema) => put(&mut wanted, schema.urn, read_extension(schema, value)?)?,
            None => {
                let attribute = kind.attribute(name).ok_or_else(|| unknown(name))?;
                put(&mut wanted, attribute.name, read_value(attribute, value)?)?;
            }
        }
    }
    Ok(wanted)
}

/// Whether a name is that of the attribute that is taken and dropped.
pub(super) fn is_password(kind: Kind, name: &str) -> bool {
    kind == Kind::User && name.eq_ignore_ascii_case("password")
}

fn unknown(name: &str) -> Fault {
    malformed(format!("there is no attribute `{name}`; `/Schemas` lists those there are"))
}

fn put(members: &mut Map<String, Value>, name: &str, value: Option<Value>) -> Answer<()> {
    if let Some(value) = value
        && members.insert(name.to_owned(), value).is_some()
    {
        return Err(malformed(format!("`{name}` is there twice")));
    }
    Ok(())
}

/// All that is written of an extension.
pub(super) fn read_extension(schema: &'static Schema, value: &Value) -> Answer<Option<Value>> {
    if value.is_null() {
        return Ok(None);
    }
    let members = value.as_object().ok_or_else(|| malformed(format!("`{}` is no JSON object", schema.urn)))?;
    let mut out = Map::new();
    // Clients that take an extension for a resource say `schemas` in it too.
    for (name, value) in members.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("schemas")) {
        let attribute = schema.attribute(name).ok_or_else(|| unknown(name))?;
        put(&mut out, attribute.name, read_value(attribute, value)?)?;
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

/// A value of an attribute as it is kept; nothing when it has none, or is the server's to say.
pub(super) fn read_value(attribute: &'static Attribute, value: &Value) -> Answer<Option<Value>> {
    if value.is_null() || attribute.mutability == Mutability::ReadOnly {
        return Ok(None);
    }
    if !attribute.many {
        return read_one(attribute, value);
    }
    let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    check_count(attribute, values.len())?;
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        out.extend(read_one(attribute, value)?);
    }
    let primaries = out.iter().filter(|value| is_primary(value)).count();
    if primaries > 1 {
        return Err(Fault::invalid(format!("more than one value of `{}` is primary", attribute.name)));
    }
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

/// Refuses more values than an attribute may have. Members of a group have a bound of their own.
pub(super) fn check_count(attribute: &Attribute, count: usize) -> Answer<()> {
    if count > VALUES_MAX && attribute.name != "members" {
        return Err(Fault::invalid(format!("`{}` has more than {VALUES_MAX} values", attribute.name)));
    }
    Ok(())
}

pub(super) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// One value. A text stands for a complex value that has a `value` (what Microsoft Entra sends for a manager), and `"True"` for
/// true (what it sends for `active`).
pub(super) fn read_one(attribute: &'static Attribute, value: &Value) -> Answer<Option<Value>> {
    let wrong = |what: &str| Err(Fault::invalid(format!("`{}` is not {what}", attribute.name)));
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Type::Complex, Value::String(_)) => match attribute.inner("value") {
            Some(inner) => Ok(Some(Value::Object(Map::from_iter([(inner.name.to_owned(), value.clone())])))),
            None => wrong("a JSON object"),
        },
        (Type::Complex, Value::Object(members)) => {
            let mut out = Map::new();
            for (name, value) in members {
                // What a member is called is said by many directories, and is the member's own to say.
                if attribute.name == "members" && name.eq_ignore_ascii_case("display") {
                    continue;
                }
                let inner = attribute.inner(name).ok_or_else(|| unknown(&format!("{}.{name}", attribute.name)))?;
                put(&mut out, inner.name, read_value(inner, value)?)?;
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
        (Type::Complex, _) => wrong("a JSON object"),
        (Type::Boolean, Value::Bool(_)) => Ok(Some(value.clone())),
        (Type::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
        (Type::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
        (Type::Boolean, _) => wrong("true or false"),
        (Type::DateTime, Value::String(text)) if DateTime::parse_from_rfc3339(text).is_err() => wrong("a time"),
        (Type::Text | Type::Reference | Type::DateTime, Value::String(_)) => Ok(Some(value.clone())),
        (Type::Text | Type::Reference | Type::DateTime, _) => wrong("a text"),
        (Type::Integer, Value::Number(_)) => Ok(Some(value.clone())),
        (Type::Integer, _) => wrong("a number"),
    }
}

/// What of a resource is answered (RFC 7644 3.9).
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    only: Option<Vec<Path>>,
    without: Vec<Path>,
}

impl Selection {
    /// Of `attributes` and `excludedAttributes`, each a list with commas. Where resources of several kinds are looked for, a name
    /// need be one of any of them.
    ///
    /// # Errors
    /// A name is none, or both are there.
    pub(super) fn read(
        kind: Kind,
        among: &[Kind],
        attributes: Option<&str>,
        excluded: Option<&str>,
    ) -> Answer<Selection> {
        let find = |name: &str| match Path::find(kind, name) {
            Some(path) => Ok(Some(path)),
            None if among.iter().any(|other| Path::find(*other, name).is_some()) => Ok(None),
            None => {
                let text = format!("there is no attribute `{name}`; `/Schemas` lists those there are");
                Err(Fault::bad("invalidPath", text))
            }
        };
        let names = |list: &str| {
            let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            // They are answered always.
            let names = names.filter(|name| !name.eq_ignore_ascii_case("schemas") && !is_password(kind, name));
            names.filter_map(|name| find(name).transpose()).collect::<Answer<Vec<Path>>>()
        };
        if attributes.is_some() && excluded.is_some() {
            return Err(Fault::invalid("say `attributes` or `excludedAttributes`, not both"));
        }
        Ok(Selection { only: attributes.map(names).transpose()?, without: excluded.map_or(Ok(Vec::new()), names)? })
    }

    /// Whether an attribute of the resource itself is answered, at least in part.
    pub(super) fn shows(&self, attribute: &'static Attribute) -> bool {
        self.keeps(None, attribute, None) != Keep::None
    }

    /// What is answered of an attribute, or of one within it.
    fn keeps(
        &self,
        extension: Option<&'static Schema>,
        attribute: &'static Attribute,
        inner: Option<&'static Attribute>,
    ) -> Keep {
        let returned = inner.unwrap_or(attribute).returned;
        if returned == Returned::Always && extension.is_none() {
            return Keep::All;
        }
        let this = Path { extension, attribute: Some(attribute), inner };
        let covers = |path: &Path| {
            path.extension.map(|schema| schema.urn) == extension.map(|schema| schema.urn)
                && path.attribute.is_none_or(|named| named == attribute)
                && (path.attribute.is_none() || path.inner.is_none() || path.inner == inner)
        };
        match &self.only {
            Some(only) if only.contains(&this) => Keep::All,
            Some(only) if only.iter().any(covers) => Keep::of(returned != Returned::Request),
            Some(only) => {
                let part = |path: &Path| inner.is_none() && path.inner.is_some() && path.attribute == Some(attribute);
                if only.iter().any(|path| part(path) && path.extension.is_some() == extension.is_some()) {
                    Keep::Part
                } else {
                    Keep::None
                }
            }
            None => Keep::of(returned != Returned::Request && !self.without.iter().any(covers)),
        }
    }

    /// The part of a resource that is answered.
    pub(super) fn of(&self, kind: Kind, resource: &Value) -> Value {
        let mut out = Map::new();
        for (name, value) in resource.as_object().into_iter().flatten() {
            if name == "schemas" {
                out.insert(name.clone(), value.clone());
            } else if let Some(schema) = kind.extension().filter(|schema| schema.urn == name) {
                let members = value.as_object().into_iter().flatten();
                let kept = members.filter_map(|(name, value)| {
                    Some((name.clone(), self.part(Some(schema), schema.attribute(name)?, value)?))
                });
                let kept: Map<String, Value> = kept.collect();
                if !kept.is_empty() {
                    out.insert(name.clone(), Value::Object(kept));
                }
            } else if let Some(kept) = kind.attribute(name).and_then(|attribute| self.part(None, attribute, value)) {
                out.insert(name.clone(), kept);
            }
        }
        Value::Object(out)
    }

    fn part(&self, extension: Option<&'static Schema>, attribute: &'static Attribute, value: &Value) -> Option<Value> {
        if self.keeps(extension, attribute, None) == Keep::None {
            return None;
        }
        match value {
            Value::Array(values) => {
                let kept: Vec<Value> = values.iter().filter_map(|v| self.part(extension, attribute, v)).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            Value::Object(members) => {
                let inner = |name: &str| {
                    let inner = attribute.inner(name)?;
                    (self.keeps(extension, attribute, Some(inner)) != Keep::None).then_some(())
                };
                let kept = members.iter().filter(|(name, _)| inner(name).is_some());
                let kept: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        }
    }
}

/// How much of an attribute is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    Part,
    None,
}

impl Keep {
    fn of(all: bool) -> Keep {
        if all { Keep::All } else { Keep::None }
    }
}
