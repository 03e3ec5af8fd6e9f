//! `bailiwick demo`: a real server on a small company, the questions that matter over gRPC and HTTP, a search, and
//! how long each took.

mod search;
mod web;
mod world;

use super::Failure;
use super::place::{Answer, Freshness, Place, fresh};
use super::show::{Tone, paint, say, wrapped};
use bailiwick::api::proto as pb;
use bailiwick::engine::Engine;
use bailiwick::model::Model;
use bailiwick::server::{Settings, serve};
use bailiwick::wire::fresh_id;
use serde_json::json;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tonic::transport::ClientTlsConfig;
use web::Web;
use world::{CHECKS, CONDITIONAL, MODEL, TUPLES};

/// How long the server may take to listen.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines are broken here, so that they fit a small terminal.
const WIDTH: usize = 78;

/// Runs the demonstration in a temporary directory.
pub(super) fn run() -> Result<ExitCode, Failure> {
    let directory = std::env::temp_dir().join(format!("bailiwick-demo-{}", fresh_id()));
    let told = served(&directory);
    let _ = std::fs::remove_dir_all(&directory); // a leftover in the temporary directory harms nobody
    told
}

/// Starts the server, tells the story, and stops the server.
fn served(directory: &std::path::Path) -> Result<ExitCode, Failure> {
    let engine = Engine::open(directory)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, addresses) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Said(format!("no threads: {error}")))?;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings =
            Settings { http: free, grpc: free, drain_timeout: Duration::from_secs(1), ..Settings::default() };
        let said = move |http, grpc| {
            let _ = ready.send((http, grpc)); // nobody waits any more: the story has failed
        };
        runtime.block_on(serve(engine, settings, said, async {
            let _ = stopped.await; // an error means that the story has ended as well
        }))?;
        Ok(())
    });
    let told = match addresses.recv_timeout(START_TIMEOUT) {
        Ok((http, grpc)) => tell(http, grpc),
        Err(_) => Err(Failure::Said("the server did not start".into())),
    };
    drop(stop);
    match server.join() {
        Ok(served) => served.and(told),
        Err(_) => Err(Failure::Said("the server broke off".into())),
    }
}

/// Both ways to the server.
struct Clients {
    place: Place,
    web: Web,
    store: String,
}

fn tell(http: SocketAddr, grpc: SocketAddr) -> Result<ExitCode, Failure> {
    title("A company");
    say(format!("A server listens here: HTTP on http://{http}, gRPC on http://{grpc}."));
    let (mut clients, took) = timed(|| company(http, grpc))?;
    let tuples = TUPLES.len() + 1;
    say(format!("A store, its model and {tuples} tuples are written and safe on disk after {}.", time(took)));
    say("\nThe heart of the model, in OpenFGA's language:\n");
    for line in MODEL.lines().filter(|l| l.contains("or ") || l.contains("but not")) {
        say(format!("  {}", line.trim()));
    }
    title("May they view it?");
    let wrong = checks(&mut clients)?;
    title("Lists, whole");
    lists(&clients)?;
    title("The nearest of what they may see");
    let wrong = wrong + search::seekers(&mut clients)?;
    title("A revocation, seen by the next question");
    revocation(&mut clients)?;
    let wrong = wrong + search::without_a_group(&mut clients)?;
    title("Go on");
    let program = std::env::current_exe().map_or_else(|_| "bailiwick".into(), |p| p.display().to_string());
    say(format!("  {program} serve --data ./data\n"));
    say("starts a server for you. README.md shows the next steps: a model, a tuple, a check");
    say("with curl, with the fga CLI, from a program, and a search in your own vectors.");
    say("This world is src/cli/demo/world.rs.");
    if wrong > 0 {
        return Err(Failure::Said(format!("{wrong} answers are wrong; this is a bug, please report it")));
    }
    Ok(ExitCode::SUCCESS)
}

fn title(text: &str) {
    say(format!("\n{}\n", paint(text, Tone::Strong)));
}

fn timed<T>(question: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let start = Instant::now();
    let answer = question()?;
    Ok((answer, start.elapsed()))
}

/// A time as a person reads it.
fn time(took: Duration) -> String {
    let us = took.as_secs_f64() * 1e6;
    if us < 1000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1000.0) }
}

/// Writes the company: the store and the tuples over gRPC, the model over HTTP as JSON.
fn company(http: SocketAddr, grpc: SocketAddr) -> Result<Clients, Failure> {
    let place = Place::there(format!("http://{grpc}"), &ClientTlsConfig::new())?;
    let mut web = Web::connect(http)?;
    let request = pb::CreateStoreRequest { name: "demo".into() };
    let store = place.ask(async |mut client| client.create_store(request).await)?.message.id;
    let model = Model::parse_dsl(MODEL).map_err(|errors| Failure::Said(format!("{errors:?}")))?;
    web.post(&format!("/stores/{store}/authorization-models"), &model.to_json())?;
    let key = |(object, relation, user): (&str, &str, &str), condition: Option<&str>| pb::TupleKey {
        user: user.into(),
        relation: relation.into(),
        object: object.into(),
        condition: condition.map(|name| pb::RelationshipCondition { name: name.into(), context: None }),
    };
    let mut tuple_keys: Vec<pb::TupleKey> = TUPLES.iter().map(|tuple| key(*tuple, None)).collect();
    let (object, relation, user, condition) = CONDITIONAL;
    tuple_keys.push(key((object, relation, user), Some(condition)));
    write(&place, &store, tuple_keys, Vec::new())?;
    Ok(Clients { place, web, store })
}

/// Writes and deletes tuples.
fn write(
    place: &Place,
    store: &str,
    writes: Vec<pb::TupleKey>,
    deletes: Vec<pb::TupleKeyWithoutCondition>,
) -> Result<Answer<pb::WriteResponse>, Failure> {
    let some = |empty: bool| (!empty).then_some(());
    let request = pb::WriteRequest {
        store_id: store.to_owned(),
        writes: some(writes.is_empty())
            .map(|()| pb::WriteRequestWrites { tuple_keys: writes, on_duplicate: String::new() }),
        deletes: some(deletes.is_empty())
            .map(|()| pb::WriteRequestDeletes { tuple_keys: deletes, on_missing: String::new() }),
        ..pb::WriteRequest::default()
    };
    place.ask(async |mut client| client.write(request).await)
}

/// May the user view the object, over gRPC?
fn check(
    clients: &Clients,
    user: &str,
    object: &str,
    hour: Option<u8>,
    freshness: &Freshness,
) -> Result<bool, Failure> {
    let number = |h| prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(f64::from(h))) };
    let context = hour.map(|h| prost_types::Struct { fields: [("hour".to_owned(), number(h))].into() });
    let message = pb::CheckRequest {
        store_id: clients.store.clone(),
        tuple_key: Some(pb::CheckRequestTupleKey {
            user: user.into(),
            relation: "viewer".into(),
            object: object.into(),
        }),
        context,
        ..pb::CheckRequest::default()
    };
    let request = fresh(message, freshness)?;
    Ok(clients.place.ask(async |mut client| client.check(request).await)?.message.allowed)
}

/// Asks every question over gRPC and over HTTP. Returns how many answers are wrong.
fn checks(clients: &mut Clients) -> Result<usize, Failure> {
    let mut wrong = 0;
    for asked in &CHECKS {
        let now = Freshness::default();
        let (allowed, grpc) = timed(|| check(clients, asked.user, asked.object, asked.hour, &now))?;
        let mut body = json!({"tuple_key": {"user": asked.user, "relation": "viewer", "object": asked.object}});
        if let (Some(hour), Some(map)) = (asked.hour, body.as_object_mut()) {
            map.insert("context".into(), json!({"hour": hour}));
        }
        let path = format!("/stores/{}/check", clients.store);
        let (answer, http) = timed(|| clients.web.post(&path, &body))?;
        let same = answer.get("allowed").and_then(serde_json::Value::as_bool) == Some(allowed);
        let right = same && allowed == asked.allowed;
        wrong += usize::from(!right);
        let word = if allowed { paint("allow", Tone::Good) } else { paint("deny ", Tone::Bad) };
        let wonder = if right { "" } else { "  WRONG" };
        let (user, object) = (asked.user, asked.object);
        let (grpc, http) = (time(grpc), time(http));
        say(format!("  {word}  {user:<13} {object:<21} gRPC {grpc:>7}  HTTP {http:>7}{wonder}"));
        for line in wrapped(asked.why, WIDTH - 9) {
            say(format!("         {}", paint(&line, Tone::Faint)));
        }
    }
    Ok(wrong)
}

fn lists(clients: &Clients) -> Result<(), Failure> {
    let hour = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(10.0)) };
    let context = Some(prost_types::Struct { fields: [("hour".to_owned(), hour)].into() });
    for (user, name) in [("user:anne", "Anne"), ("user:carl", "Carl, at 10 o'clock,")] {
        let request = pb::ListObjectsRequest {
            store_id: clients.store.clone(),
            r#type: "document".into(),
            relation: "viewer".into(),
            user: user.into(),
            context: context.clone(),
            ..pb::ListObjectsRequest::default()
        };
        let (answer, took) = timed(|| clients.place.ask(async |mut client| client.list_objects(request).await))?;
        say(format!("  What may {name} view?  {}  {}", answer.message.objects.join(", "), time(took)));
    }
    let request = pb::ListUsersRequest {
        store_id: clients.store.clone(),
        object: Some(pb::Object { r#type: "document".into(), id: "plan".into() }),
        relation: "viewer".into(),
        user_filters: vec![pb::UserTypeFilter { r#type: "user".into(), relation: String::new() }],
        context,
        ..pb::ListUsersRequest::default()
    };
    let (answer, took) = timed(|| clients.place.ask(async |mut client| client.list_users(request).await))?;
    let users: Vec<String> = answer.message.users.iter().map(super::question::user_text).collect();
    say(format!("  Who may view the plan?  {}  {}", users.join(", "), time(took)));
    Ok(())
}

/// Anne leaves the writers; the question after sees it, and one that names the state before does not.
fn revocation(clients: &mut Clients) -> Result<(), Failure> {
    let plan = |freshness: &Freshness| check(clients, "user:anne", "document:plan", None, freshness);
    let before = pb::CheckRequest {
        store_id: clients.store.clone(),
        tuple_key: Some(pb::CheckRequestTupleKey {
            user: "user:anne".into(),
            relation: "viewer".into(),
            object: "document:plan".into(),
        }),
        ..pb::CheckRequest::default()
    };
    let before = clients.place.ask(async |mut client| client.check(before).await)?.token;
    let left = pb::TupleKeyWithoutCondition {
        user: "user:anne".into(),
        relation: "member".into(),
        object: "group:writers".into(),
    };
    let (answer, took) = timed(|| write(&clients.place, &clients.store, Vec::new(), vec![left]))?;
    let token = answer.token.unwrap_or_default();
    say(format!("  Anne leaves the writers; that is safe on disk after {}.", time(took)));
    say(format!("  The answer carries a token of the state it made: {token}"));
    let at_least = Freshness { at_least: Some(token), exactly: None };
    let (allowed, took) = timed(|| plan(&at_least))?;
    let word = |allowed| if allowed { paint("allow", Tone::Good) } else { paint("deny", Tone::Bad) };
    say(format!("  May she view the plan, seen at least at that token?  {}  {}", word(allowed), time(took)));
    let exactly = Freshness { at_least: None, exactly: before };
    let (was, took) = timed(|| plan(&exactly))?;
    say(format!("  And exactly as it was before?  {}  {}", word(was), time(took)));
    if allowed || !was {
        return Err(Failure::Said("an answer is wrong; this is a bug, please report it".into()));
    }
    Ok(())
}
