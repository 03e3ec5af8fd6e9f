//! Where the texts are in the events that models stream: each event brings a part of a text, so that a secret is split over
//! several.

use serde_json::Value;

/// Paths of parts of texts; `*` is any place of a list, `""` at the end the value itself. Of OpenAI's chat completions,
/// completions and responses, of Anthropic's messages and completions, and of Gemini.
const PATHS: &[&[&str]] = &[
    &["choices", "*", "delta", "content"],
    &["choices", "*", "delta", "reasoning_content"],
    &["choices", "*", "delta", "reasoning"],
    &["choices", "*", "delta", "refusal"],
    &["choices", "*", "delta", "tool_calls", "*", "function", "arguments"],
    &["choices", "*", "delta", "function_call", "arguments"],
    &["choices", "*", "text"],
    &["delta"],
    &["delta", "text"],
    &["delta", "partial_json"],
    &["delta", "thinking"],
    &["completion"],
    &["candidates", "*", "content", "parts", "*", "text"],
];

/// Members of an event that say to which text it belongs, besides the path.
const NAMES: [&str; 6] = ["type", "index", "item_id", "output_index", "content_index", "summary_index"];

/// Most parts of one event.
const PARTS_MAX: usize = 64;

/// A part of a text in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// To which text it belongs.
    pub(super) channel: String,
    /// Where it is, as a JSON pointer.
    pub(super) pointer: String,
}

/// The parts of texts in an event; none when there are too many.
pub(super) fn parts(event: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut names = String::new();
    for name in NAMES {
        if let Some(value @ (Value::String(_) | Value::Number(_))) = event.get(name) {
            names = format!("{names}{name}={value};");
        }
    }
    for path in PATHS {
        walk(event, path, String::new(), names.clone(), &mut parts);
    }
    if parts.len() > PARTS_MAX { Vec::new() } else { parts }
}

fn walk(value: &Value, path: &[&str], pointer: String, channel: String, parts: &mut Vec<Part>) {
    match (path, value) {
        ([], Value::String(_)) => parts.push(Part { channel, pointer }),
        (["*", rest @ ..], Value::Array(items)) => {
            for (at, item) in items.iter().enumerate().take(PARTS_MAX + 1) {
                // A part names its place; where it does not, its place in the event is its place.
                let place = item.get("index").and_then(Value::as_u64).unwrap_or(at as u64);
                walk(item, rest, format!("{pointer}/{at}"), format!("{channel}/{place}"), parts);
            }
        }
        ([name, rest @ ..], Value::Object(members)) => {
            if let Some(member) = members.get(*name) {
                walk(member, rest, format!("{pointer}/{name}"), format!("{channel}/{name}"), parts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_are_found_and_told_apart() {
        let pointers = |event: Value| parts(&event).into_iter().map(|part| part.pointer).collect::<Vec<_>>();
        let chat = json!({"choices": [
            {"index": 1, "delta": {"content": "a"}},
            {"index": 0, "delta": {"tool_calls": [{"index": 2, "function": {"arguments": "{\""}}]}, "finish_reason": null},
        ]});
        assert_eq!(
            pointers(chat.clone()),
            ["/choices/0/delta/content", "/choices/1/delta/tool_calls/0/function/arguments"]
        );
        let next = json!({"choices": [{"index": 1, "delta": {"content": "b"}}]});
        assert_eq!(parts(&chat)[0].channel, parts(&next)[0].channel);
        let claude = |index, text| json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}});
        assert_eq!(pointers(claude(0, "x")), ["/delta/text"]);
        assert_ne!(parts(&claude(0, "x"))[0].channel, parts(&claude(1, "x"))[0].channel);
        assert_eq!(pointers(json!({"type": "response.output_text.delta", "item_id": "m", "delta": "x"})), ["/delta"]);
        assert_eq!(
            pointers(json!({"candidates": [{"content": {"parts": [{"text": "x"}]}}]})),
            ["/candidates/0/content/parts/0/text"]
        );
        for other in [json!({"type": "ping"}), json!({"choices": [{"delta": {}}]}), json!([1]), json!("delta")] {
            assert!(pointers(other).is_empty());
        }
        let many: Vec<Value> = (0..=PARTS_MAX).map(|_| json!({"text": "x"})).collect();
        assert!(pointers(json!({ "choices": many })).is_empty());
    }
}
