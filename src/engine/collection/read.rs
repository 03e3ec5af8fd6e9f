//! Reading collections and their chunks: describe, get, scroll. Texts are on disk, all else is in memory.

use super::state::Collection;
use super::types::{
    ANSWER_BYTES_MAX, CHUNKS_PER_PAGE_MAX, ChunkPage, CollectionInfo, CollectionSpec, ScrollQuery, StoredChunk, With,
};
use crate::engine::Engine;
use crate::engine::state::{Snapshot, StoreEntry};
use crate::engine::types::{At, QuestionError};
use crate::engine::view::View;
use crate::storage::{Fields, Reading, Table};
use crate::tuple::{Object, StoreId};
use crate::vector::Chunk;
use std::sync::Arc;

/// A chunk with the parts that are in memory.
///
/// # Errors
/// There is no such chunk, or its vector is on disk and cannot be read.
pub(super) fn stored(view: &View, of: &Collection, chunk: Chunk, with: With) -> Result<StoredChunk, QuestionError> {
    stored_in(&view.store, of, chunk, with)?.ok_or(QuestionError::Storage)
}

/// The same, or `None` when there is no such chunk.
fn stored_in(
    store: &StoreEntry,
    of: &Collection,
    chunk: Chunk,
    with: With,
) -> Result<Option<StoredChunk>, QuestionError> {
    let name = of.vectors.owner(chunk).and_then(|owner| store.index.name(of.object_type, owner));
    let (Some(id), Some(name)) = (of.ids.id(chunk), name) else { return Ok(None) };
    Ok(Some(StoredChunk {
        id: id.to_owned(),
        object: Object { object_type: of.spec.guard.object_type.clone(), id: name.to_owned() },
        vector: if with.vector { of.vectors.vector(chunk)? } else { None },
        text: None,
        payload: if with.payload { of.payloads.get(chunk).cloned() } else { None },
    }))
}

/// Adds the texts of chunks of a collection.
///
/// # Errors
/// A text is no longer, or not yet, the one of the view's revision.
pub(super) fn texts<'a>(
    view: &View,
    collection: &str,
    reading: &Reading<'_>,
    chunks: impl Iterator<Item = &'a mut StoredChunk>,
) -> Result<(), QuestionError> {
    texts_in(&view.store, view.collection(collection)?, reading, chunks)
}

/// Refuses an answer with too many bytes of vectors or texts.
pub(super) fn answer_bytes(bytes: usize) -> Result<(), QuestionError> {
    if bytes > ANSWER_BYTES_MAX { Err(QuestionError::AnswerBytes { max: ANSWER_BYTES_MAX }) } else { Ok(()) }
}

fn texts_in<'a>(
    store: &StoreEntry,
    of: &Collection,
    reading: &Reading<'_>,
    chunks: impl Iterator<Item = &'a mut StoredChunk>,
) -> Result<(), QuestionError> {
    let mut bytes = 0;
    for stored in chunks {
        let number = of.ids.number(&stored.id).ok_or(QuestionError::Storage)?;
        let print = of.prints.get(number.0 as usize).copied().unwrap_or_default();
        if !print.text {
            continue;
        }
        let key = Collection::key(Table::Texts, store.number, of.number).u32(number.0);
        let row = reading.get(&key).map_err(|_| QuestionError::Storage)?;
        let gone = || QuestionError::TextGone { chunk: stored.id.clone() };
        let row = row.ok_or_else(gone)?;
        let mut fields = Fields(&row);
        if fields.u64() != Some(print.revision.0) {
            return Err(gone());
        }
        let text = fields.text().ok_or(QuestionError::Storage)?;
        bytes += text.len();
        answer_bytes(bytes)?;
        stored.text = Some(text.to_owned());
    }
    Ok(())
}

impl Engine {
    fn with_collection<T>(
        &self,
        store: StoreId,
        name: &str,
        answer: impl FnOnce(&Arc<Snapshot>, &StoreEntry, &Collection) -> Result<T, QuestionError>,
    ) -> Result<At<T>, QuestionError> {
        let snapshot = self.inner.snapshot.load_full();
        self.of_collection(&snapshot, store, name, answer)
    }

    fn of_collection<T>(
        &self,
        snapshot: &Arc<Snapshot>,
        store: StoreId,
        name: &str,
        answer: impl FnOnce(&Arc<Snapshot>, &StoreEntry, &Collection) -> Result<T, QuestionError>,
    ) -> Result<At<T>, QuestionError> {
        let entry = snapshot.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        let missing = || QuestionError::CollectionNotFound { store, name: name.to_owned() };
        let of = entry.collection(name).ok_or_else(missing)?;
        Ok(At { revision: snapshot.revision, value: answer(snapshot, entry, of)? })
    }

    /// What a collection was made as.
    pub(super) fn collection_spec(&self, store: StoreId, name: &str) -> Result<CollectionSpec, QuestionError> {
        Ok(self.with_collection(store, name, |_, _, of| Ok(CollectionSpec::clone(&of.spec)))?.value)
    }

    /// Describes a collection. Walks its rows: milliseconds for a million.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn collection(&self, store: StoreId, name: &str) -> Result<At<CollectionInfo>, QuestionError> {
        self.with_collection(store, name, |_, _, of| Ok(of.info()))
    }

    /// Describes the collections of a store, in the order in which they were made.
    ///
    /// # Errors
    /// There is no such store.
    pub fn collections(&self, store: StoreId) -> Result<At<Vec<CollectionInfo>>, QuestionError> {
        let snapshot = self.inner.snapshot.load();
        let entry = snapshot.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        let value = entry.collections.iter().map(|of| of.info()).collect();
        Ok(At { revision: snapshot.revision, value })
    }

    /// Chunks by their ids, in the order asked for; `None` for those that are not there.
    ///
    /// # Errors
    /// There is no such collection, more than [`CHUNKS_PER_PAGE_MAX`] ids are asked for, or the disk failed.
    pub fn chunks(
        &self,
        store: StoreId,
        name: &str,
        ids: &[String],
        with: With,
    ) -> Result<At<Vec<Option<StoredChunk>>>, QuestionError> {
        if ids.len() > CHUNKS_PER_PAGE_MAX {
            return Err(QuestionError::Count { what: "ids", given: ids.len(), max: CHUNKS_PER_PAGE_MAX });
        }
        let (reading, snapshot) = self.reading()?;
        self.of_collection(&snapshot, store, name, |_, entry, of| {
            let number = |id: &String| of.ids.number(id).map(|chunk| stored_in(entry, of, chunk, with));
            let found: Result<Vec<_>, _> = ids.iter().map(|id| number(id).transpose()).collect();
            let mut found: Vec<Option<StoredChunk>> = found?.into_iter().map(Option::flatten).collect();
            if with.text {
                texts_in(entry, of, &reading, found.iter_mut().flatten())?;
            }
            Ok(found)
        })
    }

    /// A page of chunks, in the order of their numbers.
    ///
    /// # Errors
    /// There is no such collection, or the disk failed.
    pub fn scroll(&self, store: StoreId, name: &str, query: &ScrollQuery<'_>) -> Result<At<ChunkPage>, QuestionError> {
        let (reading, snapshot) = self.reading()?;
        self.of_collection(&snapshot, store, name, |_, entry, of| {
            if let Some(object) = query.object.filter(|object| object.object_type != of.spec.guard.object_type) {
                let (given, wanted) = (object.object_type.to_owned(), of.spec.guard.object_type.clone());
                return Err(QuestionError::NotGuarded { given, wanted });
            }
            let owner = query.object.map(|object| entry.index.ordinal(of.object_type, object.id));
            let matching = query.filter.map(|filter| of.payloads.matching(filter));
            let page_size = query.page_size.clamp(1, CHUNKS_PER_PAGE_MAX);
            let mut page = ChunkPage { chunks: Vec::new(), next: None };
            let (mut last, mut failed) = (None, None);
            let mut admit = |chunk: Chunk| {
                let good = owner.is_none_or(|owner| owner.is_some() && of.vectors.owner(chunk) == owner)
                    && matching.as_ref().is_none_or(|matching| matching.admits(chunk));
                if good && page.chunks.len() == page_size {
                    page.next = last;
                    return false;
                }
                match if good { stored_in(entry, of, chunk, query.with) } else { Ok(None) } {
                    Ok(Some(stored)) => {
                        page.chunks.push(stored);
                        last = Some(chunk.0);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        failed = Some(error);
                        return false;
                    }
                }
                true
            };
            let first = query.after.map_or(0, |after| after.saturating_add(1));
            match owner {
                Some(Some(owner)) => {
                    let mut chunks = of.vectors.chunks_of(owner);
                    chunks.sort_unstable();
                    chunks.into_iter().filter(|chunk| chunk.0 >= first).all(&mut admit);
                }
                Some(None) => {}
                None => {
                    of.ids.iter_from(first).all(|(chunk, _)| admit(chunk));
                }
            }
            failed.map_or(Ok(()), Err)?;
            if query.with.text {
                texts_in(entry, of, &reading, page.chunks.iter_mut())?;
            }
            Ok(page)
        })
    }
}
