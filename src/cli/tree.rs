//! The tree that Expand answers with, drawn with box characters, and as OpenFGA's JSON.

use bailiwick::api::proto::userset_tree::{Node, leaf, node};
use serde_json::{Value, json};

/// What is drawn of a node: a line, and what hangs below it.
struct Drawn {
    line: String,
    below: Vec<Drawn>,
}

/// The tree as lines of text.
pub(super) fn draw(root: &Node) -> String {
    let mut lines = vec![root.name.clone()];
    branches(&[drawn(root)], "", &mut lines);
    lines.join("\n")
}

fn branches(children: &[Drawn], indent: &str, lines: &mut Vec<String>) {
    for (at, child) in children.iter().enumerate() {
        let last = at + 1 == children.len();
        let (corner, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        lines.push(format!("{indent}{corner}{}", child.line));
        branches(&child.below, &format!("{indent}{bar}"), lines);
    }
}

fn leaf_of(line: impl Into<String>) -> Drawn {
    Drawn { line: line.into(), below: Vec::new() }
}

fn drawn(node: &Node) -> Drawn {
    let all = |line: &str, nodes: &[Node]| Drawn { line: line.into(), below: nodes.iter().map(drawn).collect() };
    match &node.value {
        Some(node::Value::Union(nodes)) => all("any of", &nodes.nodes),
        Some(node::Value::Intersection(nodes)) => all("all of", &nodes.nodes),
        Some(node::Value::Difference(difference)) => {
            let side = |n: &Option<Box<Node>>| n.as_deref().map(drawn);
            let but_not = side(&difference.subtract).map(|d| Drawn { line: "but not".into(), below: vec![d] });
            let below = side(&difference.base).into_iter().chain(but_not).collect();
            Drawn { line: "difference".into(), below }
        }
        Some(node::Value::Leaf(leaf)) => match &leaf.value {
            Some(leaf::Value::Users(users)) if users.users.is_empty() => leaf_of("no tuples"),
            Some(leaf::Value::Users(users)) => {
                Drawn { line: "tuples".into(), below: users.users.iter().map(leaf_of).collect() }
            }
            Some(leaf::Value::Computed(computed)) => leaf_of(&computed.userset),
            Some(leaf::Value::TupleToUserset(t)) => Drawn {
                line: format!("through {}", t.tupleset),
                below: t.computed.iter().map(|c| leaf_of(&c.userset)).collect(),
            },
            None => leaf_of("nothing"),
        },
        None => leaf_of("nothing"),
    }
}

/// The tree as OpenFGA's JSON.
pub(super) fn json(node: &Node) -> Value {
    let all = |nodes: &[Node]| json!({"nodes": nodes.iter().map(json).collect::<Vec<_>>()});
    let (name, value) = match &node.value {
        Some(node::Value::Union(nodes)) => ("union", all(&nodes.nodes)),
        Some(node::Value::Intersection(nodes)) => ("intersection", all(&nodes.nodes)),
        Some(node::Value::Difference(d)) => {
            ("difference", json!({"base": d.base.as_deref().map(json), "subtract": d.subtract.as_deref().map(json)}))
        }
        Some(node::Value::Leaf(leaf)) => (
            "leaf",
            match &leaf.value {
                Some(leaf::Value::Users(users)) => json!({"users": {"users": users.users}}),
                Some(leaf::Value::Computed(c)) => json!({"computed": {"userset": c.userset}}),
                Some(leaf::Value::TupleToUserset(t)) => {
                    let computed: Vec<Value> = t.computed.iter().map(|c| json!({"userset": c.userset})).collect();
                    json!({"tupleToUserset": {"tupleset": t.tupleset, "computed": computed}})
                }
                None => json!({}),
            },
        ),
        None => return json!({"name": node.name}),
    };
    json!({"name": node.name, name: value})
}
