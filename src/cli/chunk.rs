//! `bailiwick chunk`: get, list and delete the chunks of a collection; `chunk_import` writes them.

use super::Failure;
use super::chunk_import::Import;
use super::collection::InCollection;
use super::show::{Look, Tone, count, note, paint, print, rows, say, terminal};
use bailiwick::api::own_proto as pb;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::process::ExitCode;

/// Chunks of a page.
const PAGE: u32 = 200;
/// Chunks that are listed when nobody says how many.
const LIMIT_DEFAULT: usize = 100;
/// Ids of one request.
const IDS_MAX: usize = 1000;
/// Characters of a text that a table shows.
const BEGINNING_CHARS: usize = 60;

/// A chunk is a piece of text with its vector. The object that guards it says who may find it.
#[derive(Subcommand)]
pub(super) enum Chunk {
    /// Import chunks with their vectors from files: exit code 0 all in, 1 refused ones left out, 2 stopped
    #[command(after_help = super::chunk_import::EXAMPLES)]
    Import(Box<Import>),
    /// Print chunks whole: exit code 1 when one is not there
    #[command(after_help = "Example: bailiwick chunk get --collection docs guide-1 guide-2")]
    Get(Get),
    /// List chunks; with --json one object a line
    #[command(after_help = "Examples: bailiwick chunk list --collection docs --object document:1\n          \
                            bailiwick chunk list --collection docs --filter '{\"field\": \"year\", \"range\": {\"gte\": 2024}}'")]
    List(List),
    /// Delete chunks
    #[command(after_help = "Examples: bailiwick chunk delete --collection docs --id guide-1 --id guide-2\n          \
                            bailiwick chunk delete --collection docs --object document:1")]
    Delete(Delete),
}

#[derive(Args)]
pub(super) struct Get {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print vectors too, as they are compared: normalised under cosine, rounded when kept as f16
    #[arg(long, help_heading = "Output")]
    with_vector: bool,
    #[command(flatten)]
    place: InCollection,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct List {
    /// Only chunks of this object
    #[arg(long)]
    object: Option<String>,
    /// Only chunks whose payload this admits: JSON, as in '{"field": "lang", "equal": "en"}'
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Chunks to list at most
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    #[command(flatten)]
    place: InCollection,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(super) struct Delete {
    /// The chunk with this id; may be said several times
    #[arg(long = "id", value_name = "ID", group = "which")]
    ids: Vec<String>,
    /// All chunks of this object; may be said several times
    #[arg(long = "object", value_name = "OBJECT", group = "which")]
    objects: Vec<String>,
    #[command(flatten)]
    place: InCollection,
    #[command(flatten)]
    look: Look,
}

impl Chunk {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Chunk::Import(import) => import.run(),
            Chunk::Get(get) => get.run(),
            Chunk::List(list) => list.run().map(|()| ExitCode::SUCCESS),
            Chunk::Delete(delete) => delete.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// A chunk as JSON, as over HTTP.
#[derive(Serialize)]
pub(super) struct ChunkJson<'a> {
    id: &'a str,
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    vector: &'a [f32],
}

impl<'a> ChunkJson<'a> {
    pub(super) fn of(chunk: &'a pb::Chunk) -> Result<ChunkJson<'a>, Failure> {
        let payload = chunk.payload.as_deref().map(serde_json::from_str).transpose();
        let payload = payload.map_err(|error| Failure::Said(format!("the payload of `{}`: {error}", chunk.id)))?;
        Ok(ChunkJson {
            id: &chunk.id,
            object: &chunk.object,
            score: None,
            text: chunk.text.as_deref(),
            payload,
            vector: &chunk.vector,
        })
    }
}

/// An answer as a line of JSON.
pub(super) fn line(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Said(format!("the answer cannot be printed: {error}")))
}

/// The beginning of a text, on one line.
pub(super) fn beginning(text: Option<&str>) -> String {
    let words = text.unwrap_or_default().split_whitespace();
    let mut begins = String::new();
    for word in words {
        if !begins.is_empty() {
            begins.push(' ');
        }
        begins.push_str(word);
        if begins.chars().nth(BEGINNING_CHARS).is_some() {
            begins = begins.chars().take(BEGINNING_CHARS - 1).collect();
            begins.push('…');
            break;
        }
    }
    begins
}

impl Get {
    fn run(&self) -> Result<ExitCode, Failure> {
        if self.ids.len() > IDS_MAX {
            return Err(Failure::Said(format!(
                "{} ids are too many for one call; say up to {IDS_MAX}",
                self.ids.len()
            )));
        }
        let (place, store_id) = self.place.store.open()?;
        let mut with = vec!["text".to_owned(), "payload".to_owned()];
        with.extend(self.with_vector.then(|| "vector".to_owned()));
        let collection = self.place.collection.clone();
        let request = pb::GetChunksRequest { store_id, collection, ids: self.ids.clone(), with };
        let got = place.chunks(async |mut client| client.get_chunks(request).await)?;
        if self.look.json {
            #[derive(Serialize)]
            struct Out<'a> {
                chunks: Vec<ChunkJson<'a>>,
                missing: &'a [String],
            }
            let chunks = got.chunks.iter().map(ChunkJson::of).collect::<Result<_, _>>()?;
            say(line(&Out { chunks, missing: &got.missing })?);
        } else {
            for (at, chunk) in got.chunks.iter().enumerate() {
                if at > 0 {
                    say("");
                }
                whole(chunk);
            }
            for id in &got.missing {
                note(format!("there is no chunk `{id}`"));
            }
        }
        Ok(if got.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn whole(chunk: &pb::Chunk) {
    let field = |name: &str, value: &str| say(format!("{}{value}", paint(&format!("{name:<9}"), Tone::Faint)));
    field("id", &chunk.id);
    field("object", &chunk.object);
    if let Some(payload) = &chunk.payload {
        field("payload", payload);
    }
    if !chunk.vector.is_empty() {
        let elements: Vec<String> = chunk.vector.iter().map(ToString::to_string).collect();
        field("vector", &format!("[{}]", elements.join(",")));
    }
    if let Some(text) = &chunk.text {
        say("");
        say(text);
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let (place, store_id) = self.place.store.open()?;
        let mut request = pb::ScrollChunksRequest {
            store_id,
            collection: self.place.collection.clone(),
            object: self.object.clone(),
            filter: self.filter.clone(),
            with: vec!["text".to_owned(), "payload".to_owned()],
            ..pb::ScrollChunksRequest::default()
        };
        let (mut listed, mut more) = (0, self.limit > 0);
        // At most one page more than the limit needs: each brings at least one chunk, or is the last.
        while more && listed < self.limit {
            let wanted = u32::try_from(self.limit - listed).unwrap_or(PAGE).min(PAGE);
            request.page_size = Some(wanted);
            let asked = request.clone();
            let page = place.chunks(async |mut client| client.scroll_chunks(asked).await)?;
            listed += page.chunks.len();
            if !self.page(&page.chunks)? {
                return Ok(());
            }
            more = !page.continuation_token.is_empty();
            request.continuation_token = page.continuation_token;
        }
        if more {
            note(format!("{} listed, there are more; --limit says how many", count(listed as u64, "chunk")));
        } else if terminal() {
            note(count(listed as u64, "chunk"));
        }
        Ok(())
    }

    /// Prints a page. False when nobody reads any more.
    fn page(&self, chunks: &[pb::Chunk]) -> Result<bool, Failure> {
        if self.look.json {
            for chunk in chunks {
                if !print(line(&ChunkJson::of(chunk)?)?) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let row = |c: &pb::Chunk| {
            let payload = c.payload.as_deref();
            vec![c.id.clone(), c.object.clone(), beginning(c.text.as_deref()), payload.unwrap_or_default().to_owned()]
        };
        if !chunks.is_empty() {
            rows(&["id", "object", "text", "payload"], &chunks.iter().map(row).collect::<Vec<_>>());
        }
        Ok(true)
    }
}

impl Delete {
    fn run(&self) -> Result<(), Failure> {
        let (place, store_id) = self.place.store.open()?;
        let collection = self.place.collection.clone();
        let request =
            pb::DeleteChunksRequest { store_id, collection, ids: self.ids.clone(), objects: self.objects.clone() };
        let done = place.chunks(async |mut client| client.delete_chunks(request).await)?;
        if self.look.json {
            say(json!({"deleted": done.deleted, "token": done.token}));
        } else {
            say(format!("deleted {}", count(done.deleted, "chunk")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_on_one_line() {
        assert_eq!(beginning(Some("one\n  two\tthree")), "one two three");
        assert_eq!(beginning(None), "");
        let long = beginning(Some(&"word ".repeat(50)));
        assert_eq!(long.chars().count(), BEGINNING_CHARS);
        assert!(long.ends_with('…'));
        assert_eq!(beginning(Some(&"é".repeat(500))).chars().count(), BEGINNING_CHARS);
    }
}
