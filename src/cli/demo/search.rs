//! The search of the demonstration: people ask the same question, and each finds the nearest of what they may see.

use super::world::{ANNE_WITHOUT, GIVEN, QUESTION, SECTIONS, SEEKERS, Seeker};
use super::{Clients, Failure, Tone, WIDTH, paint, say, time, timed, wrapped};
use crate::cli::chunk::beginning;
use crate::cli::show::count;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const COLLECTION: &str = "sections";
/// Elements of a vector.
const DIMENSION: usize = 64;
/// Hits of a search.
const HITS: usize = 3;

/// A text as a vector: each word is hashed to an element. It finds shared words and knows nothing of meaning, which is
/// enough to show permissions without a language model.
fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSION];
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words {
        let word = word.to_lowercase();
        let stem = word.strip_suffix('s').unwrap_or(&word);
        // FNV-1a: the same everywhere.
        let hash = stem.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let at = usize::try_from(hash >> 8).unwrap_or(0) % DIMENSION;
        if let Some(element) = vector.get_mut(at) {
            *element += 1.0_f32;
        }
    }
    vector
}

/// Makes the collection, and writes its chunks with the tuples that they need.
fn fill(clients: &mut Clients) -> Result<(), Failure> {
    let path = format!("/stores/{}/collections", clients.store);
    let guard = json!({"type": "section", "relation": "viewer"});
    let body = json!({"name": COLLECTION, "dimension": DIMENSION, "metric": "cosine", "guard": guard});
    clients.web.post(&path, &body)?;
    let chunk = |s: &super::world::Section| json!({"id": s.id, "object": format!("section:{}", s.id), "vector": embed(s.text), "text": s.text});
    let above = SECTIONS.iter().filter_map(|s| {
        let document = s.document?;
        Some(json!({
            "object": format!("section:{}", s.id), "relation": "document", "user": format!("document:{document}"),
        }))
    });
    let (object, relation, user) = GIVEN;
    let given = json!({"object": object, "relation": relation, "user": user});
    let body = json!({
        "chunks": SECTIONS.iter().map(chunk).collect::<Vec<_>>(),
        "writes": {"tuple_keys": above.chain(std::iter::once(given)).collect::<Vec<_>>()},
    });
    clients.web.post(&format!("{path}/{COLLECTION}/chunks"), &body)?;
    Ok(())
}

/// All ask the same. Returns how many answers are wrong.
pub(super) fn seekers(clients: &mut Clients) -> Result<usize, Failure> {
    let ((), took) = timed(|| fill(clients))?;
    let chunks = count(SECTIONS.len() as u64, "section");
    say(format!("  A collection of {chunks}: texts, vectors and tuples are written in one request, {}.", time(took)));
    say("  Vectors are hashed words, a stand-in for a model that knows meanings.");
    say(format!("\n  Everybody asks at 10 o'clock: {}\n", paint(QUESTION, Tone::Strong)));
    let mut wrong = 0;
    for seeker in &SEEKERS {
        wrong += usize::from(!seek(clients, seeker)?);
        say("");
    }
    let why = "nobody finds section:notes-1999-costs, though its words are the nearest: its folder is archived";
    for line in wrapped(why, WIDTH) {
        say(format!("  {}", paint(&line, Tone::Faint)));
    }
    Ok(wrong)
}

/// Anne asks again. Returns how many answers are wrong.
pub(super) fn without_a_group(clients: &mut Clients) -> Result<usize, Failure> {
    say("\n  And her very next search, with the same question:\n");
    Ok(usize::from(!seek(clients, &ANNE_WITHOUT)?))
}

/// Asks and shows. Whether the answer is right.
fn seek(clients: &mut Clients, seeker: &Seeker) -> Result<bool, Failure> {
    let path = format!("/stores/{}/collections/{COLLECTION}/search", clients.store);
    let body = json!({
        "user": seeker.user, "vector": embed(QUESTION), "k": HITS, "context": {"hour": 10}, "with": ["text"],
    });
    let (answer, took) = timed(|| clients.web.post(&path, &body))?;
    let hits = answer.get("hits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let word = |hit: &Value, name: &str| hit.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let visible = answer.get("visible").and_then(Value::as_u64).unwrap_or(0);
    let found: BTreeSet<String> = hits.iter().map(|hit| word(hit, "id")).collect();
    let right = visible == seeker.finds.len() as u64 && found == seeker.finds.iter().map(ToString::to_string).collect();
    let wonder = if right { "" } else { "  WRONG" };
    let sees = format!("sees {}", count(visible, "section"));
    say(format!("  {:<13} {sees:<38} HTTP {:>7}{wonder}", seeker.user, time(took)));
    for hit in hits {
        let score = hit.get("score").and_then(Value::as_f64).unwrap_or(0.0);
        let text = beginning(Some(&word(hit, "text")));
        say(format!("    {score:.2}  {:<21} {text}", word(hit, "object")));
    }
    for line in wrapped(seeker.why, WIDTH - 4) {
        say(format!("    {}", paint(&line, Tone::Faint)));
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_words_is_near() {
        let near = |text: &str| {
            let (a, b) = (embed(QUESTION), embed(text));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
        };
        let order = SECTIONS.iter().map(|section| near(section.text));
        let nearest = order.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| SECTIONS[at].id);
        assert_eq!(nearest, Some("notes-1999-costs"), "the demonstration says that nobody finds the nearest");
        assert!((near(QUESTION) - 1.0).abs() < 1e-6);
    }
}
