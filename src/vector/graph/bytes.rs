//! The graph as bytes, so that a start loads it instead of building it: versioned and with a checksum.
//!
//! Big-endian words: magic, version, layout, covered, entry; each row's ground list as its length and rows; the rows with
//! upper levels as row, levels and lists; a checksum of all before it.

use super::super::row_number;
use super::super::rows::Vectors;
use super::{EMPTY, GROUND_LINKS, Graph, LEVEL_MAX, LINKS};
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
    /// Of another layout, or of rows that these vectors lack.
    #[error("the graph belongs to another layout of the vectors; build it again")]
    Layout,
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
    fn long(&mut self) -> Result<u64, GraphBytesError> {
        Ok(u64::from(self.word()?) << 32 | u64::from(self.word()?))
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

impl Graph {
    /// The bytes of the rows covered. Rows that are being inserted meanwhile are left out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let covered = row_number(self.covered());
        let mut bytes = Vec::with_capacity(covered as usize * 100);
        let mut put = |word: u32| bytes.extend(word.to_be_bytes());
        let halves = |long: u64| [row_number(usize::try_from(long >> 32).unwrap_or(0)), (long & 0xffff_ffff) as u32];
        [MAGIC, VERSION].into_iter().chain(halves(self.layout)).for_each(&mut put);
        put(covered);
        let entry = self.entry.load(Ordering::Acquire);
        let inside = self.entry().is_some_and(|(row, _)| row < covered);
        halves(if inside { entry } else { EMPTY }).into_iter().for_each(&mut put);
        let mut high = Vec::new();
        for row in 0..covered {
            let list: Vec<u32> = self.neighbours(row, 0).filter(|other| *other < covered).collect();
            put(row_number(list.len()));
            list.into_iter().for_each(&mut put);
            let levels = self.level_of_list(row);
            if levels > 0 {
                high.push((row, levels));
            }
        }
        put(row_number(high.len()));
        for (row, levels) in high {
            [row, row_number(levels)].into_iter().for_each(&mut put);
            for level in 1..=levels {
                let list: Vec<u32> = self.neighbours(row, level).filter(|other| *other < covered).collect();
                put(row_number(list.len()));
                list.into_iter().for_each(&mut put);
            }
        }
        let sum = checksum(&bytes);
        bytes.extend(sum.to_be_bytes());
        bytes
    }

    /// The graph that [`Self::to_bytes`] wrote, for the same layout of the same vectors or what they became by writes.
    pub fn from_bytes(bytes: &[u8], vectors: &Vectors) -> Result<Self, GraphBytesError> {
        let mut reader = Reader(bytes);
        if reader.word() != Ok(MAGIC) || reader.word() != Ok(VERSION) {
            return Err(GraphBytesError::Version);
        }
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(GraphBytesError::Damaged)?;
        if checksum(body) != u64::from_be_bytes(*sum) {
            return Err(GraphBytesError::Damaged);
        }
        let layout = reader.long()?;
        let covered = reader.word()?;
        if layout != vectors.state().layout || covered as usize > vectors.rows() {
            return Err(GraphBytesError::Layout);
        }
        let graph = Self::with_layout(layout);
        graph.reserve(covered as usize);
        graph.entry.store(reader.long()?, Ordering::Release);
        if graph.entry().is_some_and(|(row, level)| row >= covered || level > LEVEL_MAX) {
            return Err(GraphBytesError::Damaged);
        }
        for row in 0..covered {
            graph.write_list(row, 0, reader.list(GROUND_LINKS, covered)?.into_iter());
        }
        for _ in 0..reader.word()? {
            let (row, levels) = (reader.word()?, reader.word()? as usize);
            if row >= covered || levels > LEVEL_MAX {
                return Err(GraphBytesError::Damaged);
            }
            graph.give_upper(row, levels);
            for level in 1..=levels {
                graph.write_list(row, level, reader.list(LINKS, covered)?.into_iter());
            }
        }
        graph.covered.store(covered, Ordering::Release);
        Ok(graph)
    }
}
