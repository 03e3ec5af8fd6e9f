//! The worlds of `tests/cases/*.yaml`, written by hand or shrunk from random ones. Each has a model, tuples, and questions
//! whose answers are known (`true`, `false`, `error`); all questions of every subject and object that it names are compared
//! with the oracle as well, with the tuples stored and, where they are few, given by the request.

use crate::agree::compare_all;
use crate::conformance::json_of;
use crate::story::{self, Story};
use bailiwick::engine::*;
use bailiwick::tuple::*;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::path::PathBuf;

/// Contextual tuples that a request may have.
const GIVEN_MAX: usize = 100;

fn texts<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case[key].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("{key}: {text} is no text"))).collect()
}

fn run(name: &str, case: &Value) {
    for key in case.as_object().unwrap().keys() {
        let known = ["model", "then", "tuples", "given", "context", "true", "false", "error"];
        assert!(known.contains(&key.as_str()), "{name}: unknown key `{key}`");
    }
    let newest = case["then"].as_str().or_else(|| case["model"].as_str()).unwrap();
    let stored = texts(case, "tuples");
    for contextual in [false, true] {
        if contextual && (stored.len() > GIVEN_MAX || case["then"].is_string()) {
            continue;
        }
        let mut story = Story::new(case["model"].as_str().unwrap());
        story.context = case["context"].as_object().cloned().unwrap_or_default();
        story.given = story::tuples(&texts(case, "given"));
        let mut tuples = story::tuples(&stored);
        if contextual {
            story.given.splice(0..0, tuples.clone());
        } else if !stored.is_empty() {
            story.write(&stored).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        if case["then"].is_string() {
            story.model(newest);
        }
        for text in texts(case, "true") {
            assert_eq!(story.check(text), Ok(true), "{name}: {text}");
        }
        for text in texts(case, "false") {
            assert_eq!(story.check(text), Ok(false), "{name}: {text}");
        }
        for text in texts(case, "error") {
            let answer = story.check(text);
            assert!(matches!(answer, Err(QuestionError::Condition { .. })), "{name}: {text}: {answer:?}");
        }
        tuples.extend(story::tuples(&texts(case, "given")));
        let mut subjects: Vec<Subject> = tuples.iter().map(|t| t.subject.clone()).collect();
        subjects.extend(["true", "false"].iter().flat_map(|k| texts(case, k)).map(|t| story::tuple(t).subject));
        subjects.sort_unstable();
        subjects.dedup();
        let model = story::model(newest);
        compare_all(&story.view(), &model, &tuples, story.added(), &subjects)
            .unwrap_or_else(|fault| panic!("{name}{}: {fault}", if contextual { " (contextual)" } else { "" }));
    }
}

#[test]
fn every_case_is_right() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    assert!(paths.len() >= 5, "only {} cases in {}", paths.len(), folder.display());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for document in Yaml::load_from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")) {
            run(&name, &json_of(&document));
        }
    }
}
