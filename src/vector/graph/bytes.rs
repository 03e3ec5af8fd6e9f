//! The graph as bytes, so that a start loads it instead of building it: versioned and with a checksum.
//!
//! Rows are numbered anew at every start, so that the bytes name each by its chunk and a print of its code: loading finds
//! the chunk's row, drops rows whose chunk is gone or has another vector, and inserts what is missing.
//! Big-endian words: magic, version, rows; each row's chunk, print, ground list as its length and rows; the rows
//! with upper levels as row, levels and lists; a checksum of all before it.

use super::super::rows::Vectors;
use super::super::{Chunk, VectorError, row_number};
use super::{GROUND_LINKS, Graph, LEVEL_MAX, LINKS, NONE};
use std::sync::atomic::Ordering;

const MAGIC: u32 = u32::from_be_bytes(*b"BWGR");

/// Version of the bytes.
const VERSION: u32 = 1;

/// Why bytes are not a graph for these vectors. The remedy is always to build it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphBytesError {
    /// Not the bytes of a graph, or of another version.
    #[error("not a graph of version {VERSION}; build it again")]
    Version,
    /// Cut short or changed.
    #[error("the graph is damaged; build it again")]
    Damaged,
    /// Most of its rows are not in these vectors.
    #[error("the graph belongs to other vectors; build it again")]
    Foreign,
}

fn checksum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_be_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn word(&mut self) -> Result<u32, GraphBytesError> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or(GraphBytesError::Damaged)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }
    /// A list of at most `most` rows below `rows`.
    fn list(&mut self, most: usize, rows: u32) -> Result<Vec<u32>, GraphBytesError> {
        let count = self.word()? as usize;
        if count > most {
            return Err(GraphBytesError::Damaged);
        }
        let list = (0..count).map(|_| self.word()).collect::<Result<Vec<_>, _>>()?;
        if list.iter().all(|row| *row < rows) { Ok(list) } else { Err(GraphBytesError::Damaged) }
    }
}

/// What tells a row's vector from another: made of its code.
fn print_of(vectors: &Vectors, row: u32) -> u32 {
    let Some((block, local)) = vectors.place(row) else { return 0 };
    let scale = block.measure(local).scale.to_bits();
    let sum = checksum(block.code(local)) ^ u64::from(scale);
    row_number(usize::try_from((sum ^ sum >> 32) & 0xffff_ffff).unwrap_or(0))
}

impl Graph {
    /// The bytes of the rows covered. Refuses vectors of another layout.
    pub fn to_bytes(&self, vectors: &Vectors) -> Result<Vec<u8>, VectorError> {
        if !self.fits(vectors.state()) {
            return Err(VectorError::Stale);
        }
        let covered = row_number(self.covered().min(vectors.rows()));
        let mut bytes = Vec::with_capacity(covered as usize * 100);
        let mut put = |word: u32| bytes.extend(word.to_be_bytes());
        [MAGIC, VERSION, covered].into_iter().for_each(&mut put);
        let list = |row: u32, level: usize| self.neighbours(row, level).filter(|other| *other < covered).collect();
        let mut high = Vec::new();
        for row in 0..covered {
            let chunk = vectors.chunk_at(row).filter(|_| vectors.is_live(row));
            [chunk.map_or(NONE, |chunk| chunk.0), print_of(vectors, row)].into_iter().for_each(&mut put);
            put_list(&mut put, list(row, 0));
            let levels = self.level_of_list(row);
            if levels > 0 {
                high.push((row, levels));
            }
        }
        put(row_number(high.len()));
        for (row, levels) in high {
            [row, row_number(levels)].into_iter().for_each(&mut put);
            (1..=levels).for_each(|level| put_list(&mut put, list(row, level)));
        }
        let sum = checksum(&bytes);
        bytes.extend(sum.to_be_bytes());
        Ok(bytes)
    }

    /// The graph that [`Self::to_bytes`] wrote, for these vectors: in whatever order their rows are now.
    ///
    /// Rows that it lacks are inserted at once, on this thread; when it has fewer than half of them, it is refused.
    pub fn from_bytes(bytes: &[u8], vectors: &Vectors) -> Result<Self, GraphBytesError> {
        let mut reader = Reader(bytes);
        if reader.word() != Ok(MAGIC) || reader.word() != Ok(VERSION) {
            return Err(GraphBytesError::Version);
        }
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(GraphBytesError::Damaged)?;
        if checksum(body) != u64::from_be_bytes(*sum) {
            return Err(GraphBytesError::Damaged);
        }
        let (graph, new_of) = read(reader, vectors)?;
        let carried = new_of.iter().filter(|row| **row != NONE).count();
        if carried * 2 < vectors.len() {
            return Err(GraphBytesError::Foreign);
        }
        Ok(graph.carried(vectors, &new_of))
    }
}

fn put_list(put: &mut impl FnMut(u32), list: Vec<u32>) {
    put(row_number(list.len()));
    list.into_iter().for_each(put);
}

/// The graph as it was numbered when it was written, and the rows of `vectors` that its rows are now.
fn read(mut reader: Reader<'_>, vectors: &Vectors) -> Result<(Graph, Vec<u32>), GraphBytesError> {
    let rows = reader.word()?;
    // A row takes twelve bytes at least: room is made only for what can follow.
    if rows as usize > reader.0.len() / 12 {
        return Err(GraphBytesError::Damaged);
    }
    let graph = Graph::new(vectors);
    graph.reserve(rows as usize);
    let mut new_of = Vec::with_capacity(rows as usize);
    for row in 0..rows {
        let (chunk, print) = (reader.word()?, reader.word()?);
        let now = vectors.row(Chunk(chunk)).filter(|now| print_of(vectors, *now) == print);
        new_of.push(now.unwrap_or(NONE));
        graph.write_list(row, 0, reader.list(GROUND_LINKS, rows)?.into_iter());
    }
    for _ in 0..reader.word()? {
        let (row, levels) = (reader.word()?, reader.word()? as usize);
        if row >= rows || levels > LEVEL_MAX {
            return Err(GraphBytesError::Damaged);
        }
        graph.give_upper(row, levels);
        for level in 1..=levels {
            graph.write_list(row, level, reader.list(LINKS, rows)?.into_iter());
        }
    }
    graph.covered.store(rows, Ordering::Release);
    Ok((graph, new_of))
}
