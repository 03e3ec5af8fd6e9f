//! What a change does to what is said of something, for its history and for its event: after something went wrong, it is seen
//! what was changed, and what it was before.
//!
//! Each thing is bounded, so that an event is; of a change that is too large for one event there are further ones in the same
//! write, so that nobody hides one thing behind many. Of people the names of what changed are told and not what stands there.

use super::{Change, Event};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What one event names.
const EDITS_PER_EVENT: usize = NAMES.len();
/// Most events of one change. What is not named then is counted.
const EVENTS_MAX: usize = 16;
/// Longest part of an edit that is told: its field, what stood there, and what stands there.
const PART_BYTES_MAX: usize = 80;
/// The details in which they are.
const NAMES: [&str; 12] = [
    "change_01",
    "change_02",
    "change_03",
    "change_04",
    "change_05",
    "change_06",
    "change_07",
    "change_08",
    "change_09",
    "change_10",
    "change_11",
    "change_12",
];

/// One thing that is said, before and after. Of a list, each member that came or went is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// Which.
    pub(super) field: String,
    /// What was said; nothing when there was nothing.
    pub(super) from: Option<String>,
    /// What is said; nothing when it was taken away.
    pub(super) to: Option<String>,
}

impl Edit {
    /// As it stands in an event.
    fn text(&self) -> String {
        let field = short(&self.field);
        match (self.from.as_deref().map(short), self.to.as_deref().map(short)) {
            (Some(from), Some(to)) => format!("{field}: {from} -> {to}"),
            (Some(from), None) => format!("{field} - {from}"),
            (None, to) => format!("{field} + {}", to.unwrap_or_default()),
        }
    }
}

fn short(text: &str) -> String {
    if text.len() <= PART_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= PART_BYTES_MAX - 3).last();
    format!("{}\u{2026}", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

/// What is said of a value, by the names of its members; those of members of members are joined by dots.
pub(super) fn said(value: &impl Serialize) -> Map<String, Value> {
    let mut all = Map::new();
    let value = serde_json::to_value(value).unwrap_or_default();
    flatten(&mut all, "", value);
    all
}

fn flatten(all: &mut Map<String, Value>, at: &str, value: Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if at.is_empty() { name } else { format!("{at}.{name}") };
                flatten(all, &name, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            all.insert(at.to_owned(), value);
        }
    }
}

/// What is different in what is said now.
pub(super) fn between(had: &Map<String, Value>, has: &Map<String, Value>) -> Vec<Edit> {
    let names: BTreeSet<&String> = had.keys().chain(has.keys()).collect();
    let mut all = Vec::new();
    for name in names {
        let (from, to) = (members(had.get(name)), members(has.get(name)));
        let gone = from.iter().filter(|text| !to.contains(text));
        let come = to.iter().filter(|text| !from.contains(text));
        let edit = |from: Option<&String>, to: Option<&String>| Edit {
            field: name.clone(),
            from: from.cloned(),
            to: to.cloned(),
        };
        let is_list = [had.get(name), has.get(name)].into_iter().flatten().any(Value::is_array);
        match (gone.clone().next(), come.clone().next()) {
            (None, None) => {}
            (one, other) if !is_list => all.push(edit(one, other)),
            _ => {
                all.extend(gone.map(|text| edit(Some(text), None)));
                all.extend(come.map(|text| edit(None, Some(text))));
            }
        }
    }
    all
}

fn members(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(one) => vec![text(one)],
    }
}

impl Change<'_> {
    /// Adds an event with what changed.
    pub(super) fn event_of_edits(&mut self, event: &Event, edits: &[Edit]) {
        if edits.is_empty() {
            return self.event(event);
        }
        for part in edits.chunks(EDITS_PER_EVENT).take(EVENTS_MAX) {
            let event = event.clone().detail("changes", edits.len().to_string());
            self.event(&NAMES.iter().zip(part).fold(event, |event, (name, edit)| event.detail(name, edit.text())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_is_told_with_what_it_was() {
        let had =
            said(&json!({"a": 1, "list": ["x", "y"], "in": {"who": "nobody", "max": 7}, "gone": true, "no": null}));
        let has = said(&json!({"a": 2, "list": ["y", "z"], "in": {"who": "anybody", "max": 7}, "come": "c"}));
        let told: Vec<String> = between(&had, &has).iter().map(Edit::text).collect();
        let all = ["a: 1 -> 2", "come + c", "gone - true", "in.who: nobody -> anybody", "list - x", "list + z"];
        assert_eq!(told, all);
        assert!(between(&had, &had).is_empty());
        // What is long is cut on each side, so that the other side is seen.
        let long = "\u{fc}".repeat(300);
        let edit = Edit { field: long.clone(), from: Some(long.clone()), to: Some(long) };
        assert!(edit.text().len() <= 256 && edit.text().contains("\u{2026} -> \u{fc}"), "{}", edit.text());
    }
}
