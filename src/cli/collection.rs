//! `bailiwick collection`: create, list, show and delete collections of chunks.

use super::Failure;
use super::care::spinner;
use super::place::{InStore, Place};
use super::show::{Look, bytes, count, grouped, note, rows, say, terminal};
use super::store::sure;
use bailiwick::api::own_proto as pb;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// How long to wait for a directory's graph.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What is near to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Metric {
    /// The angle between vectors; their lengths do not matter
    Cosine,
    /// The inner product
    Dot,
    /// The distance
    Euclid,
}

/// How an element of a vector is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Element {
    /// 4 bytes
    F32,
    /// 2 bytes
    F16,
}

impl Metric {
    /// Its name on the wire.
    pub(super) fn text(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::Euclid => "euclid",
        }
    }
}

impl Element {
    /// Its name on the wire.
    pub(super) fn text(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
        }
    }
}

/// Which collection of which store.
#[derive(Args)]
pub(super) struct InCollection {
    #[command(flatten)]
    pub(super) store: InStore,
    /// The collection's name
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub(super) collection: String,
}

/// A collection holds chunks of text with their vectors, each guarded by an object: who has a relation to it may find it.
#[derive(Subcommand)]
pub(super) enum Collection {
    /// Make a collection
    #[command(
        after_help = "Example: bailiwick collection create --name docs --dimension 384 --guard document#can_view"
    )]
    Create(Create),
    /// List the collections of a store
    #[command(after_help = "Example: bailiwick collection list")]
    List(List),
    /// Print what a collection holds and what it costs
    #[command(after_help = "Example: bailiwick collection show --name docs")]
    Show(One),
    /// Delete a collection with all that is in it
    #[command(after_help = "Example: bailiwick collection delete --name docs --yes")]
    Delete(Delete),
}

#[derive(Args)]
pub(super) struct Create {
    /// Its name: letters, digits, `-`, `_` and `.`
    #[arg(long)]
    name: String,
    /// Elements of a vector
    #[arg(long, value_name = "N")]
    dimension: u32,
    /// What is near to what
    #[arg(long, value_enum, default_value = "cosine")]
    metric: Metric,
    /// How elements are kept
    #[arg(long, value_enum, default_value = "f32")]
    element: Element,
    /// Who may see a chunk: the type of the objects that chunks belong to and a relation, as in document#can_view
    #[arg(long, value_name = "TYPE#RELATION")]
    guard: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct One {
    /// Its name
    #[arg(long)]
    name: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Delete {
    #[command(flatten)]
    of: One,
    /// Do not ask first
    #[arg(long, short)]
    yes: bool,
}

impl Collection {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Collection::Create(create) => create.run()?,
            Collection::List(list) => list.run()?,
            Collection::Show(one) => one.run()?,
            Collection::Delete(delete) => return delete.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads `document#can_view`.
pub(super) fn guard(text: &str) -> Result<pb::Guard, Failure> {
    match text.split_once('#') {
        Some((object_type, relation)) if !object_type.is_empty() && !relation.is_empty() => {
            Ok(pb::Guard { r#type: object_type.to_owned(), relation: relation.to_owned() })
        }
        Some(_) | None => {
            Err(Failure::Said(format!("`{text}` names no type and relation; write it as document#can_view")))
        }
    }
}

/// The guard as people write it.
pub(super) fn guard_text(of: &pb::Collection) -> String {
    of.guard.as_ref().map(|guard| format!("{}#{}", guard.r#type, guard.relation)).unwrap_or_default()
}

/// A collection's description.
pub(super) fn described(place: &Place, store_id: &str, collection: &str) -> Result<pb::Collection, Failure> {
    let request = pb::GetCollectionRequest { store_id: store_id.to_owned(), collection: collection.to_owned() };
    place.chunks(async |mut client| client.get_collection(request).await)
}

/// All collections of a store.
pub(super) fn listed(place: &Place, store_id: &str) -> Result<Vec<pb::Collection>, Failure> {
    let request = pb::ListCollectionsRequest { store_id: store_id.to_owned() };
    Ok(place.chunks(async |mut client| client.list_collections(request).await)?.collections)
}

/// As over HTTP.
fn as_json(of: &pb::Collection) -> Value {
    let memory = of.memory.unwrap_or_default();
    json!({
        "name": of.name, "dimension": of.dimension, "metric": of.metric, "element": of.element,
        "guard": of.guard.as_ref().map(|guard| json!({"type": guard.r#type, "relation": guard.relation})),
        "created_at": of.created_at.as_ref().map(ToString::to_string),
        "chunks": of.chunks, "objects": of.objects, "rows": of.rows, "graph_rows": of.graph_rows,
        "memory": {
            "vectors": memory.vectors, "codes": memory.codes, "maps": memory.maps, "payloads": memory.payloads,
            "graph": memory.graph, "disk": memory.disk,
        },
        "kernel": of.kernel,
    })
}

impl Create {
    fn run(&self) -> Result<(), Failure> {
        let guard = Some(guard(&self.guard)?);
        let (place, store_id) = self.place.open()?;
        let request = pb::CreateCollectionRequest {
            store_id,
            name: self.name.clone(),
            dimension: self.dimension,
            metric: self.metric.text().to_owned(),
            element: Some(self.element.text().to_owned()),
            guard,
        };
        let made = place.chunks(async |mut client| client.create_collection(request).await)?;
        if self.look.json {
            say(as_json(&made));
        } else {
            say(format!("created {}: {}", made.name, kind(&made)));
        }
        Ok(())
    }
}

/// What it holds, in a line.
pub(super) fn kind(of: &pb::Collection) -> String {
    format!("{} elements, {}, {}, seen by {}", of.dimension, of.metric, of.element, guard_text(of))
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let (place, store_id) = self.place.open()?;
        let found = listed(&place, &store_id)?;
        if self.look.json {
            say(json!({"collections": found.iter().map(as_json).collect::<Vec<_>>()}));
            return Ok(());
        }
        let line = |of: &pb::Collection| {
            let memory = bytes(total(of.memory.unwrap_or_default()));
            let (metric, element) = (of.metric.clone(), of.element.clone());
            vec![of.name.clone(), guard_text(of), of.dimension.to_string(), metric, element, grouped(of.chunks), memory]
        };
        let lines: Vec<Vec<String>> = found.iter().map(line).collect();
        rows(&["name", "guard", "dimension", "metric", "element", "chunks", "memory"], &lines);
        if terminal() {
            note(count(found.len() as u64, "collection"));
        }
        Ok(())
    }
}

fn total(memory: pb::CollectionMemory) -> u64 {
    let pb::CollectionMemory { vectors, codes, maps, payloads, graph, disk: _ } = memory;
    vectors + codes + maps + payloads + graph
}

impl One {
    fn run(&self) -> Result<(), Failure> {
        let (place, store_id) = self.place.open()?;
        // A directory that was just opened reads its graphs in the background.
        if let Some(engine) = place.engine() {
            let bar = spinner("reading the graph");
            let settled = engine.settle(SETTLE_TIMEOUT);
            bar.finish_and_clear();
            if !settled {
                note("the graph is still being built; what is shown is how far it is");
            }
        }
        let of = described(&place, &store_id, &self.name)?;
        if self.look.json {
            say(as_json(&of));
        } else {
            tell(&of);
        }
        Ok(())
    }
}

fn tell(of: &pb::Collection) {
    let memory = of.memory.unwrap_or_default();
    let line = |what: &str, value: String, each: String| vec![what.to_owned(), value, each];
    let part = |what: &str, size: u64| {
        let each = if of.chunks == 0 { String::new() } else { format!("{} bytes", grouped(size.div_ceil(of.chunks))) };
        line(what, bytes(size), each)
    };
    let covered = match of.rows {
        0 => String::new(),
        all => format!("{:.1} %", 100.0 * of.graph_rows as f64 / all as f64),
    };
    let created = of.created_at.as_ref().map(ToString::to_string).unwrap_or_default();
    rows(
        &[of.name.as_str(), "", "a vector"],
        &[
            line("guard", guard_text(of), String::new()),
            line("vectors", format!("{} elements, {}, {}", of.dimension, of.metric, of.element), String::new()),
            line("chunks", grouped(of.chunks), String::new()),
            line("objects with chunks", grouped(of.objects), String::new()),
            part("memory", total(memory)),
            part("  vectors", memory.vectors),
            part("  codes", memory.codes),
            part("  maps", memory.maps),
            part("  ids and payloads", memory.payloads),
            part("  graph", memory.graph),
            part("vectors on disk", memory.disk),
            line("graph covers", format!("{} of {}", grouped(of.graph_rows), count(of.rows, "row")), covered),
            line("kernel", of.kernel.clone(), String::new()),
            line("created", created, String::new()),
        ],
    );
}

impl Delete {
    fn run(&self) -> Result<ExitCode, Failure> {
        let One { name, place, look } = &self.of;
        let (place, store_id) = place.open()?;
        let of = described(&place, &store_id, name)?;
        if !self.yes && !sure(&format!("collection `{name}`"), &format!(" ({})", count(of.chunks, "chunk")))? {
            return Ok(ExitCode::from(1));
        }
        let request = pb::DeleteCollectionRequest { store_id, collection: name.clone() };
        let done = place.chunks(async |mut client| client.delete_collection(request).await)?;
        if look.json {
            say(json!({"deleted": name, "token": done.token}));
        } else {
            say(format!("deleted {name}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
