//! The room against brute force: random collections, random sets, every metric, element and kernel.

#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

use super::kernel::Kernel;
use super::*;
use crate::tuple::ObjectSet;
use proptest::prelude::*;
use std::collections::BTreeMap;

mod graph;

/// What a collection must answer like: a map and a loop.
#[derive(Clone, Default)]
pub(super) struct Oracle(pub(super) BTreeMap<u32, (u32, Vec<f32>)>);

impl Oracle {
    /// Every allowed chunk with its score, nearest first, equal scores by chunk.
    fn ranked(&self, space: Space, query: &[f32], owners: &ObjectSet) -> Vec<(u32, f64)> {
        let unit = |v: &[f32]| {
            let length = v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let length = if space.metric() == Metric::Cosine { length } else { 1.0 };
            v.iter().map(|x| f64::from(*x) / length).collect::<Vec<f64>>()
        };
        let kept = |v: &[f32]| -> Vec<f64> {
            let halved = |x: &f64| f64::from(half::f16::from_f32(*x as f32).to_f32());
            if space.element() == Element::F16 { unit(v).iter().map(halved).collect() } else { unit(v) }
        };
        let query = unit(query);
        let allowed = self.0.iter().filter(|(_, (owner, _))| owners.contains(Ordinal(*owner)));
        let mut all: Vec<(u32, f64)> = allowed
            .map(|(chunk, (_, vector))| {
                let pairs = query.iter().copied().zip(kept(vector)).collect::<Vec<(f64, f64)>>();
                let score = match space.metric() {
                    Metric::Euclid => -pairs.iter().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
                    Metric::Cosine | Metric::Dot => pairs.iter().map(|(a, b)| a * b).sum(),
                };
                (*chunk, score)
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }
}

/// Splitmix64: the same numbers in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        (self.roll() % u64::from(bound)) as u32
    }
    pub(super) fn vector(&mut self, dimension: usize) -> Vec<f32> {
        (0..dimension).map(|_| (self.roll() % 2_001) as f32 / 1_000.0 - 1.0).map(|x| x + 1e-4).collect()
    }
}

fn owners_of(dice: &mut Dice, owners: u32, share: u32) -> ObjectSet {
    (0..owners).filter(|_| dice.below(100) < share).map(Ordinal).collect()
}

/// The hits are the best of the oracle, in order, up to the rounding of scores.
pub(super) fn check_exact(vectors: &Vectors, oracle: &Oracle, query: &[f32], owners: &ObjectSet, k: usize) {
    let space = vectors.space();
    let all = oracle.ranked(space, query, owners);
    let rows = vectors.rows_of(owners);
    assert_eq!(rows.len(), all.len(), "the set holds the allowed chunks");
    let hits = vectors.scan(&Query::new(space, query).unwrap(), &rows, k).unwrap();
    assert_eq!(hits.len(), k.min(all.len()), "as many as there are");
    let scores: BTreeMap<u32, f64> = all.iter().copied().collect();
    for (hit, best) in hits.iter().zip(&all) {
        let size = 1.0 + best.1.abs();
        assert!((f64::from(hit.score) - best.1).abs() < 2e-5 * size, "{hit:?} where {best:?} was due");
        assert!((f64::from(hit.score) - scores[&hit.chunk.0]).abs() < 2e-5 * size, "{hit:?} has another's score");
        assert!(owners.contains(hit.owner) && oracle.0[&hit.chunk.0].0 == hit.owner.0);
    }
    assert!(hits.windows(2).all(|w| w[0].score > w[1].score || (w[0].score == w[1].score && w[0].chunk < w[1].chunk)));
}

fn listed(rows: &RowSet) -> Vec<u32> {
    let mut list = Vec::new();
    rows.runs(|start, end| list.extend(start..end));
    assert_eq!((list.len(), list.is_empty()), (rows.len(), rows.is_empty()));
    list
}

fn metric() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::Euclid)]
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![Just(Element::F32), Just(Element::F16)]
}

/// Bytes of memory for full blocks: all, none, or a few of them.
fn room() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), Just(Some(0)), Just(Some(60_000))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Upserts, removals, rewrites with catching up, in any mix: a scan says what brute force says, on every kernel, and
    /// a clone taken earlier still says what it said.
    #[test]
    fn scan_is_brute_force(seed in any::<u64>(), metric in metric(), element in element(), dimension in 2_usize..150,
                           steps in 1_usize..400, share in 0_u32..101, k in 0_usize..40, room in room()) {
        let space = Space::new(dimension, metric, element).unwrap();
        let mut dice = Dice(seed);
        let kernel = Kernel::usable()[(seed % Kernel::usable().len() as u64) as usize];
        let directory = tempfile::tempdir().unwrap();
        let store = room.map_or_else(RowStore::memory, |bytes| RowStore::bounded(directory.path(), bytes));
        let mut vectors = Vectors::with_block_rows(space, 64, kernel, store);
        let mut oracle = Oracle::default();
        let mut past = None;
        let kept_owners = owners_of(&mut dice, 45, share);
        let mut kept = vectors.rows_of(&kept_owners);
        for step in 0..steps {
            let chunk = dice.below(250);
            match dice.below(8) {
                0 => prop_assert_eq!(vectors.remove(Chunk(chunk)), oracle.0.remove(&chunk).is_some()),
                1 if step % 50 == 7 => {
                    let base = vectors.clone();
                    let (mut new, _) = base.rewrite(|owner| u64::from(owner.0 % 7)).unwrap();
                    let vector = dice.vector(dimension);
                    vectors.upsert(Chunk(chunk), Ordinal(3), &vector).unwrap();
                    oracle.0.insert(chunk, (3, vector));
                    let gone = dice.below(250);
                    vectors.remove(Chunk(gone));
                    oracle.0.remove(&gone);
                    new.catch_up(&base, &vectors).unwrap();
                    vectors = new;
                    prop_assert_eq!(vectors.refreshed(&kept, &kept_owners).err(), Some(VectorError::Stale));
                    kept = vectors.rows_of(&kept_owners);
                }
                2 if step == steps / 2 => past = Some((vectors.clone(), oracle.clone())),
                _ => {
                    let (owner, vector) = (dice.below(40), dice.vector(dimension));
                    vectors.upsert(Chunk(chunk), Ordinal(owner), &vector).unwrap();
                    oracle.0.insert(chunk, (owner, vector));
                }
            }
            kept = vectors.refreshed(&kept, &kept_owners).unwrap();
        }
        prop_assert_eq!(vectors.len(), oracle.0.len());
        let anew = vectors.rows_of(&kept_owners);
        prop_assert_eq!(listed(&kept), listed(&anew), "a set that was kept is the set made anew");
        for _ in 0..4 {
            let (owners, query) = (owners_of(&mut dice, 45, share), dice.vector(dimension));
            check_exact(&vectors, &oracle, &query, &owners, k);
            if let Some((vectors, oracle)) = &past {
                check_exact(vectors, oracle, &query, &owners, k);
            }
        }
    }
}

#[test]
fn equal_scores_stand_in_the_order_of_chunks_in_any_layout() {
    let space = Space::new(8, Metric::Cosine, Element::F32).unwrap();
    let mut vectors = Vectors::new(space);
    for chunk in (0..500).rev() {
        vectors.upsert(Chunk(chunk), Ordinal(chunk % 5), &[1.0; 8]).unwrap();
    }
    let query = Query::new(space, &[1.0; 8]).unwrap();
    let (other, _) = vectors.rewrite(|owner| 9 - u64::from(owner.0)).unwrap();
    for vectors in [vectors, other] {
        let hits = vectors.scan(&query, &vectors.all_rows(), 30).unwrap();
        assert_eq!(hits.iter().map(|h| h.chunk.0).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn lengths_far_apart_are_still_exact() {
    for metric in [Metric::Dot, Metric::Euclid] {
        let space = Space::new(20, metric, Element::F32).unwrap();
        let (mut vectors, mut oracle, mut dice) = (Vectors::new(space), Oracle::default(), Dice(7));
        for chunk in 0..2_000 {
            let size = 10_f32.powi(dice.below(9) as i32 - 4);
            let vector: Vec<f32> = dice.vector(20).iter().map(|x| x * size).collect();
            vectors.upsert(Chunk(chunk), Ordinal(chunk % 50), &vector).unwrap();
            oracle.0.insert(chunk, (chunk % 50, vector));
        }
        for _ in 0..20 {
            let (owners, query) = (owners_of(&mut dice, 50, 60), dice.vector(20));
            check_exact(&vectors, &oracle, &query, &owners, 10);
        }
    }
}

#[test]
fn what_has_no_place_is_refused_and_changes_nothing() {
    let space = |metric| Space::new(3, metric, Element::F16).unwrap();
    let mut vectors = Vectors::new(space(Metric::Cosine));
    let mut refused = |chunk, vector: &[f32]| vectors.upsert(Chunk(chunk), Ordinal(0), vector).unwrap_err();
    assert_eq!(refused(0, &[1.0; 4]), VectorError::Length { given: 4, dimension: 3 });
    assert_eq!(refused(0, &[1.0, f32::NAN, 0.0]), VectorError::NotFinite { position: 1 });
    assert_eq!(refused(0, &[0.0; 3]), VectorError::Zero);
    assert_eq!(refused(u32::MAX, &[1.0; 3]), VectorError::Full);
    assert!(vectors.is_empty() && vectors.dead() == 0);
    let mut dot = Vectors::new(space(Metric::Dot));
    let too_large = dot.upsert(Chunk(0), Ordinal(0), &[1.0, 1.0, 70_000.0]).unwrap_err();
    assert_eq!(too_large, VectorError::NotFinite { position: 2 });
    assert_eq!(Space::new(1, Metric::Dot, Element::F32).unwrap_err(), VectorError::Dimension { given: 1 });
    assert!(Query::new(space(Metric::Dot), &[f32::INFINITY; 3]).is_err());
}

#[test]
fn a_set_of_another_state_is_refused() {
    let space = Space::new(2, Metric::Dot, Element::F32).unwrap();
    let mut vectors = Vectors::new(space);
    vectors.upsert(Chunk(0), Ordinal(0), &[1.0, 0.0]).unwrap();
    let (query, rows) = (Query::new(space, &[1.0, 1.0]).unwrap(), vectors.all_rows());
    assert_eq!(vectors.scan(&query, &rows, HITS_MAX + 1).unwrap_err(), VectorError::Hits { given: HITS_MAX + 1 });
    assert_eq!(vectors.scan(&query, &rows, 5).unwrap().len(), 1);
    assert_eq!(vectors.rewrite(|_| 0).unwrap().0.scan(&query, &rows, 5).unwrap_err(), VectorError::Stale);
    vectors.remove(Chunk(0));
    assert_eq!(vectors.scan(&query, &rows, 5).unwrap_err(), VectorError::Stale);
}

#[test]
fn a_chunk_tells_its_owner_and_vector_and_an_owner_its_chunks() {
    let mut vectors = Vectors::new(Space::new(2, Metric::Cosine, Element::F32).unwrap());
    for (chunk, owner) in [(5, 1), (6, 1), (7, 2), (8, 1)] {
        vectors.upsert(Chunk(chunk), Ordinal(owner), &[0.0, 2.0]).unwrap();
    }
    vectors.upsert(Chunk(6), Ordinal(2), &[3.0, 0.0]).unwrap();
    assert_eq!(vectors.chunks_of(Ordinal(1)), [Chunk(5), Chunk(8)]);
    assert_eq!(vectors.chunks_of(Ordinal(2)), [Chunk(7), Chunk(6)]);
    assert_eq!((vectors.owner(Chunk(6)), vectors.vector(Chunk(6)).unwrap()), (Some(Ordinal(2)), Some(vec![1.0, 0.0])));
    assert_eq!((vectors.owner(Chunk(9)), vectors.dead(), vectors.len()), (None, 1, 4));
    assert_eq!(vectors.rewrite(|_| 0).unwrap().0.dead(), 0);
}

/// Rows on disk that cannot be read are an error of the search, never a shorter or another answer.
#[test]
fn rows_that_cannot_be_read_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rows-1-0"), "left by a crash").unwrap();
    std::fs::write(directory.path().join("rows-of-mine"), "somebody's").unwrap();
    let names = || std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let store = RowStore::bounded(directory.path(), 0);
    assert_eq!(names(), ["rows-of-mine"], "what a crash left is gone, and nothing else");
    let space = Space::new(24, Metric::Dot, Element::F32).unwrap();
    let mut vectors = Vectors::with_block_rows(space, 64, Kernel::detect(), store);
    let mut dice = Dice(3);
    for chunk in 0..100 {
        vectors.upsert(Chunk(chunk), Ordinal(chunk), &dice.vector(24)).unwrap();
    }
    assert_eq!(names(), ["rows-of-mine"], "the file has no name");
    let memory = vectors.memory();
    assert!(memory.disk > 0 && memory.exact > 0 && memory.disk > memory.exact, "{memory:?}");
    let query = Query::new(space, &dice.vector(24)).unwrap();
    let (all, tail) = (vectors.all_rows(), vectors.rows_of(&(64..100).map(Ordinal).collect()));
    assert_eq!(vectors.scan(&query, &all, 100).unwrap().len(), 100);
    vectors.lose_disk();
    assert_eq!(vectors.scan(&query, &all, 100), Err(VectorError::Unreadable));
    assert_eq!(vectors.scan(&query, &tail, 100).unwrap().len(), 36, "these are in memory");
    assert_eq!(vectors.vector(Chunk(1)), Err(VectorError::Unreadable));
    assert!(matches!(vectors.rewrite(|owner| u64::from(owner.0)), Err(VectorError::Unreadable)));
}
