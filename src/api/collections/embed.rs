//! Texts that stand for vectors: which of a request's texts need one, which cannot have one, and what is said when the
//! vector that came does not fit.

use super::search::subject;
use super::{ChunkIn, In, Search, filter, with, wrong};
use crate::api::run::Api;
use crate::engine::{ChunkFault, WriteError};
use crate::wire::{EMBEDDED_TEXT_BYTES_MAX, EMBEDDED_TEXTS_MAX, Problem};

/// How a chunk came by its vector.
#[derive(Default)]
pub(super) enum Made {
    /// It was given, or there is none.
    #[default]
    Given,
    /// It is made of the text.
    Embedded,
    /// It cannot be made of the text, and why.
    Refused(String),
}

/// Why no vector can be made of a text, if none can.
fn unfit(text: &str) -> Option<String> {
    let given = text.len();
    match given {
        _ if text.trim().is_empty() => Some("is empty, so that no vector can be made of it".to_owned()),
        0..=EMBEDDED_TEXT_BYTES_MAX => None,
        _ => Some(format!("has {given} bytes; to make a vector of it, it may have {EMBEDDED_TEXT_BYTES_MAX}")),
    }
}

/// The text of a question.
pub(super) fn of_search(search: &Search, api: &Api) -> Result<Vec<String>, Problem> {
    let Some(text) = &search.query_text else { return Ok(Vec::new()) };
    if !search.vector.is_empty() || !search.vectors.is_empty() {
        return Err(wrong("`query_text` is given and a vector too; give one of `vector`, `vectors`, `query_text`"));
    }
    if api.embedder().is_none() {
        return Err(wrong("query_text needs an embedding endpoint: set embedding-url, or give `vector`"));
    }
    if let Some(why) = unfit(text) {
        return Err(wrong(format!("query_text {why}")));
    }
    // What is wrong in any case costs no call.
    search.k()?;
    subject("user", &search.user)?;
    search.agent.as_ref().map_or(Ok(()), |agent| subject("agent", agent).map(drop))?;
    filter(search.filter.as_ref())?;
    with(&search.with)?;
    Ok(vec![text.clone()])
}

/// The texts of the chunks that have no vector. One that cannot be embedded refuses the request, or, with `skip`, itself.
pub(super) fn of_chunks(chunks: &mut [ChunkIn], skip: bool, api: &Api, of: &In) -> Result<Vec<String>, Problem> {
    let mut texts = Vec::new();
    for (position, chunk) in chunks.iter_mut().enumerate().filter(|(_, chunk)| chunk.vector.is_empty()) {
        let Some(text) = &chunk.text else { continue };
        let why = match (api.embedder(), unfit(text)) {
            (None, _) => "there is no vector, and its text needs an embedding endpoint: set embedding-url".to_owned(),
            (Some(_), Some(why)) => format!("the text {why}"),
            (Some(_), None) => {
                texts.push(text.clone());
                chunk.made = Made::Embedded;
                continue;
            }
        };
        if !skip {
            return Err(wrong(format!("chunk '{}' (number {position} of the request): {why}", chunk.id)));
        }
        chunk.made = Made::Refused(why);
    }
    if texts.len() > EMBEDDED_TEXTS_MAX {
        let count = texts.len();
        let text =
            format!("{count} chunks have no vector; {EMBEDDED_TEXTS_MAX} texts can be embedded at a time: send fewer");
        return Err(wrong(text));
    }
    if !texts.is_empty() {
        api.engine().collection(of.store()?, &of.collection)?; // without one there is no use in asking the endpoint
    }
    Ok(texts)
}

/// Gives the chunks that need them their vectors.
pub(super) fn give(chunks: &mut [ChunkIn], vectors: Vec<Vec<f32>>) {
    let needy = chunks.iter_mut().filter(|chunk| matches!(chunk.made, Made::Embedded));
    for (chunk, vector) in needy.zip(vectors) {
        chunk.vector = vector;
    }
}

/// What is wrong with a vector, and where it came from.
pub(super) fn from_model(api: &Api, what: &str) -> String {
    let model = api.embedder().map(|embedder| embedder.model()).unwrap_or_default();
    format!("{what} (the vector was made by the embedding model '{model}')")
}

/// Why a chunk is refused; of a vector that was made here, with the model.
pub(super) fn reason(api: &Api, fault: &ChunkFault, embedded: bool) -> String {
    let text = fault.to_string();
    if embedded && matches!(fault, ChunkFault::Vector(_)) { from_model(api, &text) } else { text }
}

/// Why a write is refused, likewise; `embedded` tells of each chunk whether its vector was made here.
pub(super) fn told(api: &Api, error: &WriteError, embedded: &[bool], mut problem: Problem) -> Problem {
    if let WriteError::Chunk { position, fault: ChunkFault::Vector(_), .. } = error
        && embedded.get(*position) == Some(&true)
    {
        problem.message = from_model(api, &problem.message);
    }
    problem
}
