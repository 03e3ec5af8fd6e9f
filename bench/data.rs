//! What benches share: the same random numbers in every run, real embeddings, and CPU time.

use bailiwick::vector::half_to_f32;
use std::path::Path;

/// Splitmix64, so that every run asks the same.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next 64 random bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number under `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }
}

/// The rows of a `.npy` of half floats.
pub(crate) fn halves(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let from = 10 + usize::from(bytes[8]) + 256 * usize::from(bytes[9]);
    let header = std::str::from_utf8(&bytes[10..from]).unwrap();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let width: usize = shape.split(',').nth(1).unwrap().trim().parse().unwrap();
    let float = |pair: &[u8]| half_to_f32(u16::from(pair[0]) | u16::from(pair[1]) << 8);
    bytes[from..].chunks_exact(2 * width).map(|row| row.chunks_exact(2).map(float).collect()).collect()
}
