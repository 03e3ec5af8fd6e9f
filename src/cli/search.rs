//! `bailiwick search`: the nearest chunks among those that a user may see.

use super::Failure;
use super::chunk::{ChunkJson, beginning, line};
use super::chunk_files::{Input, question};
use super::collection::{InCollection, described};
use super::given::Given;
use super::place::{Place, State, fresh};
use super::show::{Look, Tone, count, grouped, note, paint, rows, say};
use bailiwick::api::{own_proto as pb, proto as fga};
use clap::Args;
use serde::Serialize;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the help shows.
pub(super) const EXAMPLES: &str = "\
Examples: bailiwick search --collection docs --user user:anne --vector-file question.npy
          bailiwick search --collection docs --user user:anne --like guide-1 --filter '{\"field\": \"lang\", \"equal\": \"en\"}'
          bailiwick search --collection docs --user user:anne --agent agent:helper --vector '[0.1, 0.7, 0.2]' --k 3";

/// `bailiwick search`
#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Search {
    /// Who asks: only what they may see is found
    #[arg(long, value_name = "USER")]
    user: String,
    /// Who asks on the user's behalf: then only what both may see
    #[arg(long, value_name = "USER")]
    agent: Option<String>,
    /// What is near to this vector, as in '[0.1, 0.7, 0.2]'
    #[arg(long, value_name = "JSON", group = "what")]
    vector: Option<String>,
    /// What is near to a row of this NumPy file
    #[arg(long, value_name = "FILE", group = "what")]
    vector_file: Option<PathBuf>,
    /// Which row of the file, counted from 0; may be left out when there is one only
    #[arg(long, value_name = "N", requires = "vector_file")]
    row: Option<u64>,
    /// What is near to this chunk, which the user must be allowed to see
    #[arg(long, value_name = "CHUNK", group = "what")]
    like: Option<String>,
    /// How many to find
    #[arg(long, value_name = "N", default_value_t = 10)]
    k: u32,
    /// The relation to the chunks' objects; that of the collection's guard when none is named
    #[arg(long)]
    relation: Option<String>,
    /// Only chunks whose payload this admits: JSON, as in '{"field": "lang", "equal": "en"}'
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Compare with all that may be seen, so that no nearer chunk is missed
    #[arg(long)]
    exact: bool,
    /// Print whole texts; without it a table shows their beginnings, JSON none
    #[arg(long, help_heading = "Output")]
    with_text: bool,
    /// Print payloads
    #[arg(long, help_heading = "Output")]
    with_payload: bool,
    #[command(flatten)]
    place: InCollection,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    look: Look,
}

impl Search {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        // What can be wrong with the question is said before a database is opened.
        let typed = self.typed()?;
        let contextual = self.given.contextual()?;
        let context = self.given.context()?;
        let (place, store_id) = self.place.store.open()?;
        let vector = match (typed, &self.like) {
            (Some(vector), _) => vector,
            (None, Some(id)) => self.seen(&place, &store_id, id)?,
            (None, None) => {
                return Err(Failure::Said("there is no vector; say --vector, --vector-file or --like".into()));
            }
        };
        let mut with = Vec::new();
        with.extend((self.with_text || !self.look.json).then(|| "text".to_owned()));
        with.extend(self.with_payload.then(|| "payload".to_owned()));
        let contextual_tuples = contextual
            .map(|given| pb::ContextualTupleKeys { tuple_keys: given.tuple_keys.into_iter().map(own).collect() });
        let message = pb::SearchRequest {
            store_id,
            collection: self.place.collection.clone(),
            user: self.user.clone(),
            agent: self.agent.clone(),
            vector,
            k: Some(self.k),
            relation: self.relation.clone(),
            filter: self.filter.clone(),
            exact: self.exact,
            contextual_tuples,
            context,
            with,
            authorization_model_id: self.state.model(),
            ..pb::SearchRequest::default()
        };
        let request = fresh(message, &self.state.freshness)?;
        let begun = Instant::now();
        let answer = place.chunks(async |mut client| client.search(request).await)?;
        let took = begun.elapsed();
        let result = answer.result.ok_or_else(|| Failure::Said("the server sent no result".into()))?;
        if self.look.json {
            say(as_json(&result, &answer.token)?);
        } else {
            self.tell(&result, took)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The vector that was typed or named, if one was.
    fn typed(&self) -> Result<Option<Vec<f32>>, Failure> {
        if let Some(text) = &self.vector {
            let vector: Result<Vec<f32>, _> = serde_json::from_str(text);
            return vector.map(Some).map_err(|error| {
                Failure::Said(format!("--vector is no list of numbers: {error}; write it as '[0.1, 0.7, 0.2]'"))
            });
        }
        let Some(path) = &self.vector_file else { return Ok(None) };
        let source = File::open(path).map_err(|reason| Failure::File { path: path.clone(), reason })?;
        let file = Input { path: path.clone(), source: Box::new(source) };
        question(file, self.row).map(Some).map_err(|fault| Failure::Said(fault.to_string()))
    }

    /// The vector of a chunk that user and agent may see. Whether there is another is not said.
    fn seen(&self, place: &Place, store_id: &str, id: &str) -> Result<Vec<f32>, Failure> {
        let collection = self.place.collection.clone();
        let relation = match &self.relation {
            Some(relation) => relation.clone(),
            None => described(place, store_id, &collection)?.guard.map(|guard| guard.relation).unwrap_or_default(),
        };
        let request = pb::GetChunksRequest {
            store_id: store_id.to_owned(),
            collection,
            ids: vec![id.to_owned()],
            with: vec!["vector".to_owned()],
        };
        let got = place.chunks(async |mut client| client.get_chunks(request).await)?;
        let chunk = got.chunks.into_iter().next();
        for user in std::iter::once(&self.user).chain(&self.agent) {
            let hidden = || Failure::Said(format!("there is no chunk `{id}` that `{user}` may see"));
            let chunk = chunk.as_ref().ok_or_else(hidden)?;
            let message = fga::CheckRequest {
                store_id: store_id.to_owned(),
                tuple_key: Some(fga::CheckRequestTupleKey {
                    user: user.clone(),
                    relation: relation.clone(),
                    object: chunk.object.clone(),
                }),
                authorization_model_id: self.state.model(),
                contextual_tuples: self.given.contextual()?,
                context: self.given.context()?,
                ..fga::CheckRequest::default()
            };
            let request = fresh(message, &self.state.freshness)?;
            if !place.ask(async |mut client| client.check(request).await)?.message.allowed {
                return Err(hidden());
            }
        }
        Ok(chunk.map(|chunk| chunk.vector).unwrap_or_default())
    }

    fn tell(&self, result: &pb::SearchResult, took: Duration) -> Result<(), Failure> {
        let mut head = vec!["rank", "score", "id", "object", "text"];
        head.extend(self.with_payload.then_some("payload"));
        let mut lines = Vec::with_capacity(result.hits.len());
        for (at, hit) in result.hits.iter().enumerate() {
            let chunk =
                hit.chunk.as_ref().ok_or_else(|| Failure::Said("the server sent a hit without a chunk".into()))?;
            let text = match &chunk.text {
                Some(text) if self.with_text => text.clone(),
                text => beginning(text.as_deref()),
            };
            let score = format!("{:.4}", hit.score);
            let mut line = vec![(at + 1).to_string(), score, chunk.id.clone(), chunk.object.clone(), text];
            line.extend(self.with_payload.then(|| chunk.payload.clone().unwrap_or_default()));
            lines.push(line);
        }
        if !lines.is_empty() {
            rows(&head, &lines);
        }
        let plan = result.plan.clone().unwrap_or_default();
        let how = match plan.kind.as_str() {
            "scan" => "scanned",
            "graph" => "by graph",
            "graph_then_scan" => "by graph, then scanned",
            other => other,
        };
        let admitted = if self.filter.is_some() { "visible and admitted" } else { "visible" };
        // Beside the answer, so that rows in a pipe are hits only.
        note(paint(
            &format!(
                "{} {admitted} to {}, {how}: {} compared by code, {} exactly, in {:.1} ms",
                count(result.visible, "chunk"),
                self.who(),
                grouped(plan.visited),
                grouped(plan.candidates),
                took.as_secs_f64() * 1000.0
            ),
            Tone::Faint,
        ));
        Ok(())
    }

    fn who(&self) -> String {
        match &self.agent {
            Some(agent) => format!("{} and {agent}", self.user),
            None => self.user.clone(),
        }
    }
}

/// A tuple between the two packages that have the message.
fn own(key: fga::TupleKey) -> pb::TupleKey {
    let condition = key.condition.map(|c| pb::RelationshipCondition { name: c.name, context: c.context });
    pb::TupleKey { user: key.user, relation: key.relation, object: key.object, condition }
}

/// The answer as over HTTP.
fn as_json(result: &pb::SearchResult, token: &str) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Plan<'a> {
        kind: &'a str,
        candidates: u64,
        visited: u64,
    }
    #[derive(Serialize)]
    struct Out<'a> {
        hits: Vec<ChunkJson<'a>>,
        visible: u64,
        plan: Plan<'a>,
        token: &'a str,
    }
    let mut hits = Vec::with_capacity(result.hits.len());
    for hit in &result.hits {
        if let Some(chunk) = &hit.chunk {
            let mut chunk = ChunkJson::of(chunk)?;
            chunk.score = Some(hit.score);
            hits.push(chunk);
        }
    }
    let plan = result.plan.as_ref().map(|p| Plan { kind: &p.kind, candidates: p.candidates, visited: p.visited });
    let plan = plan.unwrap_or(Plan { kind: "", candidates: 0, visited: 0 });
    line(&Out { hits, visible: result.visible, plan, token })
}
