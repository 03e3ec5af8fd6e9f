//! The form in which vectors are kept outside of memory: what a space makes of them, element by element, big-endian.
//!
//! A vector is normalised and rounded once, when it comes in. So a start, and the log applied again, give rows that are
//! the same bit for bit, whatever machine they run on.

use super::rows::Vectors;
use super::{Chunk, Element, Space, VectorError};
use crate::tuple::Ordinal;

/// A vector as its space keeps it. Made by [`Space::keep`], or read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(Vec<u8>);

impl Kept {
    /// What was kept before. Whether it fits a space is seen when it is put there.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The number of a half-precision float's bits.
#[must_use]
pub fn half_to_f32(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

impl Space {
    /// Bytes of a kept vector.
    #[must_use]
    pub fn kept_bytes(self) -> usize {
        self.dimension()
            * match self.element() {
                Element::F32 => size_of::<f32>(),
                Element::F16 => size_of::<u16>(),
            }
    }

    /// The vector as the space keeps it: normalised under cosine, rounded in half precision.
    ///
    /// # Errors
    /// It has no place in the space.
    pub fn keep(self, vector: &[f32]) -> Result<Kept, VectorError> {
        let admitted = self.admit(vector)?;
        let elements = admitted.iter().take(self.dimension());
        let mut bytes = Vec::with_capacity(self.kept_bytes());
        match self.element() {
            Element::F32 => elements.for_each(|x| bytes.extend(x.to_bits().to_be_bytes())),
            Element::F16 => elements.for_each(|x| bytes.extend(half::f16::from_f32(*x).to_bits().to_be_bytes())),
        }
        Ok(Kept(bytes))
    }

    /// A kept vector, padded; none when the bytes are not of this space.
    fn read(self, kept: &[u8]) -> Option<Vec<f32>> {
        if kept.len() != self.kept_bytes() {
            return None;
        }
        let mut vector = Vec::with_capacity(self.stride());
        match self.element() {
            Element::F32 => vector.extend(kept.as_chunks().0.iter().map(|b| f32::from_bits(u32::from_be_bytes(*b)))),
            Element::F16 => vector.extend(kept.as_chunks().0.iter().map(|b| half_to_f32(u16::from_be_bytes(*b)))),
        }
        vector.resize(self.stride(), 0.0);
        vector.iter().all(|x| x.is_finite()).then_some(vector)
    }
}

impl Vectors {
    /// Like [`Vectors::upsert`], of a vector that [`Space::keep`] made. Other bytes are refused and change nothing.
    pub fn put(&mut self, chunk: Chunk, owner: Ordinal, kept: &[u8]) -> Result<(), VectorError> {
        let given = kept.len();
        let dimension = self.space().kept_bytes();
        let vector = self.space().read(kept).ok_or(VectorError::Length { given, dimension })?;
        self.append(chunk, owner, &vector)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_kept_vector_gives_the_same_row(
            vector in prop::collection::vec(-100.0_f32..100.0, 2..40),
            metric in prop::sample::select(vec![Metric::Cosine, Metric::Dot, Metric::Euclid]),
            element in prop::sample::select(vec![Element::F32, Element::F16]),
        ) {
            prop_assume!(vector.iter().any(|x| x.abs() > 1e-3));
            let space = Space::new(vector.len(), metric, element).unwrap();
            let (mut given, mut put) = (Vectors::new(space), Vectors::new(space));
            given.upsert(Chunk(0), Ordinal(0), &vector).unwrap();
            let kept = space.keep(&vector).unwrap();
            put.put(Chunk(0), Ordinal(0), kept.bytes()).unwrap();
            prop_assert_eq!(given.vector(Chunk(0)).unwrap(), put.vector(Chunk(0)).unwrap());
            prop_assert!(put.put(Chunk(0), Ordinal(0), &kept.bytes()[1..]).is_err());
            prop_assert_eq!(put.len(), 1);
        }
    }
}
