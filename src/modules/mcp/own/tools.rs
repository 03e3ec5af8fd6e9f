//! The tools of our own server, as clients see them.

use super::Inner;
use super::answers::{HITS_DEFAULT, HITS_MAX};
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::Arc;

/// The tools there are.
pub(super) const TOOLS: [&str; 3] = ["search", "check", "list_objects"];

impl Inner {
    /// A tool by its name, where a rule of the policy names it.
    pub(super) fn tool(&self, name: &str) -> Option<Tool> {
        if !self.spec.policy.tools.contains_key(name) {
            return None;
        }
        let schema = |value: Value| value.as_object().cloned().unwrap_or_default();
        let (description, input, output) = match name {
            "search" => (
                "Finds the passages nearest to a question, among those that both the user and this agent may see.",
                json!({"type": "object", "additionalProperties": false, "properties": {
                    "query": {"type": "string", "description": "The question, in words. Give this or `vector`."},
                    "vector": {"type": "array", "items": {"type": "number"}, "description": "The question as a vector."},
                    "collection": {"type": "string", "enum": self.spec.collections, "description": "Where to search."},
                    "k": {"type": "integer", "minimum": 1, "maximum": HITS_MAX, "default": HITS_DEFAULT},
                    "filter": {"type": "object", "description": "Which payloads are admitted."},
                }}),
                json!({"type": "object", "required": ["hits"], "properties": {"hits": {"type": "array", "items": {
                "type": "object", "required": ["id", "object", "score"], "properties": {
                    "id": {"type": "string"}, "object": {"type": "string"}, "score": {"type": "number"},
                    "uri": {"type": "string"}, "text": {"type": "string"}, "payload": {"type": "object"},
                }}}}}),
            ),
            "check" => (
                "Says whether the user and this agent both have a relation to an object.",
                json!({"type": "object", "additionalProperties": false, "required": ["object", "relation"], "properties": {
                    "object": {"type": "string", "description": "As `document:1`."},
                    "relation": {"type": "string"},
                }}),
                json!({"type": "object", "required": ["allowed"], "properties": {"allowed": {"type": "boolean"}}}),
            ),
            "list_objects" => (
                "Lists the objects of a type to which the user and this agent both have a relation.",
                json!({"type": "object", "additionalProperties": false, "required": ["type", "relation"], "properties": {
                    "type": {"type": "string"},
                    "relation": {"type": "string"},
                }}),
                json!({"type": "object", "required": ["objects"], "properties": {
                    "objects": {"type": "array", "items": {"type": "string"}},
                }}),
            ),
            _ => return None,
        };
        let tool =
            Tool::new(name.to_owned(), description, schema(input)).with_raw_output_schema(Arc::new(schema(output)));
        Some(tool.with_annotations(ToolAnnotations::new().read_only(true).open_world(false)))
    }
}
