//! OpenFGA's language data: every model as text and as JSON, both directions, and texts that are wrong.

use crate::conformance::shared;
use bailiwick::model::Model;
use serde_json::Value;

/// The same JSON without what the language leaves open: empty values, and the order of keys.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, Value)> = map.iter().map(|(k, v)| (k, plain(v))).collect();
            let empty = |v: &Value| {
                v.is_null()
                    || v.as_str() == Some("")
                    || v.as_object().is_some_and(serde_json::Map::is_empty)
                    || v.as_array().is_some_and(Vec::is_empty)
            };
            entries.retain(|(k, v)| ["wildcard", "this"].contains(&k.as_str()) || !empty(v));
            entries.sort_by_key(|(k, _)| (*k).clone());
            entries.into_iter().map(|(k, v)| (k.clone(), v)).collect()
        }
        Value::Array(list) => list.iter().map(plain).collect(),
        other => other.clone(),
    }
}

#[test]
fn text_and_json_agree() {
    let Some(folder) = shared("conformance/openfga/language/transformer") else { return };
    let mut failures = Vec::new();
    let mut seen = 0;
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let (text, json) = (folder.join("authorization-model.fga"), folder.join("authorization-model.json"));
        let (Ok(text), Ok(json)) = (std::fs::read_to_string(text), std::fs::read_to_string(json)) else { continue };
        seen += 1;
        let json: Value = serde_json::from_str(&json).unwrap();
        match (Model::parse_dsl(&text), Model::from_json(&json)) {
            (Ok(from_text), Ok(from_json)) => {
                if plain(&from_text.to_json()) != plain(&json) {
                    failures.push(format!(
                        "{name}: text to JSON\n  {}\n  {}",
                        plain(&from_text.to_json()),
                        plain(&json)
                    ));
                }
                if plain(&from_json.to_json()) != plain(&json) {
                    failures.push(format!("{name}: JSON to JSON"));
                }
                match Model::parse_dsl(&from_json.to_dsl()) {
                    Ok(again) if plain(&again.to_json()) == plain(&json) => {}
                    other => failures.push(format!(
                        "{name}: JSON to text and back: {:?}\n{}",
                        other.err(),
                        from_json.to_dsl()
                    )),
                }
            }
            (text, json) => failures.push(format!("{name}: {:?} {:?}", text.err(), json.err())),
        }
    }
    assert!(seen >= 20, "only {seen} models");
    assert!(failures.is_empty(), "{} of {seen}:\n{}", failures.len(), failures.join("\n"));
}
