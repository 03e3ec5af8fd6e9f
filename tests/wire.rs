//! What a client sees when it is wrong: every call, over gRPC and over HTTP/JSON, with the code, the status and the text
//! that OpenFGA v1.18.1 answers.
//!
//! A row is a call, its request as JSON, and what is expected. `!A.B > C.D: reason` is a broken rule of a field: code 3 and
//! the chain of causes, of which HTTP keeps the last; `=> name` is the code's name where HTTP has one of its own.
//! `2022 relation_not_found: text` is an error of a handler. `ok` is success.

use crate::wire_client::{Server, expand};
use crate::wire_rows::{BATCH, CHECK, LISTS};
use crate::wire_rows_of_tuples::{MODELS, READ, STORES, WRITE};
use serde_json::Value;

/// Call, request, expectation.
pub(crate) type Row = (&'static str, &'static str, &'static str);

/// What the short forms in the expectations stand for.
const TEXTS: &[(&str, &str)] = &[
    ("{ulid}", r#"value does not match regex pattern "^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$""#),
    ("{name}", r#"value does not match regex pattern "^[a-zA-Z0-9\\s\\.\\-\\/^_&@]{3,64}$""#),
    ("{cuser}", r#"value does not match regex pattern "^[^\\s]{2,512}$""#),
    ("{ruser}", r#"value does not match regex pattern "^[^\\s]{1,511}:[^\\s]{1,511}$""#),
    ("{obj}", r#"value does not match regex pattern "^[^\\s]{2,256}$""#),
    ("{rel}", r#"value does not match regex pattern "^[^:#@\\s]{1,50}$""#),
    ("{type}", r#"value does not match regex pattern "^[^:#@\\s]{1,254}$""#),
    ("{corr}", r#"value does not match regex pattern "^[\\w\\d-]{1,36}$""#),
    ("{token}", r#"value does not match regex pattern "^$|^[A-Za-z0-9-_]+={0,2}$""#),
    ("{range}", "value must be inside range [1, 100]"),
    ("{expand}", "Invalid input. Make sure you provide an object and a relation"),
    (
        "{nouser}",
        "the 'user' field must be an object (e.g. document:1) or an 'object#relation' or a typed wildcard (e.g. group:*)",
    ),
    (
        "{readkey}",
        "the 'tuple_key' field was provided but the object type field is required and both the object id and user cannot be empty",
    ),
];

/// The HTTP status that belongs to a number.
fn http_status(number: i32) -> u16 {
    match number {
        0 => 200,
        3 | 2000..3500 => 400,
        10 => 409,
        12 | 5000..6000 => 404,
        _ => 500,
    }
}

/// Number, name and text of an expectation. A text that begins with `*` need only be contained.
fn expected(row: &str) -> (i32, String, String) {
    let mut row = row.to_owned();
    for (short, long) in TEXTS {
        row = row.replace(short, long);
    }
    if row == "ok" {
        return (0, String::new(), String::new());
    }
    if let Some(rule) = row.strip_prefix('!') {
        let (rule, name) = rule.split_once(" => ").unwrap_or((rule, "validation_error"));
        let text = rule.replace(" > ", ": embedded message failed validation | caused by: invalid ");
        return (3, name.to_owned(), format!("invalid {text}"));
    }
    let (code, text) = row.split_once(": ").unwrap();
    let (number, name) = code.split_once(' ').unwrap();
    (number.parse().unwrap(), name.to_owned(), text.to_owned())
}

fn same(found: &str, expected: &str) -> bool {
    expected.strip_prefix('*').map_or(found == expected, |part| found.contains(part))
}

#[test]
fn every_call_refuses_as_openfga_does() {
    let server = Server::start();
    let mut rows = 0;
    let mut faults = Vec::new();
    for (call, request, expectation) in [STORES, CHECK, BATCH, LISTS, WRITE, READ, MODELS].concat() {
        rows += 1;
        let request: Value = serde_json::from_str(&expand(request, &server)).unwrap();
        let (number, name, text) = expected(&expand(expectation, &server));
        let short = text.rsplit_once("| caused by: ").map_or(text.as_str(), |(_, last)| last);
        let brief: String = request.to_string().chars().take(200).collect();
        let grpc = server.grpc(call, &request);
        if grpc.number != number || !same(&grpc.text, &text) {
            faults.push(format!(
                "gRPC {call} {brief}\n  expected {number} {text}\n  found    {} {}",
                grpc.number, grpc.text
            ));
        }
        if number == 0 && call.starts_with("Write") && request.to_string().contains("on_") {
            continue; // done once already
        }
        let http = server.http_call(call, &request);
        let status = http_status(number);
        let fine = match number {
            0 => (200..300).contains(&http.status),
            _ => {
                let body: Value = serde_json::from_str(&http.body).unwrap_or_default();
                http.status == status
                    && body["code"] == *name
                    && same(body["message"].as_str().unwrap_or(""), short.trim_end())
            }
        };
        if !fine {
            faults.push(format!(
                "HTTP {call} {brief}\n  expected {status} {name} {short}\n  found    {} {}",
                http.status, http.body
            ));
        }
    }
    assert!(faults.is_empty(), "{} of {rows} rows:\n{}", faults.len(), faults.join("\n"));
    assert!(rows >= 120, "{rows} rows");
}
