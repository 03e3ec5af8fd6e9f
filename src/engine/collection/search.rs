//! Search: who may see what comes first, as a set of objects; then the nearest of their chunks.

use super::kept::{Kept, KeptKey};
use super::read::stored;
use super::state::Collection;
use super::types::{HITS_PER_SEARCH_MAX, QUERIES_PER_SEARCH_MAX, SearchAnswer, SearchHit, SearchQuery};
use crate::engine::list_objects::solve_tracked;
use crate::engine::types::{At, Consistency, Limits, QuestionError};
use crate::engine::view::View;
use crate::engine::world::{Who, World};
use crate::engine::{Engine, collection::read};
use crate::tuple::{ModelId, Ordinal, StoreId, SubjectRef};
use crate::vector::{Query, RowSet, VectorError, search as nearest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Answers the question but for texts.
pub(crate) fn search(
    view: &View,
    query: &SearchQuery<'_>,
    limits: &Limits<'_>,
) -> Result<Vec<SearchAnswer>, QuestionError> {
    let of = view.collection(query.collection)?;
    if query.vectors.len() > QUERIES_PER_SEARCH_MAX {
        return Err(QuestionError::Count { what: "vectors", given: query.vectors.len(), max: QUERIES_PER_SEARCH_MAX });
    }
    if query.k * query.vectors.len() > HITS_PER_SEARCH_MAX && query.k <= crate::vector::HITS_MAX {
        let given = query.k * query.vectors.len();
        return Err(QuestionError::Count { what: "hits (k times vectors)", given, max: HITS_PER_SEARCH_MAX });
    }
    if query.with.vector {
        let each = of.spec.space.dimension() * size_of::<f32>();
        read::answer_bytes(query.k.min(of.ids.len()) * query.vectors.len() * each)?;
    }
    if query.k > crate::vector::HITS_MAX {
        return Err(VectorError::Hits { given: query.k }.into());
    }
    // Refused before work is done.
    let space = of.spec.space;
    let vectors = query.vectors.iter().map(|v| Query::new(space, v)).collect::<Result<Vec<_>, _>>()?;
    let rows = visible(view, of, query, limits)?;
    let graph = Some(&*of.graph).filter(|graph| graph.covered() > 0);
    let answer = |vector: &Query| -> Result<SearchAnswer, QuestionError> {
        if limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(QuestionError::Stopped);
        }
        let found = nearest(&of.vectors, graph, vector, &rows, query.k, query.effort)?;
        let hits = found.hits.iter().map(|hit| {
            let chunk = stored(view, of, hit.chunk, query.with)?;
            Ok(SearchHit { score: hit.score, chunk })
        });
        Ok(SearchAnswer {
            hits: hits.collect::<Result<_, QuestionError>>()?,
            plan: found.plan,
            visible: found.visible,
            candidates: found.candidates,
            visited: found.visited,
        })
    };
    vectors.iter().map(answer).collect()
}

/// The rows that the subject, and the agent when there is one, may see and the filter admits.
fn visible(
    view: &View,
    of: &Collection,
    query: &SearchQuery<'_>,
    limits: &Limits<'_>,
) -> Result<Arc<RowSet>, QuestionError> {
    let mut rows = rows_of(view, of, query, query.subject, limits)?;
    if let Some(agent) = query.agent {
        rows = Arc::new(rows.intersected(&*rows_of(view, of, query, agent, limits)?)?);
    }
    if let Some(filter) = query.filter {
        rows = Arc::new(of.vectors.narrowed(&rows, &of.payloads.matching(filter))?);
    }
    Ok(rows)
}

fn rows_of<'a>(
    view: &'a View,
    of: &Collection,
    query: &SearchQuery<'a>,
    subject: SubjectRef<'a>,
    limits: &'a Limits<'a>,
) -> Result<Arc<RowSet>, QuestionError> {
    let index = &view.store.index;
    let model = &view.model.model;
    let mut world = World::new(index, &view.plan, model, query.given, limits)?;
    let guard = &of.spec.guard;
    let relation = query.relation.unwrap_or(&guard.relation);
    let (_, node) = world.node(model, &guard.object_type, relation)?;
    let who = world.who(subject)?;
    let key = KeptKey { store: view.store.number, model: view.model.id, node, who };
    // A kept set has no contextual tuples in it, nor subjects that only the request knows.
    let keepable = query.given.contextual_tuples.is_empty() && is_stored(who, |t| index.names_len(t));
    if keepable && let Some(kept) = view.kept.find(&key, view.revision) {
        return Ok(kept.rows(&view.kept, of, view.revision));
    }
    let (objects, reads) = solve_tracked(&mut world, who, node)?;
    let Some(reads) = reads.filter(|_| keepable) else { return Ok(Arc::new(of.vectors.rows_of(&objects))) };
    let kept = Arc::new(Kept::new(objects, reads, view.revision));
    let rows = kept.rows(&view.kept, of, view.revision);
    view.kept.keep(key, kept);
    Ok(rows)
}

/// Whether a subject is one that the store has a name for.
fn is_stored(who: Who, names: impl Fn(crate::index::TypeIx) -> u32) -> bool {
    let known = |t, o: Ordinal| o.0 < names(t);
    match who {
        Who::Object(t, o) => known(t, o),
        // The plan knows the node's type; usersets ask seldom.
        Who::Userset(..) => false,
        Who::Wildcard(_) => true,
    }
}

impl View {
    /// The collection of that name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn collection(&self, name: &str) -> Result<&Arc<Collection>, QuestionError> {
        let missing = || QuestionError::CollectionNotFound { store: self.store.id, name: name.to_owned() };
        self.store.collection(name).ok_or_else(missing)
    }
}

impl Engine {
    /// Answers which chunks of a collection, among those that the subject may see, are nearest to each vector: one answer a
    /// vector, all of one revision. With `with.text`, texts are read from disk.
    ///
    /// # Errors
    /// As for Check; there is no such collection; a vector does not fit it; or a text at an exact revision is gone.
    pub fn search(
        &self,
        store: StoreId,
        model: Option<ModelId>,
        consistency: Consistency,
        query: &SearchQuery<'_>,
        limits: &Limits<'_>,
    ) -> Result<At<Vec<SearchAnswer>>, QuestionError> {
        let mut view = self.view(store, model, consistency)?;
        let mut answers = view.search(query, limits)?;
        if query.with.text {
            let texts = |view: &View, answers: &mut Vec<SearchAnswer>, reading: &_| {
                let hits = answers.iter_mut().flat_map(|answer| &mut answer.hits);
                read::texts(view, query.collection, reading, hits.map(|hit| &mut hit.chunk))
            };
            let read = texts(&view, &mut answers, &self.inner.storage.reading());
            let gone = matches!(read, Err(QuestionError::TextGone { .. }));
            if gone && !matches!(consistency, Consistency::Exact(_)) {
                // A chunk was written again meanwhile: ask the newest state, together with the disk as it was then.
                let (reading, snapshot) = self.reading()?;
                view = self.view_of(&snapshot, store, model)?;
                answers = view.search(query, limits)?;
                texts(&view, &mut answers, &reading)?;
            } else {
                read?;
            }
        }
        Ok(At { revision: view.revision(), value: answers })
    }
}
