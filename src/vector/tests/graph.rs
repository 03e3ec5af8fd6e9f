//! The graph: recall against the scan, filters, budgets, deletes, rewrites, bytes, and searches while rows are inserted.

use super::super::*;
use super::Dice;
use crate::tuple::ObjectSet;
use std::sync::atomic::{AtomicBool, Ordering};

const DIMENSION: usize = 24;
const OWNERS: u32 = 100;

/// A width whose walk costs less than scanning a few thousand rows.
const WIDTH: usize = 40;

/// What walks of that width must find.
const RECALL_MIN: f64 = 0.9;

fn space(metric: Metric) -> Space {
    Space::new(DIMENSION, metric, Element::F32).unwrap()
}

/// Vectors around centres, as embeddings are: the chunks of an owner are near each other in half of the cases.
fn clustered(dice: &mut Dice, centres: &[Vec<f32>], owner: u32) -> Vec<f32> {
    let centre = if dice.below(2) == 0 { owner } else { dice.below(OWNERS) };
    centres[centre as usize].iter().zip(dice.vector(DIMENSION)).map(|(c, noise)| c + 0.6 * noise).collect()
}

fn world(metric: Metric, chunks: u32) -> (Vectors, Dice, Vec<Vec<f32>>) {
    let mut dice = Dice(11);
    let centres: Vec<Vec<f32>> = (0..OWNERS).map(|_| dice.vector(DIMENSION)).collect();
    let mut vectors = Vectors::new(space(metric));
    for chunk in 0..chunks {
        let owner = dice.below(OWNERS);
        vectors.upsert(Chunk(chunk), Ordinal(owner), &clustered(&mut dice, &centres, owner)).unwrap();
    }
    (vectors, dice, centres)
}

/// The share of the true ten that searches find, and how many searches walked the graph to the end.
fn recall(vectors: &Vectors, graph: &Graph, dice: &mut Dice, centres: &[Vec<f32>], share: u32) -> (f64, usize) {
    let (mut found, mut due, mut walked) = (0, 0, 0);
    for _ in 0..60 {
        let owners: ObjectSet = (0..OWNERS).filter(|_| dice.below(100) < share).map(Ordinal).collect();
        let owner = dice.below(OWNERS);
        let query = Query::new(vectors.space(), &clustered(dice, centres, owner)).unwrap();
        let rows = vectors.rows_of(&owners);
        let truth = vectors.scan(&query, &rows, 10).unwrap();
        let answer = search(vectors, Some(graph), &query, &rows, 10, Effort::Width(WIDTH)).unwrap();
        assert_eq!(answer.hits.len(), truth.len(), "never fewer than there are");
        assert!(
            answer.hits.iter().all(|hit| owners.contains(hit.owner) && vectors.owner(hit.chunk) == Some(hit.owner))
        );
        assert_eq!(answer.visible, rows.len());
        walked += usize::from(answer.plan == PlanKind::Graph);
        due += truth.len();
        found += truth.iter().filter(|hit| answer.hits.contains(hit)).count();
    }
    (found as f64 / f64::from(due.max(1) as u32), walked)
}

#[test]
fn walks_find_what_scans_find() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::Euclid] {
        let (vectors, mut dice, centres) = world(metric, 8_000);
        let graph = Graph::new(&vectors);
        graph.extend(&vectors, 2).unwrap();
        assert_eq!(graph.covered(), 8_000);
        for share in [2, 60, 100] {
            let (recall, walked) = recall(&vectors, &graph, &mut dice, &centres, share);
            assert!(recall >= RECALL_MIN, "{metric:?} {share} %: recall {recall}");
            assert!(share < 100 || walked == 60, "{metric:?}: the graph answers where all is allowed, {walked}");
        }
    }
}

#[test]
fn walks_behind_disallowed_rows_find_the_allowed() {
    let (vectors, mut dice, centres) = world(Metric::Cosine, 8_000);
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 2).unwrap();
    let view = vectors.view();
    for share in [8, 20, 35] {
        let (mut found, mut due) = (0, 0);
        for _ in 0..40 {
            let owners: ObjectSet = (0..OWNERS).filter(|_| dice.below(100) < share).map(Ordinal).collect();
            let owner = dice.below(OWNERS);
            let query = Query::new(vectors.space(), &clustered(&mut dice, &centres, owner)).unwrap();
            let rows = vectors.rows_of(&owners);
            let truth = vectors.scan(&query, &rows, 10).unwrap();
            let ground = graph::Ground { view: &view, kernel: vectors.kernel, query: &query, rows: vectors.rows() };
            let walked = graph.nearest(&ground, 80, Some((&rows, f64::from(share) / 100.0)), usize::MAX);
            assert!(walked.finished && walked.rows.iter().all(|(_, row)| rows.contains(*row)));
            let hits = vectors.rescore(&view, &query, walked.rows, 80).unwrap().hits;
            due += truth.len();
            found += truth.iter().filter(|hit| hits.contains(hit)).count();
        }
        assert!(f64::from(found as u32) >= RECALL_MIN * f64::from(due as u32), "{share} %: {found} of {due}");
    }
}

#[test]
fn a_walk_out_of_budget_says_so_and_the_scan_answers() {
    let (vectors, mut dice, centres) = world(Metric::Cosine, 5_000);
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 1).unwrap();
    let rows = vectors.all_rows();
    let view = vectors.view();
    let query = Query::new(vectors.space(), &clustered(&mut dice, &centres, 1)).unwrap();
    let ground = graph::Ground { view: &view, kernel: vectors.kernel, query: &query, rows: vectors.rows() };
    let walked = graph.nearest(&ground, 100, Some((&rows, 1.0)), 50);
    assert!(!walked.finished && walked.visited < 50 + 2 * 32 + 200, "{} visits", walked.visited);
    // An empty graph finds nothing, so that the scan must.
    let answer = search(&vectors, Some(&Graph::new(&vectors)), &query, &rows, 10, Effort::Width(10)).unwrap();
    assert_eq!(answer.hits, vectors.scan(&query, &rows, 10).unwrap());
}

#[test]
fn deletes_upserts_and_rewrites_keep_recall() {
    let (mut vectors, mut dice, centres) = world(Metric::Cosine, 12_000);
    let mut graph = Graph::new(&vectors);
    graph.extend(&vectors, 2).unwrap();
    for round in 0..2 {
        for chunk in (0..12_000).filter(|chunk| chunk % 5 == round) {
            vectors.remove(Chunk(chunk));
        }
        for chunk in (0..12_000).filter(|chunk| chunk % 5 == round + 2) {
            let owner = dice.below(OWNERS);
            vectors.upsert(Chunk(chunk), Ordinal(owner), &clustered(&mut dice, &centres, owner)).unwrap();
        }
        let (late, _) = recall(&vectors, &graph, &mut dice, &centres, 100);
        let base = vectors.clone();
        let (mut new, numbers) = base.rewrite(|owner| u64::from(owner.0 / 10)).unwrap();
        assert_eq!(graph.renumber(&base, &vectors, &numbers).err(), Some(VectorError::Stale));
        let next = graph.renumber(&base, &new, &numbers).unwrap();
        new.catch_up(&base, &vectors).unwrap();
        (vectors, graph) = (new, next);
        graph.extend(&vectors, 1).unwrap();
        let (repaired, walked) = recall(&vectors, &graph, &mut dice, &centres, 100);
        assert!(late >= RECALL_MIN && repaired >= RECALL_MIN, "round {round}: {late}, then {repaired}");
        assert!(walked > 0 && graph.covered() == vectors.len());
    }
}

#[test]
fn bytes_come_back_the_same_and_damage_is_seen() {
    let (vectors, mut dice, centres) = world(Metric::Dot, 4_000);
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 2).unwrap();
    let bytes = graph.to_bytes(&vectors).unwrap();
    let back = Graph::from_bytes(&bytes, &vectors).unwrap();
    assert_eq!(back.to_bytes(&vectors).unwrap(), bytes);
    let rows = vectors.all_rows();
    for _ in 0..20 {
        let query = Query::new(vectors.space(), &clustered(&mut dice, &centres, 5)).unwrap();
        let ask = |graph| search(&vectors, Some(graph), &query, &rows, 10, Effort::Width(20)).unwrap();
        assert_eq!(ask(&graph).hits.len(), ask(&back).hits.len());
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 37) {
        let mut bad = bytes.clone();
        bad[at] ^= 16;
        assert!(Graph::from_bytes(&bad, &vectors).is_err(), "byte {at}");
        assert!(Graph::from_bytes(&bytes[..at], &vectors).is_err(), "cut at {at}");
    }
    let (other, _, _) = world(Metric::Cosine, 4_000);
    assert_eq!(Graph::from_bytes(&bytes, &other).err(), Some(GraphBytesError::Foreign));
    assert_eq!(graph.to_bytes(&vectors.rewrite(|_| 0).unwrap().0), Err(VectorError::Stale));
}

#[test]
fn a_start_loads_the_graph_for_rows_in_another_order_and_after_writes() {
    let (mut vectors, mut dice, centres) = world(Metric::Cosine, 8_000);
    (0..8_000).step_by(9).for_each(|chunk| assert!(vectors.remove(Chunk(chunk))));
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 2).unwrap();
    let bytes = graph.to_bytes(&vectors).unwrap();
    // A start reads chunks in the order of storage; some were written after the bytes were.
    let mut started = Vectors::new(vectors.space());
    for chunk in (0..8_500).rev() {
        let vector = vectors.vector(Chunk(chunk)).unwrap().filter(|_| chunk % 10 != 0);
        let owner = vectors.owner(Chunk(chunk)).unwrap_or(Ordinal(chunk % OWNERS));
        let vector = vector.unwrap_or_else(|| clustered(&mut dice, &centres, owner.0));
        started.upsert(Chunk(chunk), owner, &vector).unwrap();
    }
    let loaded = Graph::from_bytes(&bytes, &started).unwrap();
    assert_eq!(loaded.covered(), 8_500);
    let (recall, walked) = recall(&started, &loaded, &mut dice, &centres, 100);
    assert!(recall >= RECALL_MIN && walked > 0, "{recall}, {walked} walked");
}

#[test]
fn searches_run_while_rows_are_inserted() {
    let (mut vectors, mut dice, centres) = world(Metric::Cosine, 4_000);
    let graph = Graph::new(&vectors);
    graph.extend(&vectors, 2).unwrap();
    let before = vectors.clone();
    for chunk in 4_000..10_000 {
        vectors.upsert(Chunk(chunk), Ordinal(chunk % OWNERS), &clustered(&mut dice, &centres, chunk % OWNERS)).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            graph.extend(&vectors, 2).unwrap();
            done.store(true, Ordering::Release);
        });
        let mut last = false;
        while !last {
            last = done.load(Ordering::Acquire);
            // The old state never sees a later row; the new one sees all, inserted or not.
            for state in [&before, &vectors] {
                let (recall, _) = recall(state, &graph, &mut dice, &centres, 100);
                assert!(recall >= RECALL_MIN, "{} rows: {recall}", state.len());
            }
        }
    });
    assert_eq!(graph.covered(), 10_000);
}
