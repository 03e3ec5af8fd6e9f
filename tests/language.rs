//! OpenFGA's language data: every model as text and as JSON, both directions, texts that are wrong with the places of
//! what is wrong, `fga.mod` files, and modules with what they become.

use crate::conformance::shared;
use bailiwick::model::{Fault, Faults, Model, Place, SourceModel, parse_module_file};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::path::{Path, PathBuf};

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

/// The cases of a YAML file of the language data.
fn cases(file: &str) -> Option<Vec<Yaml<'static>>> {
    let path = shared(&format!("conformance/openfga/language/{file}"))?;
    let text: &'static str = std::fs::read_to_string(path).unwrap().leak();
    let document = Yaml::load_from_str(text).unwrap().remove(0);
    Some(document.into_vec().unwrap())
}

fn text<'a>(case: &'a Yaml<'_>, key: &str) -> &'a str {
    case.as_mapping_get(key).and_then(Yaml::as_str).unwrap_or_default()
}

/// Line and column where each expected error begins, both from 0.
fn expected(case: &Yaml<'_>) -> Vec<(usize, usize, String)> {
    let Some(errors) = case.as_mapping_get("expected_errors").and_then(Yaml::as_vec) else { return Vec::new() };
    let start = |error: &Yaml<'_>, key| {
        let number = error.as_mapping_get(key).and_then(|v| v.as_mapping_get("start")).and_then(Yaml::as_integer);
        usize::try_from(number.unwrap()).unwrap()
    };
    errors.iter().map(|e| (start(e, "line"), start(e, "column"), text(e, "msg").to_owned())).collect()
}

#[test]
fn wrong_texts_are_refused_at_the_right_places() {
    let Some(cases) = cases("dsl-syntax-validation-cases.yaml") else { return };
    let mut failures = Vec::new();
    for case in &cases {
        let name = text(case, "name");
        let wanted = expected(case);
        let errors = Model::parse_dsl(text(case, "dsl")).err().unwrap_or_default();
        let found: Vec<(usize, usize)> = errors.iter().map(|e| (e.line - 1, e.column - 1)).collect();
        if errors.is_empty() != wanted.is_empty() {
            failures.push(format!("{name}: wanted {wanted:?}, found {errors:?}"));
        }
        for (line, column, message) in wanted {
            if !found.contains(&(line, column)) {
                failures.push(format!("{name}: nothing at {line}:{column} ({message})\n  {errors:?}"));
            }
        }
    }
    assert_eq!(cases.len(), 81);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn places(faults: &[Fault], text: &str) -> Vec<(usize, usize, String)> {
    let place = |fault: &Fault| {
        let start = fault.place.as_ref().map_or(0, |place| place.span.start);
        let (line, column) = bailiwick::model::line_and_column(text, start);
        (line - 1, column - 1, fault.message.clone())
    };
    faults.iter().map(place).collect()
}

#[test]
fn module_files_are_read_with_places() {
    let Some(cases) = cases("fga-mod-transformer-cases.yaml") else { return };
    for case in &cases {
        let name = text(case, "name");
        let file = text(case, "modFile");
        match parse_module_file(file, 0) {
            Ok(read) => {
                let json: Value = serde_json::from_str(text(case, "json")).unwrap();
                assert_eq!(read.schema, json["schema"]["value"], "{name}");
                let contents = json["contents"]["value"].as_array().unwrap();
                assert_eq!(read.contents.len(), contents.len(), "{name}");
                for ((path, span), wanted) in read.contents.iter().zip(contents) {
                    let (line, column) = bailiwick::model::line_and_column(file, span.start);
                    let found = serde_json::json!([path, line - 1, column - 1, column - 1 + span.len()]);
                    let end = &wanted["column"]["end"];
                    let start = (&wanted["line"]["start"], &wanted["column"]["start"]);
                    assert_eq!(found, serde_json::json!([wanted["value"], start.0, start.1, end]), "{name}");
                }
            }
            Err(faults) => assert_eq!(places(&faults, file), expected(case), "{name}"),
        }
    }
    assert!(cases.len() >= 9);
}

/// The folders of modular models.
fn modular() -> Option<Vec<PathBuf>> {
    let folder = shared("conformance/openfga/language/transformer-module")?;
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    Some(folders)
}

/// Reads all modules of a folder through an `fga.mod` that names them in the order of their names.
fn read_modules(folder: &Path) -> Result<SourceModel, Faults> {
    let module = folder.join("module");
    let mut names: Vec<String> =
        std::fs::read_dir(&module).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let list: Vec<String> = names.iter().map(|name| format!("  - {name}\n")).collect();
    let text = format!("schema: '1.2'\ncontents:\n{}", list.concat());
    let mut read = |name: &str| std::fs::read_to_string(module.join(name)).map_err(|e| e.to_string());
    SourceModel::from_modules("fga.mod", &text, &mut read)
}

/// The JSON with its types in the order of their names: the order of files is the test's own.
fn sorted(value: &Value) -> Value {
    let mut value = plain(value);
    let types = value["type_definitions"].as_array_mut().unwrap();
    types.sort_by_key(|ty| ty["type"].to_string());
    value
}

#[test]
fn modules_become_one_model() {
    let Some(folders) = modular() else { return };
    let mut seen = 0;
    for folder in folders {
        let Ok(json) = std::fs::read_to_string(folder.join("authorization-model.json")) else { continue };
        let json: Value = serde_json::from_str(&json).unwrap();
        let from_json = Model::from_json(&json).unwrap();
        let modules: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(folder.join("expected_modules.json")).unwrap()).unwrap();
        assert_eq!(from_json.modules(), modules, "{}", folder.display());
        assert_eq!(sorted(&from_json.to_json()), sorted(&json), "{}", folder.display());
        seen += 1;
        if !folder.join("module").exists() {
            continue;
        }
        let merged = read_modules(&folder).unwrap();
        merged.lint().unwrap();
        assert_eq!(sorted(&merged.model().to_json()), sorted(&json), "{}", folder.display());
        let combined = std::fs::read_to_string(folder.join("combined.fga")).unwrap();
        assert_eq!(merged.model().to_dsl().trim(), combined.trim());
        let combined = std::fs::read_to_string(folder.join("combined-sourceinfo.fga")).unwrap();
        assert_eq!(merged.model().to_dsl_with_origins().trim(), combined.trim());
    }
    assert_eq!(seen, 3);
}

#[test]
fn wrong_modules_are_refused_at_the_right_places() {
    let Some(folders) = modular() else { return };
    let mut failures = Vec::new();
    let mut seen = 0;
    for folder in folders {
        let Ok(wanted) = std::fs::read_to_string(folder.join("expected_errors.json")) else { continue };
        let wanted: Vec<Value> = serde_json::from_str(&wanted).unwrap();
        let Faults { faults, sources } = read_modules(&folder).and_then(|read| read.lint()).unwrap_err();
        let found: Vec<Value> = faults
            .iter()
            .map(|fault| {
                let Some(Place { source, span }) = &fault.place else { return Value::Null };
                let source = &sources[*source];
                let (line, column) = bailiwick::model::line_and_column(&source.text, span.start);
                serde_json::json!([source.name, line - 1, column - 1, fault.code.as_str(), fault.message])
            })
            .collect();
        for error in &wanted {
            let place = [&error["file"], &error["line"]["start"], &error["column"]["start"]];
            // Texts of the grammar's generator are not copied; of a duplicate, either place will do.
            let syntax = error["type"] == "syntax";
            let message = &error["msg"];
            let code = &error["metadata"]["errorType"];
            let fits = |f: &Value| {
                (place.iter().enumerate().all(|(i, p)| f[i] == **p)
                    || message.as_str().unwrap().starts_with("duplicate"))
                    && (syntax || f[4] == *message)
                    && (code.is_null() || f[3] == *code)
            };
            if !found.iter().any(fits) {
                failures.push(format!("{}: {error}\n  {found:#?}", folder.display()));
            }
        }
        if found.len() != wanted.len() {
            failures.push(format!("{}: {} wanted, {found:#?}", folder.display(), wanted.len()));
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn lint_names_each_rule_by_its_code_and_place() {
    let lint = |body: &str| {
        let text = format!("model\n  schema 1.1\ntype user\n{body}");
        match SourceModel::from_dsl("m.fga", &text).unwrap().lint() {
            Ok(()) => String::new(),
            Err(faults) => faults.plain(),
        }
    };
    let document = |relations: &str| format!("type document\n  relations\n{relations}");
    let table = [
        (
            "    define a: [user, user]\n",
            "6:22: the type restriction `user` is a duplicate in the relation `a`. [duplicated-error]",
        ),
        (
            "    define a: [user]\n    define b: a or a\n",
            "7:20: the partial relation definition `a` is a duplicate in the relation `b`. [duplicated-error]",
        ),
        ("    define a: missing\n", "6:15: the relation `missing` does not exist. [missing-definition]"),
        ("    define a: [none]\n", "6:16: `none` is not a valid type. [invalid-type]"),
        ("    define a: [user#x]\n", "6:16: `x` is not a valid relation for `user`. [invalid-relation-type]"),
        (
            "    define p: [user]\n    define a: x from p\n",
            "7:15: the `x` relation definition on type `document` is not valid: `x` does not exist on `p`, which is of type `user`. [invalid-relation-on-tupleset]",
        ),
        (
            "    define p: [document, user:*]\n    define a: p from p\n",
            "7:22: `p` relation used inside from allows only direct relation. [tupleuserset-not-direct]",
        ),
        (
            "    define a: b\n    define b: a\n",
            "6:12: `a` is an impossible relation for `document` (potential loop). [relation-no-entry-point]",
        ),
        (
            "    define a: [document#a]\n",
            "6:12: `a` is an impossible relation for `document` (no entrypoint). [relation-no-entry-point]",
        ),
        ("    define a: [user with c]\n", "6:26: `c` is not a defined condition in the model. [condition-not-defined]"),
        (
            "    define self: [user]\n",
            "6:12: a relation cannot be named 'self' or 'this'. [reserved-relation-keywords]",
        ),
        (
            "    define a: [user]\ncondition c(x: int) {\n  x < 1\n}\n",
            "7:11: `c` condition is not used in the model. [condition-not-used]",
        ),
        (
            "    define a: [user with c]\ncondition c(x: int) {\n  x + 1\n}\n",
            "7:11: `c` condition does not compile: expected a bool condition expression output, but got 'int' [invalid-condition]",
        ),
    ];
    for (relations, fault) in table {
        let found = lint(&document(relations));
        assert!(found.starts_with(&format!("m.fga:{fault}\n")), "{relations}\n{found}");
    }
    assert_eq!(lint("type document\n  relations\n    define a: [user]\n"), "");
    let twice = lint("type user\n");
    assert_eq!(twice, "m.fga:4:6: the type `user` is a duplicate. [duplicated-error]\n");
    let reserved = lint("type this\n");
    assert_eq!(reserved, "m.fga:4:6: a type cannot be named 'self' or 'this'. [reserved-type-keywords]\n");
    let json = r#"{"schema_version":"1.1","type_definitions":[{"type":"d","relations":{"a":{"this":{}}}}]}"#;
    let unassigned = SourceModel::from_json("m.json", json).unwrap().lint().unwrap_err().plain();
    assert_eq!(unassigned, "assignable relation 'a' must have types [assignable-relation-must-have-type]\n");
    let mixed = r#"{"schema_version":"1.2","type_definitions":[
        {"type":"a","metadata":{"module":"m","source_info":{"file":"x.fga"}}},
        {"type":"b","metadata":{"module":"n","source_info":{"file":"x.fga"}}}]}"#;
    let mixed = SourceModel::from_json("m.json", mixed).unwrap().lint().unwrap_err();
    assert_eq!(mixed.faults[0].code.as_str(), "multiple-modules-in-file");
    let broken = SourceModel::from_json("m.json", "{\n  oh\n}").unwrap_err().plain();
    assert!(broken.starts_with("m.json:2:3: "), "{broken}");
}
