//! The vectors of a collection: a persistent value with every chunk's newest row.
//!
//! Rows are appended and never changed: an upsert appends a row and takes the old one out of the live set. Full blocks are
//! large and shared by all clones; the rows after the last full block stand in small pieces, of which a write copies at
//! most the last. [`Vectors::rewrite`] drops dead rows and lays the others out in an order of the caller's choice.

use super::block::Block;
use super::disk::{RowFile, RowStore};
use super::kernel::Kernel;
use super::owners::Owners;
use super::paged::Paged;
use super::set::{RowSet, RowSetBuilder, State};
use super::{Chunk, ROWS_MAX, Space, VectorError, row_number};
use crate::tuple::{ObjectSet, Ordinal};
use std::sync::Arc;

/// Rows of a piece: what a write copies at most, while a clone is held.
const PIECE_ROWS: usize = 32;

/// Bytes of codes that a block is about: a few huge pages.
const BLOCK_CODE_BYTES: usize = 4 << 20;

/// No row, or dropped.
const NONE: u32 = u32::MAX;

/// The vectors of one collection at one moment. A clone is a snapshot: it costs a few pointers and never changes.
#[derive(Clone, Debug)]
pub struct Vectors {
    pub(super) space: Space,
    pub(super) kernel: Kernel,
    store: RowStore,
    /// Where the blocks of this layout are that have no room in memory.
    file: Option<Arc<RowFile>>,
    // INVARIANT: a power of two, at least PIECE_ROWS.
    block_rows: usize,
    /// Full blocks.
    blocks: Paged<Arc<Block>>,
    /// The rows after the full blocks: pieces, all full but the last.
    pieces: Paged<Arc<Block>>,
    chunk_of: Paged<u32>,
    owner_of: Paged<u32>,
    row_of: Paged<u32>,
    live: Paged<u64>,
    live_count: usize,
    owners: Owners,
    state: State,
}

/// Where rows went in a rewrite: for [`super::Graph::renumber`].
#[derive(Clone, Debug)]
pub struct Renumbering {
    /// The new row of each old one, `NONE` for dropped ones.
    pub(super) new_of: Vec<u32>,
    pub(super) from: State,
    pub(super) to: State,
}

/// Bytes that a collection takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Rows, dead ones included.
    pub rows: usize,
    /// Exact elements in memory.
    pub exact: usize,
    /// Exact elements on disk, because memory had no room for them.
    pub disk: usize,
    /// Codes and what bounds their error.
    pub codes: usize,
    /// Chunks, owners and the live set.
    pub maps: usize,
}

impl Vectors {
    /// An empty collection, in memory.
    #[must_use]
    pub fn new(space: Space) -> Self {
        Self::within(space, RowStore::memory())
    }

    /// An empty collection whose exact rows are where `store` has room for them.
    #[must_use]
    pub fn within(space: Space, store: RowStore) -> Self {
        let rows = (BLOCK_CODE_BYTES / space.stride()).next_power_of_two();
        Self::with_block_rows(space, rows.max(PIECE_ROWS), Kernel::detect(), store)
    }

    pub(super) fn with_block_rows(space: Space, block_rows: usize, kernel: Kernel, store: RowStore) -> Self {
        Self {
            space,
            kernel,
            store,
            file: None,
            block_rows,
            blocks: Paged::default(),
            pieces: Paged::default(),
            chunk_of: Paged::default(),
            owner_of: Paged::default(),
            row_of: Paged::default(),
            live: Paged::default(),
            live_count: 0,
            owners: Owners::default(),
            state: State::default(),
        }
    }

    /// The space of the vectors.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// How many chunks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live_count
    }

    /// Whether there is no chunk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live_count == 0
    }

    /// How many rows are dead: they take memory until the next rewrite.
    #[must_use]
    pub fn dead(&self) -> usize {
        self.chunk_of.len() - self.live_count
    }

    /// What the distances are computed with: `avx512-vnni`, `avx2` or `portable`.
    #[must_use]
    pub fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    /// Gives `chunk` this vector and this owner, whether it was there or not. A refused vector changes nothing.
    pub fn upsert(&mut self, chunk: Chunk, owner: Ordinal, vector: &[f32]) -> Result<(), VectorError> {
        let admitted = self.space.admit(vector)?;
        self.append(chunk, owner, &admitted)
    }

    /// The same, of an admitted vector.
    pub(super) fn append(&mut self, chunk: Chunk, owner: Ordinal, admitted: &[f32]) -> Result<(), VectorError> {
        self.make_room(chunk, owner)?;
        self.remove(chunk);
        self.tail_piece().push(admitted);
        self.register(chunk, owner);
        self.seal()
    }

    /// Takes `chunk` out; false when it was not there.
    pub fn remove(&mut self, chunk: Chunk) -> bool {
        let Some(row) = self.row(chunk) else { return false };
        if let Some(place) = self.row_of.get_mut(chunk.0 as usize) {
            *place = NONE;
        }
        if let Some(word) = self.live.get_mut(row as usize / 64) {
            *word &= !(1 << (row % 64));
        }
        self.live_count -= 1;
        self.state.change = mix(self.state.change, chunk.0, row);
        true
    }

    /// The object that guards `chunk`; none when there is no such chunk.
    #[must_use]
    pub fn owner(&self, chunk: Chunk) -> Option<Ordinal> {
        self.row(chunk).and_then(|row| self.owner_of.get(row as usize)).map(|owner| Ordinal(*owner))
    }

    /// The vector of `chunk` as it is compared: normalised under cosine, rounded when kept in half precision.
    /// `None`: there is no such chunk.
    ///
    /// # Errors
    /// It is on disk and cannot be read.
    pub fn vector(&self, chunk: Chunk) -> Result<Option<Vec<f32>>, VectorError> {
        let Some((block, local)) = self.row(chunk).and_then(|row| self.place(row)) else { return Ok(None) };
        let mut vector = block.vector(local)?;
        vector.truncate(self.space.dimension);
        Ok(Some(vector))
    }

    /// The chunks that `owner` guards, in the order of their rows.
    #[must_use]
    pub fn chunks_of(&self, owner: Ordinal) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let rows = self.rows_of(&std::iter::once(owner).collect());
        rows.runs(|start, end| chunks.extend((start..end).filter_map(|row| self.chunk_at(row))));
        chunks
    }

    /// The rows that `owners` guard: what a search may show to who may see them.
    #[must_use]
    pub fn rows_of(&self, owners: &ObjectSet) -> RowSet {
        let expected = usize::try_from(owners.len()).unwrap_or(usize::MAX).min(self.rows());
        let mut rows = RowSetBuilder::new(self.rows(), expected);
        self.owners.collect(owners, &mut rows);
        self.finish(rows)
    }

    /// What [`Self::rows_of`] says for these owners, from what it said for the same owners at an earlier state.
    ///
    /// For sets that are kept between searches: it costs a copy of the set and a look at the rows appended since, however
    /// many owners there are. Refused after a rewrite, which moves rows.
    pub fn refreshed(&self, earlier: &RowSet, owners: &ObjectSet) -> Result<RowSet, VectorError> {
        if earlier.state.layout != self.state.layout || earlier.rows > self.rows() {
            return Err(VectorError::Stale);
        }
        if earlier.state == self.state {
            return Ok(earlier.clone());
        }
        let mut rows = RowSetBuilder::of(earlier, self.rows());
        for row in row_number(earlier.rows)..row_number(self.rows()) {
            if self.owner_at(row).is_some_and(|owner| owners.contains(owner)) {
                rows.add(row, row + 1);
            }
        }
        Ok(self.finish(rows))
    }

    /// All live rows: for who may see everything.
    #[must_use]
    pub fn all_rows(&self) -> RowSet {
        let mut rows = RowSetBuilder::new(self.rows(), self.rows());
        rows.add(0, row_number(self.rows()));
        self.finish(rows)
    }

    pub(super) fn finish(&self, rows: RowSetBuilder) -> RowSet {
        rows.finish(self.state, |word| self.live.get(word).copied().unwrap_or_default())
    }

    /// The same chunks without dead rows, laid out by `key` of their owners, then by owner and chunk.
    ///
    /// The engine gives owners that are seen together near keys, so that what a subject may see is a few runs. It takes
    /// as long as copying the rows does and runs beside readers and writers: [`Self::catch_up`] brings the result up to
    /// what was written meanwhile.
    ///
    /// # Errors
    /// A row is on disk and cannot be read.
    pub fn rewrite(&self, key: impl Fn(Ordinal) -> u64) -> Result<(Self, Renumbering), VectorError> {
        let mut order: Vec<(u64, u32, u32, u32)> = Vec::with_capacity(self.live_count);
        for row in (0..row_number(self.rows())).filter(|row| self.is_live(*row)) {
            let owner = self.owner_of.get(row as usize).copied().unwrap_or(NONE);
            let chunk = self.chunk_of.get(row as usize).copied().unwrap_or(NONE);
            order.push((key(Ordinal(owner)), owner, chunk, row));
        }
        order.sort_unstable();
        let mut new = Self::with_block_rows(self.space, self.block_rows, self.kernel, self.store.clone());
        new.state.change = self.state.change;
        let mut new_of = vec![NONE; self.rows()];
        let leaving: usize = self.blocks.iter().map(|block| block.bytes().0).sum();
        let full = order.len() / self.block_rows * self.block_rows;
        for part in order.get(..full).unwrap_or_default().chunks(self.block_rows) {
            let mut block = Block::new(self.space, self.block_rows);
            for (_, owner, chunk, row) in part {
                self.copy_row(*row, &mut block)?;
                new.register(Chunk(*chunk), Ordinal(*owner));
            }
            block.settle(&new.store, &mut new.file, leaving);
            new.blocks.push(Arc::new(block));
        }
        for (_, owner, chunk, row) in order.get(full..).unwrap_or_default() {
            self.copy_row(*row, new.tail_piece())?;
            new.register(Chunk(*chunk), Ordinal(*owner));
        }
        new.state.layout = self.state.layout + 1;
        for (at, (_, _, _, row)) in order.iter().enumerate() {
            if let Some(place) = new_of.get_mut(*row as usize) {
                *place = row_number(at);
            }
        }
        let renumbering = Renumbering { new_of, from: self.state, to: new.state };
        Ok((new, renumbering))
    }

    /// Brings a rewrite of `base` up to `now`: what was upserted or removed since `base` is so here too.
    ///
    /// Refused when `now` does not descend from `base`, or is a rewrite itself.
    pub fn catch_up(&mut self, base: &Self, now: &Self) -> Result<(), VectorError> {
        if base.state.layout != now.state.layout || base.rows() > now.rows() || self.state.layout <= base.state.layout {
            return Err(VectorError::Stale);
        }
        for (at, (old, new)) in base.live.iter().zip(now.live.iter()).enumerate() {
            let mut gone = old & !new;
            while gone != 0 {
                let row = row_number(at * 64) + gone.trailing_zeros();
                gone &= gone - 1;
                if let Some(chunk) = base.chunk_at(row) {
                    self.remove(chunk);
                }
            }
        }
        for row in row_number(base.rows())..row_number(now.rows()) {
            let (Some(chunk), Some((block, local))) = (now.chunk_at(row), now.place(row)) else { continue };
            if !now.is_live(row) {
                continue;
            }
            let owner = Ordinal(now.owner_of.get(row as usize).copied().unwrap_or(NONE));
            self.make_room(chunk, owner)?;
            self.remove(chunk);
            self.tail_piece().push_from(block, local)?;
            self.register(chunk, owner);
            self.seal()?;
        }
        Ok(())
    }

    /// Bytes in memory. The maps are counted with dead rows too.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let mut memory = Memory { rows: self.rows(), ..Memory::default() };
        for block in self.blocks.iter().chain(self.pieces.iter()) {
            let (exact, disk, codes) = block.bytes();
            memory.exact += exact;
            memory.disk += disk;
            memory.codes += codes;
        }
        let maps = self.chunk_of.bytes() + self.owner_of.bytes() + self.row_of.bytes() + self.live.bytes();
        memory.maps = maps + self.owners.bytes();
        memory
    }

    /// The objects that guard at least one chunk. Walks all rows.
    #[must_use]
    pub fn owners(&self) -> ObjectSet {
        let rows = (0..row_number(self.rows())).filter(|row| self.is_live(*row));
        rows.filter_map(|row| self.owner_at(row)).collect()
    }

    /// Whether a set was made from exactly this state.
    #[must_use]
    pub fn is_state_of(&self, set: &RowSet) -> bool {
        set.state == self.state
    }

    /// The same, as a refusal.
    pub(super) fn owns(&self, set: &RowSet) -> Result<(), VectorError> {
        if set.state == self.state { Ok(()) } else { Err(VectorError::Stale) }
    }

    /// Makes every later read of rows on disk fail.
    #[cfg(test)]
    pub(super) fn lose_disk(&self) {
        self.file.as_ref().unwrap().lose();
    }

    /// Whether some exact rows are on disk.
    pub(super) fn on_disk(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// All rows, dead ones included.
    pub(super) fn rows(&self) -> usize {
        self.chunk_of.len()
    }

    pub(super) fn is_live(&self, row: u32) -> bool {
        self.live.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The chunk of a row, dead or alive.
    pub(super) fn chunk_at(&self, row: u32) -> Option<Chunk> {
        self.chunk_of.get(row as usize).map(|chunk| Chunk(*chunk))
    }

    pub(super) fn owner_at(&self, row: u32) -> Option<Ordinal> {
        self.owner_of.get(row as usize).map(|owner| Ordinal(*owner))
    }

    /// The block that holds a row, and the row's place in it.
    #[inline]
    pub(super) fn place(&self, row: u32) -> Option<(&Block, usize)> {
        let row = row as usize;
        let (block, local) = (row / self.block_rows, row % self.block_rows);
        if let Some(block) = self.blocks.get(block) {
            return Some((block, local));
        }
        let rest = row - self.blocks.len() * self.block_rows;
        self.pieces.get(rest / PIECE_ROWS).map(|piece| (&**piece, rest % PIECE_ROWS))
    }

    /// Resolves the blocks once, for walks that jump between rows.
    pub(super) fn view(&self) -> View<'_> {
        View {
            shift: self.block_rows.trailing_zeros(),
            mask: self.block_rows - 1,
            sealed: self.blocks.len() * self.block_rows,
            blocks: self.blocks.iter().map(|block| &**block).collect(),
            pieces: self.pieces.iter().map(|piece| &**piece).collect(),
        }
    }

    pub(super) fn row(&self, chunk: Chunk) -> Option<u32> {
        self.row_of.get(chunk.0 as usize).copied().filter(|row| *row != NONE)
    }

    fn make_room(&self, chunk: Chunk, owner: Ordinal) -> Result<(), VectorError> {
        let room = self.rows() < ROWS_MAX as usize && chunk.0 < ROWS_MAX && owner.0 < NONE;
        if room { Ok(()) } else { Err(VectorError::Full) }
    }

    /// The piece that takes the next row.
    fn tail_piece(&mut self) -> &mut Block {
        let last = self.pieces.len().checked_sub(1);
        let full = last.and_then(|at| self.pieces.get(at)).is_none_or(|piece| piece.rows() == PIECE_ROWS);
        if full {
            self.pieces.push(Arc::new(Block::new(self.space, PIECE_ROWS)));
        }
        let last = self.pieces.len() - 1;
        #[expect(clippy::expect_used, reason = "a piece was pushed if there was none")]
        Arc::make_mut(self.pieces.get_mut(last).expect("the last piece"))
    }

    /// Notes the row that was appended last.
    fn register(&mut self, chunk: Chunk, owner: Ordinal) {
        let row = row_number(self.rows());
        self.chunk_of.push(chunk.0);
        self.owner_of.push(owner.0);
        self.row_of.set(chunk.0 as usize, row, &NONE);
        self.owners.append(owner.0, row);
        if row.is_multiple_of(64) {
            self.live.push(0);
        }
        if let Some(word) = self.live.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
        self.live_count += 1;
        self.state.change = mix(self.state.change ^ u64::from(owner.0), chunk.0, row);
    }

    /// Makes the pieces a block once they fill one.
    fn seal(&mut self) -> Result<(), VectorError> {
        if self.rows() < (self.blocks.len() + 1) * self.block_rows {
            return Ok(());
        }
        let mut block = Block::new(self.space, self.block_rows);
        for piece in self.pieces.iter() {
            (0..piece.rows()).try_for_each(|row| block.push_from(piece, row))?;
        }
        block.settle(&self.store, &mut self.file, 0);
        self.blocks.push(Arc::new(block));
        self.pieces = Paged::default();
        Ok(())
    }

    fn copy_row(&self, row: u32, block: &mut Block) -> Result<(), VectorError> {
        let (from, local) = self.place(row).ok_or(VectorError::Stale)?;
        block.push_from(from, local)
    }
}

/// Mixes a change into the name of a state, so that two histories do not share a name (splitmix64's finish).
fn mix(state: u64, chunk: u32, row: u32) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (u64::from(chunk) << 32 | u64::from(row));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The blocks of a state, resolved: a row is found with one shift and one load.
pub(super) struct View<'a> {
    shift: u32,
    mask: usize,
    sealed: usize,
    blocks: Vec<&'a Block>,
    pieces: Vec<&'a Block>,
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn place(&self, row: u32) -> Option<(&'a Block, usize)> {
        let row = row as usize;
        if row < self.sealed {
            return self.blocks.get(row >> self.shift).map(|block| (*block, row & self.mask));
        }
        let rest = row - self.sealed;
        self.pieces.get(rest / PIECE_ROWS).map(|piece| (*piece, rest % PIECE_ROWS))
    }

    /// The rows `start..end`, or as many of them as stand together with the first, which are at least one.
    #[inline]
    pub(super) fn stretch(&self, start: u32, end: u32) -> Option<(&'a Block, usize, usize)> {
        let (block, local) = self.place(start)?;
        Some((block, local, (block.rows() - local).min((end - start) as usize)))
    }

    #[inline]
    pub(super) fn prefetch_code(&self, row: u32) {
        if let Some((block, local)) = self.place(row) {
            block.prefetch_code(local);
        }
    }
}
