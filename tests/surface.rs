//! The server answers OpenFGA's consolidated suite and the real worlds over gRPC and HTTP/JSON as the engine does in
//! process: through the generated client and through bytes written by hand.

use crate::conformance::{Asked, Surface, list, run, shared};
use crate::data::lines;
use crate::served::{Client, Http, Served, number};
use bailiwick::api::proto as pb;
use bailiwick::model::Model;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use tokio_stream::StreamExt;

/// Checks in one BatchCheck, and tuples in one Write: the most there may be.
const CHECKS: usize = 50;
const WRITES: usize = 100;

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

fn value(json: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap()),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(list) => Kind::ListValue(prost_types::ListValue { values: list.iter().map(value).collect() }),
        Value::Object(_) => Kind::StructValue(structure(json).unwrap()),
    };
    prost_types::Value { kind: Some(kind) }
}

fn structure(json: &Value) -> Option<prost_types::Struct> {
    let fields = json.as_object()?.iter().map(|(k, v)| (k.clone(), value(v))).collect();
    Some(prost_types::Struct { fields })
}

fn tuple_key(tuple: &Value) -> pb::TupleKey {
    let condition = tuple.get("condition").filter(|c| !c.is_null());
    pb::TupleKey {
        user: text(tuple, "user"),
        relation: text(tuple, "relation"),
        object: text(tuple, "object"),
        condition: condition
            .map(|c| pb::RelationshipCondition { name: text(c, "name"), context: structure(&c["context"]) }),
    }
}

fn check_key(tuple: &Value) -> pb::CheckRequestTupleKey {
    let pb::TupleKey { user, relation, object, .. } = tuple_key(tuple);
    pb::CheckRequestTupleKey { user, relation, object }
}

fn contextual(tuples: &[Value]) -> Option<pb::ContextualTupleKeys> {
    Some(pb::ContextualTupleKeys { tuple_keys: tuples.iter().map(tuple_key).collect() })
}

/// A subject as text.
fn subject(user: &pb::User) -> String {
    match user.user.as_ref().unwrap() {
        pb::user::User::Object(o) => format!("{}:{}", o.r#type, o.id),
        pb::user::User::Userset(u) => format!("{}:{}#{}", u.r#type, u.id, u.relation),
        pb::user::User::Wildcard(w) => format!("{}:*", w.r#type),
    }
}

struct Grpc<'a> {
    served: &'a Served,
    client: Client,
    store: String,
}

impl Grpc<'_> {
    fn new(served: &Served) -> Grpc<'_> {
        Grpc { served, client: served.client(), store: String::new() }
    }

    /// Waits for a call's answer.
    fn wait<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<tonic::Response<T>, tonic::Status> {
        self.served.runtime.block_on(call)
    }
}

impl Surface for Grpc<'_> {
    fn store(&mut self) {
        let mut client = self.client.clone();
        let made = self.wait(client.create_store(pb::CreateStoreRequest { name: "suite".into() })).unwrap();
        self.store = made.into_inner().id;
    }

    /// Through the JSON surface: the message is the same, and its JSON form is at hand.
    fn model(&mut self, model: Model) {
        let path = format!("/stores/{}/authorization-models", self.store);
        let answer = self.served.http().send("POST", &path, &[], model.to_json().to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.json());
    }

    fn write(&mut self, tuples: &[Value]) {
        let mut client = self.client.clone();
        for chunk in tuples.chunks(WRITES) {
            let writes = pb::WriteRequestWrites {
                tuple_keys: chunk.iter().map(tuple_key).collect(),
                on_duplicate: String::new(),
            };
            let request = pb::WriteRequest { store_id: self.store.clone(), writes: Some(writes), ..Default::default() };
            self.wait(client.write(request)).unwrap();
        }
    }

    fn check(&mut self, key: &Value, asked: &Asked<'_>) -> Result<bool, u64> {
        let request = pb::CheckRequest {
            store_id: self.store.clone(),
            tuple_key: Some(check_key(key)),
            contextual_tuples: contextual(&asked.tuples),
            context: structure(asked.context),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = self.wait(client.check(request)).map_err(|status| number(&status))?;
        Ok(answer.into_inner().allowed)
    }

    fn list_objects(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let request = pb::ListObjectsRequest {
            store_id: self.store.clone(),
            r#type: text(request, "type"),
            relation: text(request, "relation"),
            user: text(request, "user"),
            contextual_tuples: contextual(&asked.tuples),
            context: structure(asked.context),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = self.wait(client.list_objects(request)).map_err(|status| number(&status))?;
        Ok(answer.into_inner().objects)
    }

    fn streamed(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let request = pb::StreamedListObjectsRequest {
            store_id: self.store.clone(),
            r#type: text(request, "type"),
            relation: text(request, "relation"),
            user: text(request, "user"),
            contextual_tuples: contextual(&asked.tuples),
            context: structure(asked.context),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = self.wait(client.streamed_list_objects(request)).map_err(|status| number(&status))?;
        let items = self.served.runtime.block_on(answer.into_inner().collect::<Vec<_>>());
        items.into_iter().map(|item| item.map(|i| i.object).map_err(|status| number(&status))).collect()
    }

    fn list_users(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let filter = request["filters"][0].as_str().unwrap();
        let (kind, relation) = filter.split_once('#').unwrap_or((filter, ""));
        let object = text(request, "object");
        let (object_type, id) = object.split_once(':').unwrap_or((&object, ""));
        let request = pb::ListUsersRequest {
            store_id: self.store.clone(),
            object: Some(pb::Object { r#type: object_type.into(), id: id.into() }),
            relation: text(request, "relation"),
            user_filters: vec![pb::UserTypeFilter { r#type: kind.into(), relation: relation.into() }],
            contextual_tuples: asked.tuples.iter().map(tuple_key).collect(),
            context: structure(asked.context),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = self.wait(client.list_users(request)).map_err(|status| number(&status))?;
        Ok(answer.into_inner().users.iter().map(subject).collect())
    }
}

/// The gRPC numbers of the codes that HTTP bodies name; written down here a second time, on purpose.
fn number_of(code: &str) -> u64 {
    match code {
        "validation_error" => 2000,
        "authorization_model_not_found" => 2001,
        "authorization_model_resolution_too_complex" => 2002,
        "type_not_found" => 2021,
        "relation_not_found" => 2022,
        "invalid_tuple" => 2027,
        other => panic!("an unexpected code: {other}"),
    }
}

struct Json {
    http: Http,
    store: String,
}

impl Json {
    fn post(&mut self, call: &str, body: &Value) -> Result<Vec<u8>, u64> {
        let path = format!("/stores/{}/{call}", self.store);
        let answer =
            self.http.send("POST", &path, &[("content-type", "application/json")], body.to_string().as_bytes());
        if answer.status < 300 {
            return Ok(answer.body);
        }
        assert_eq!(answer.status, 400, "{}", answer.json());
        Err(number_of(answer.json()["code"].as_str().unwrap()))
    }

    fn question(asked: &Asked<'_>, more: Value) -> Value {
        let mut body = json!({"context": asked.context.as_object().cloned().unwrap_or_default()});
        body["contextual_tuples"] = json!({"tuple_keys": asked.tuples});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }
}

fn strings(value: &Value) -> Vec<String> {
    list(value).iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

impl Surface for Json {
    fn store(&mut self) {
        let made = self.http.send("POST", "/stores", &[], br#"{"name": "suite"}"#);
        assert_eq!(made.status, 201, "{}", made.json());
        self.store = text(&made.json(), "id");
    }

    fn model(&mut self, model: Model) {
        self.post("authorization-models", &model.to_json()).unwrap();
    }

    fn write(&mut self, tuples: &[Value]) {
        for chunk in tuples.chunks(WRITES) {
            self.post("write", &json!({"writes": {"tuple_keys": chunk}})).unwrap();
        }
    }

    fn check(&mut self, key: &Value, asked: &Asked<'_>) -> Result<bool, u64> {
        let body = self.post("check", &Json::question(asked, json!({"tuple_key": key})))?;
        Ok(serde_json::from_slice::<Value>(&body).unwrap()["allowed"].as_bool().unwrap())
    }

    fn list_objects(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let question = json!({"type": request["type"], "relation": request["relation"], "user": request["user"]});
        let body = self.post("list-objects", &Json::question(asked, question))?;
        Ok(strings(&serde_json::from_slice::<Value>(&body).unwrap()["objects"]))
    }

    fn streamed(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let question = json!({"type": request["type"], "relation": request["relation"], "user": request["user"]});
        let body = self.post("streamed-list-objects", &Json::question(asked, question))?;
        let lines = std::str::from_utf8(&body).unwrap().lines();
        lines
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["result"]["object"].as_str().map(str::to_owned).ok_or_else(|| panic!("{line}"))
            })
            .collect()
    }

    fn list_users(&mut self, request: &Value, asked: &Asked<'_>) -> Result<Vec<String>, u64> {
        let filter = request["filters"][0].as_str().unwrap();
        let (kind, relation) = filter.split_once('#').unwrap_or((filter, ""));
        let object = text(request, "object");
        let (object_type, id) = object.split_once(':').unwrap_or((&object, ""));
        let mut question = json!({"object": {"type": object_type, "id": id}, "relation": request["relation"]});
        question["user_filters"] = json!([{"type": kind, "relation": relation}]);
        let mut body = Json::question(asked, question);
        body["contextual_tuples"] = json!(asked.tuples); // here the list itself
        let answer = self.post("list-users", &body)?;
        let users = &serde_json::from_slice::<Value>(&answer).unwrap()["users"];
        let name = |user: &Value| match (&user["object"], &user["userset"], &user["wildcard"]) {
            (Value::Object(o), _, _) => format!("{}:{}", o["type"].as_str().unwrap(), o["id"].as_str().unwrap()),
            (_, Value::Object(u), _) => {
                let part = |key: &str| u[key].as_str().unwrap();
                format!("{}:{}#{}", part("type"), part("id"), part("relation"))
            }
            (_, _, wildcard) => format!("{}:*", wildcard["type"].as_str().unwrap()),
        };
        Ok(list(users).iter().map(name).collect())
    }
}

#[test]
fn consolidated_suite_over_grpc() {
    let served = Served::start();
    run(&mut Grpc::new(&served));
}

#[test]
fn consolidated_suite_over_http() {
    let served = Served::start();
    run(&mut Json { http: served.http(), store: String::new() });
}

fn plain() -> Asked<'static> {
    Asked { tuples: Vec::new(), context: &Value::Null }
}

/// Asks every check of a folder in batches, and every list, over gRPC.
fn world(folder: &Path) {
    let served = Served::start();
    let mut grpc = Grpc::new(&served);
    grpc.store();
    grpc.model(Model::parse_dsl(&std::fs::read_to_string(folder.join("model.fga")).unwrap()).unwrap());
    grpc.write(&lines(&folder.join("tuples.jsonl.zst")));
    for cases in lines(&folder.join("checks.jsonl.zst")).chunks(CHECKS) {
        let item = |(n, case): (usize, &Value)| pb::BatchCheckItem {
            tuple_key: Some(check_key(case)),
            correlation_id: n.to_string(),
            ..Default::default()
        };
        let checks = cases.iter().enumerate().map(item).collect();
        let request = pb::BatchCheckRequest { store_id: grpc.store.clone(), checks, ..Default::default() };
        let mut client = grpc.client.clone();
        let answers = grpc.wait(client.batch_check(request)).unwrap().into_inner().result;
        assert_eq!(answers.len(), cases.len());
        for (n, case) in cases.iter().enumerate() {
            let allowed = case["allowed"].as_bool().unwrap();
            let expected = pb::batch_check_single_result::CheckResult::Allowed(allowed);
            assert_eq!(answers[&n.to_string()].check_result, Some(expected), "{case}");
        }
    }
    for case in lines(&folder.join("list_objects.jsonl.zst")) {
        let listed = grpc.list_objects(&case, &plain()).unwrap();
        let streamed: BTreeSet<String> = grpc.streamed(&case, &plain()).unwrap().into_iter().collect();
        let set: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(listed.len() as u64, case["count"].as_u64().unwrap(), "{} {}", case["user"], case["relation"]);
        assert_eq!(set.len(), listed.len(), "{} {}: repeats", case["user"], case["relation"]);
        assert!(streamed == set, "{} {}: the stream differs", case["user"], case["relation"]);
        if case["objects"].is_array() {
            assert!(set == strings(&case["objects"]).into_iter().collect(), "{} {}", case["user"], case["relation"]);
        }
    }
    for case in lines(&folder.join("list_users.jsonl.zst")) {
        let mut request = case.clone();
        request["filters"] = json!(["user"]);
        let listed: BTreeSet<String> = grpc.list_users(&request, &plain()).unwrap().into_iter().collect();
        let wildcard = case["wildcard"].as_bool().unwrap();
        assert_eq!(listed.contains("user:*"), wildcard, "{} {}", case["object"], case["relation"]);
        if !wildcard {
            assert!(listed == strings(&case["users"]).into_iter().collect(), "{} {}", case["object"], case["relation"]);
        }
    }
}

#[test]
fn kubernetes_organization_over_grpc() {
    if let Some(folder) = shared("data/k8s-org") {
        world(&folder);
    }
}

#[test]
fn kubernetes_documents_over_grpc() {
    if let Some(folder) = shared("data/k8s-docs") {
        world(&folder);
    }
}
