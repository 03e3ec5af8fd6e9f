//! PATCH (RFC 7644 3.5.2): operations on what a client may write of a resource, one after the other, all or none.

use super::filter::{Filter, Node, Op, Target};
use super::path::Path;
use super::schema::{Attribute, Kind, Mutability, Type};
use super::shape::{Wanted, check_count, is_password, is_primary, read_extension, read_one, read_value};
use super::{Answer, Fault};
use serde_json::{Map, Value};

/// Most operations of one request.
pub const OPERATIONS_MAX: usize = 500;
const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Replace,
    Remove,
}

/// The member of an object; small and large letters are the same.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn malformed(detail: impl Into<String>) -> Fault {
    Fault::bad("invalidSyntax", detail)
}

/// Does the operations of a body.
///
/// # Errors
/// One cannot be done; then none is.
pub(super) fn apply(kind: Kind, body: &Value, wanted: &mut Wanted) -> Answer<()> {
    let body = body.as_object().ok_or_else(|| malformed("the body is no JSON object"))?;
    let schemas = member(body, "schemas").and_then(Value::as_array);
    let named = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(SCHEMA));
    if !schemas.is_some_and(|schemas| schemas.iter().any(named)) {
        return Err(malformed(format!("`schemas` does not have `{SCHEMA}`")));
    }
    let operations = member(body, "Operations").and_then(Value::as_array);
    let operations = operations.filter(|operations| !operations.is_empty());
    let operations = operations.ok_or_else(|| malformed("`Operations` has no operation"))?;
    if operations.len() > OPERATIONS_MAX {
        return Err(Fault::of(
            413,
            format!("there are more than {OPERATIONS_MAX} operations; send them in several requests"),
        ));
    }
    let mut changed = wanted.clone();
    for (at, operation) in operations.iter().enumerate() {
        operate(kind, operation, &mut changed)
            .map_err(|fault| Fault { detail: format!("operation {}: {}", at + 1, fault.detail), ..fault })?;
    }
    *wanted = changed;
    Ok(())
}

fn operate(kind: Kind, operation: &Value, wanted: &mut Wanted) -> Answer<()> {
    let operation = operation.as_object().ok_or_else(|| malformed("it is no JSON object"))?;
    let named = member(operation, "op").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let action = match named.as_str() {
        "add" => Action::Add,
        "replace" => Action::Replace,
        "remove" => Action::Remove,
        _ => return Err(malformed("`op` is not add, replace or remove")),
    };
    let value = member(operation, "value").filter(|value| !value.is_null());
    let path = match member(operation, "path").filter(|path| !path.is_null()) {
        None => None,
        Some(Value::String(path)) if path.is_empty() => None,
        Some(Value::String(path)) => Some(path),
        Some(_) => return Err(Fault::bad("invalidPath", "`path` is no text")),
    };
    match (action, path, value) {
        (Action::Remove, None, _) => Err(Fault::bad("noTarget", "`remove` needs a path")),
        (Action::Remove, Some(path), value) => {
            if is_password(kind, path) {
                return Ok(());
            }
            remove(kind, &Target::parse(kind, path)?, value, wanted)
        }
        (_, _, None) => Err(Fault::invalid("`value` is missing")),
        (action, Some(path), Some(value)) => {
            if is_password(kind, path) {
                return Ok(());
            }
            set(action, &Target::parse(kind, path)?, value, wanted)
        }
        (action, None, Some(value)) => {
            let members =
                value.as_object().ok_or_else(|| Fault::invalid("without a path, `value` is a JSON object"))?;
            for (name, value) in members {
                if name.eq_ignore_ascii_case("schemas") || is_password(kind, name) {
                    continue;
                }
                let path = Path::find(kind, name);
                let path = path.ok_or_else(|| malformed(format!("there is no attribute `{name}`")))?;
                // As in a body (RFC 7644 3.5.2.1): what only the server says is passed over.
                if path.attribute.is_none_or(|attribute| attribute.mutability != Mutability::ReadOnly) {
                    set(action, &Target { path, filter: None }, value, wanted)?;
                }
            }
            Ok(())
        }
    }
}

/// Where the attribute of a path is kept, made when it is not there.
fn place<'a>(path: &Path, wanted: &'a mut Wanted) -> Answer<&'a mut Map<String, Value>> {
    let Some(extension) = path.extension else { return Ok(wanted) };
    let place = wanted.entry(extension.urn).or_insert_with(|| Value::Object(Map::new()));
    place.as_object_mut().ok_or_else(|| malformed("an extension is no JSON object"))
}

/// Takes away an extension in which nothing is left.
fn tidy(path: &Path, wanted: &mut Wanted) {
    if let Some(extension) = path.extension
        && wanted.get(extension.urn).and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        wanted.shift_remove(extension.urn);
    }
}

/// Refuses what a client may not write.
fn writable(attribute: &Attribute, inner: Option<&Attribute>) -> Answer<()> {
    let read_only = |one: &Attribute| one.mutability == Mutability::ReadOnly;
    let fixed = inner.is_some_and(|inner| inner.mutability == Mutability::Immutable);
    if read_only(attribute) || inner.is_some_and(read_only) || fixed {
        let name = inner.map_or(attribute.name, |inner| inner.name);
        return Err(Fault::bad("mutability", format!("`{name}` cannot be changed")));
    }
    Ok(())
}

fn set(action: Action, target: &Target, value: &Value, wanted: &mut Wanted) -> Answer<()> {
    let path = target.path;
    let Some(attribute) = path.attribute else {
        let Some(extension) = path.extension else { return Err(Fault::bad("invalidPath", "this names nothing")) };
        let read = read_extension(extension, value)?;
        for (name, value) in read.as_ref().and_then(Value::as_object).into_iter().flatten() {
            let path = Path { attribute: extension.attribute(name), ..path };
            set(action, &Target { path, filter: None }, value, wanted)?;
        }
        return Ok(());
    };
    writable(attribute, path.inner)?;
    let place = place(&path, wanted)?;
    let done = match (&target.filter, path.inner) {
        (Some(filter), inner) => set_some(place, attribute, (filter, inner), action, value),
        (None, Some(inner)) => set_inner(place, attribute, inner, value),
        (None, None) => set_whole(place, attribute, action, value),
    };
    tidy(&path, wanted);
    done
}

/// Sets an attribute: of one value it takes the place, of several it is added when it is to be, and what is within one complex
/// value is laid over what is there.
fn set_whole(
    place: &mut Map<String, Value>,
    attribute: &'static Attribute,
    action: Action,
    value: &Value,
) -> Answer<()> {
    let Some(read) = read_value(attribute, value)? else {
        if attribute.required {
            return Err(Fault::bad("mutability", format!("`{}` must have a value", attribute.name)));
        }
        if action == Action::Replace {
            place.shift_remove(attribute.name);
        }
        return Ok(());
    };
    match (place.get_mut(attribute.name), read) {
        (Some(Value::Array(there)), Value::Array(more)) if action == Action::Add => {
            for value in more {
                if !there.iter().any(|other| same(attribute, other, &value)) {
                    yield_primary(there, &value);
                    there.push(value);
                }
            }
            check_count(attribute, there.len())?;
        }
        (Some(Value::Object(there)), Value::Object(over)) => there.extend(over),
        (_, read) => {
            place.insert(attribute.name.to_owned(), read);
        }
    }
    Ok(())
}

/// Whether two values of an attribute are one: members by who they are.
fn same(attribute: &Attribute, one: &Value, other: &Value) -> bool {
    if attribute.name == "members" { one.get("value") == other.get("value") } else { one == other }
}

/// Where one value is primary now, no other is (RFC 7644 3.5.2).
fn yield_primary(values: &mut [Value], fresh: &Value) {
    if is_primary(fresh) {
        for value in values.iter_mut().filter_map(Value::as_object_mut) {
            if value.contains_key("primary") {
                value.insert("primary".to_owned(), false.into());
            }
        }
    }
}

/// Sets something within an attribute; where that has several values, within each.
fn set_inner(
    place: &mut Map<String, Value>,
    attribute: &'static Attribute,
    inner: &'static Attribute,
    value: &Value,
) -> Answer<()> {
    let read = read_value(inner, value)?;
    let there = match place.get_mut(attribute.name) {
        None if attribute.many => {
            return Err(Fault::bad("noTarget", format!("`{}` has no value to change", attribute.name)));
        }
        None => place.entry(attribute.name).or_insert_with(|| Value::Object(Map::new())),
        Some(there) => there,
    };
    let each = match there.is_array() {
        true => there.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default(),
        false => std::slice::from_mut(&mut *there),
    };
    if each.len() > 1 && inner.name == "primary" && read == Some(true.into()) {
        return Err(Fault::invalid("more than one value would be primary"));
    }
    for value in each.iter_mut().filter_map(Value::as_object_mut) {
        match &read {
            Some(read) => drop(value.insert(inner.name.to_owned(), read.clone())),
            None => drop(value.shift_remove(inner.name)),
        }
    }
    if there.as_object().is_some_and(Map::is_empty) {
        place.shift_remove(attribute.name);
    }
    Ok(())
}

/// The value that a filter describes, which is made of comparisons by `eq` with `and` between them.
fn described(node: &Node, out: &mut Map<String, Value>) -> bool {
    match node {
        Node::Compare(path, Op::Eq, value) => {
            path.last().is_some_and(|last| out.insert(last.name.to_owned(), value.clone()).is_none())
        }
        Node::And(a, b) => described(a, out) && described(b, out),
        Node::Compare(..) | Node::Present(_) | Node::Or(..) | Node::Not(_) | Node::Within(..) => false,
    }
}

/// Sets the values for which a filter holds, or something within them. What is added where it holds for none is a value as the
/// filter describes it: so does Microsoft Entra add a work address.
fn set_some(
    place: &mut Map<String, Value>,
    attribute: &'static Attribute,
    (filter, inner): (&Filter, Option<&'static Attribute>),
    action: Action,
    value: &Value,
) -> Answer<()> {
    let none = || Fault::bad("noTarget", format!("no value of `{}` is one for which the filter holds", attribute.name));
    if !attribute.many {
        return Err(Fault::bad("invalidPath", format!("`{}` has one value; leave the filter out", attribute.name)));
    }
    let read = match inner {
        Some(inner) => read_value(inner, value)?,
        None => read_one(attribute, value)?,
    };
    let read = read.ok_or_else(|| Fault::invalid("`value` has no value"))?;
    let mut over = |value: &mut Value| match (inner, value.as_object_mut()) {
        (Some(inner), Some(members)) => drop(members.insert(inner.name.to_owned(), read.clone())),
        (None, Some(members)) if action == Action::Add => {
            members.extend(read.as_object().cloned().unwrap_or_default());
        }
        (..) => *value = read.clone(),
    };
    let values = place.entry(attribute.name).or_insert_with(|| Value::Array(Vec::new()));
    let values = values.as_array_mut().ok_or_else(none)?;
    let mut found: Vec<usize> = Vec::new();
    found.extend(values.iter().enumerate().filter(|(_, value)| filter.matches(value)).map(|(at, _)| at));
    if found.is_empty() {
        let mut fresh = Map::new();
        if action != Action::Add || !described(&filter.0, &mut fresh) {
            if values.is_empty() {
                place.shift_remove(attribute.name);
            }
            return Err(none());
        }
        // Read as a body is, so that nothing stands in it that none could say.
        let fresh = read_one(attribute, &Value::Object(fresh))?.unwrap_or_else(|| Value::Object(Map::new()));
        found.push(values.len());
        values.push(fresh);
        check_count(attribute, values.len())?;
    }
    for at in &found {
        values.get_mut(*at).map(&mut over);
    }
    let primary = found.iter().copied().filter(|at| values.get(*at).is_some_and(is_primary)).collect::<Vec<_>>();
    if let [one] = primary.as_slice() {
        for (_, value) in values.iter_mut().enumerate().filter(|(at, value)| at != one && is_primary(value)) {
            if let Some(members) = value.as_object_mut() {
                members.insert("primary".to_owned(), false.into());
            }
        }
    } else if primary.len() > 1 {
        return Err(Fault::invalid(format!("more than one value of `{}` would be primary", attribute.name)));
    }
    Ok(())
}

/// Takes away what a target names. Values that are not there are gone already, which is no error. With a value, only those that
/// it lists go: so does Microsoft Entra take members out of a group.
fn remove(kind: Kind, target: &Target, value: Option<&Value>, wanted: &mut Wanted) -> Answer<()> {
    let path = target.path;
    let Some(attribute) = path.attribute else {
        if let Some(extension) = path.extension {
            wanted.shift_remove(extension.urn);
        }
        return Ok(());
    };
    writable(attribute, path.inner)?;
    if path.last().is_some_and(|last| last.required) && path.extension.is_none() {
        let text = format!("`{}` of a {} must have a value", attribute.name, kind.name());
        return Err(Fault::bad("mutability", text));
    }
    let listed = match value {
        Some(value) if attribute.many && attribute.kind == Type::Complex && path.inner.is_none() => {
            read_value(attribute, value)?
        }
        _ => None,
    };
    let listed = listed.as_ref().and_then(Value::as_array);
    let place = place(&path, wanted)?;
    let Some(there) = place.get_mut(attribute.name) else {
        tidy(&path, wanted);
        return Ok(());
    };
    let goes = |value: &Value| {
        target.filter.as_ref().is_none_or(|filter| filter.matches(value))
            && listed.is_none_or(|listed| listed.iter().any(|one| same(attribute, one, value)))
    };
    let empty = match (path.inner, &mut *there) {
        (Some(inner), Value::Array(values)) => {
            for value in values.iter_mut().filter(|value| goes(value)) {
                value.as_object_mut().map(|members| members.shift_remove(inner.name));
            }
            values.retain(|value| value.as_object().is_none_or(|members| !members.is_empty()));
            values.is_empty()
        }
        (Some(inner), Value::Object(members)) => {
            members.shift_remove(inner.name);
            members.is_empty()
        }
        (None, Value::Array(values)) => {
            values.retain(|value| !goes(value));
            values.is_empty()
        }
        (..) => true,
    };
    if empty {
        place.shift_remove(attribute.name);
    }
    tidy(&path, wanted);
    Ok(())
}
