//! Rows in memory: elements, codes, and what bounds the codes' error. Filled by one owner, then shared and never changed.
//!
//! A code is `round(x / scale) + 128`, one byte an element. For a row `x` with decoded form `x'`, the block keeps
//! `residual >= |x - x'|` and `norm >= |x|`, so that a scan knows how far an estimated product can be from the true one.

use super::disk::{Region, Reserved, RowFile, RowStore};
use super::kernel::{Kernel, LANES};
use super::{Element, Space, VectorError};
use memmap2::{Advice, MmapMut};
use std::sync::Arc;

/// The byte of a code that stands for 0, which pads rows.
const ZERO_CODE: u8 = 128;

/// Bytes of codes from which an area asks for huge pages: fewer would not fill one.
const HUGE_BYTES_MIN: usize = 2 << 20;

/// Roundings of figures kept in `f32` are widened by this, so that bounds stay bounds.
const WIDEN: f32 = 1.000_001;

/// Elements one after another: on the heap while they grow, mapped with huge pages once they are large.
#[derive(Debug)]
pub(super) enum Area<T> {
    Heap(Vec<T>),
    Mapped(MmapMut, usize),
}

impl<T: bytemuck::Pod> Area<T> {
    /// Room for `len` items. A map that the system refuses falls back to the heap.
    fn large(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        if bytes < HUGE_BYTES_MIN {
            return Self::Heap(Vec::with_capacity(len));
        }
        let Ok(map) = MmapMut::map_anon(bytes) else { return Self::Heap(Vec::with_capacity(len)) };
        // Advice only: where the system has no huge pages, small ones serve.
        let _ = map.advise(Advice::HugePage);
        Self::Mapped(map, 0)
    }

    #[inline]
    pub(super) fn items(&self) -> &[T] {
        match self {
            Self::Heap(items) => items,
            Self::Mapped(map, len) => bytemuck::cast_slice(map.get(..len * size_of::<T>()).unwrap_or_default()),
        }
    }

    fn extend(&mut self, items: &[T]) {
        match self {
            Self::Heap(own) => own.extend_from_slice(items),
            Self::Mapped(map, len) => {
                let bytes = bytemuck::cast_slice(items);
                let from = *len * size_of::<T>();
                if let Some(place) = map.get_mut(from..from + bytes.len()) {
                    place.copy_from_slice(bytes);
                    *len += items.len();
                }
            }
        }
    }
}

impl<T: bytemuck::Pod> Clone for Area<T> {
    fn clone(&self) -> Self {
        Self::Heap(self.items().to_vec())
    }
}

/// The exact elements of the rows of a block.
#[derive(Clone, Debug)]
pub(super) enum Exact {
    F32(Area<f32>),
    F16(Area<u16>),
    /// On disk, as four or two bytes each.
    Disk(Region, Element),
}

/// A few rows of a space.
// INVARIANT: `codes` and `exact` hold `stride` items a row; `measures` one.
#[derive(Clone, Debug)]
pub(super) struct Block {
    stride: usize,
    pub(super) codes: Area<u8>,
    pub(super) exact: Exact,
    measures: Vec<Measure>,
    /// The largest norm and residual.
    pub(super) norm_max: f32,
    pub(super) residual_max: f32,
    /// The room that a full block's elements take in memory.
    reserved: Option<Arc<Reserved>>,
}

/// What a code of a row says besides its bytes: together, because a scan of single rows waits for each line of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    pub(super) scale: f32,
    /// At least the vector's length.
    pub(super) norm: f32,
    /// At least the length of what the code loses.
    pub(super) residual: f32,
}

/// A vector's code.
pub(super) struct Code {
    /// Signed codes, -127 to 127.
    pub(super) code: Vec<i8>,
    pub(super) measure: Measure,
}

impl Code {
    pub(super) fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        // A scale of zero would divide by it; the codes of a zero row are zero with any scale.
        let scale = if largest > f32::MIN_POSITIVE * 127.0 { largest / 127.0 } else { 1.0 };
        let code: Vec<i8> = vector.iter().map(|x| nearest_code(x / scale)).collect();
        let (mut lost, mut length) = (0.0_f64, 0.0_f64);
        for (x, c) in vector.iter().zip(&code) {
            let difference = f64::from(*x) - f64::from(*c) * f64::from(scale);
            lost += difference * difference;
            length += f64::from(*x) * f64::from(*x);
        }
        let widened = |square: f64| super::narrow(square.sqrt()) * WIDEN;
        Self { code, measure: Measure { scale, norm: widened(length), residual: widened(lost) } }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded and clamped to the range of a code")]
fn nearest_code(x: f32) -> i8 {
    x.round().clamp(-127.0, 127.0) as i8
}

impl Block {
    /// An empty block with room for `rows`.
    pub(super) fn new(space: Space, rows: usize) -> Self {
        let stride = space.stride();
        let exact = match space.element {
            Element::F32 => Exact::F32(Area::large(rows * stride)),
            Element::F16 => Exact::F16(Area::large(rows * stride)),
        };
        Self {
            stride,
            codes: Area::large(rows * stride),
            exact,
            measures: Vec::with_capacity(rows),
            norm_max: 0.0,
            residual_max: 0.0,
            reserved: None,
        }
    }

    /// Takes room in memory for the elements of a full block, or moves them to `file`, which is made when there is none.
    /// `leaving` is the room of the rows that they take the place of.
    /// A disk that takes nothing leaves them in memory: the bound is then not kept, and no row is lost.
    pub(super) fn settle(&mut self, store: &RowStore, file: &mut Option<Arc<RowFile>>, leaving: usize) {
        let (bytes, element): (&[u8], _) = match &self.exact {
            Exact::F32(area) => (bytemuck::cast_slice(area.items()), Element::F32),
            Exact::F16(area) => (bytemuck::cast_slice(area.items()), Element::F16),
            Exact::Disk(..) => return,
        };
        if let Some(reserved) = store.reserve(bytes.len(), leaving) {
            self.reserved = Some(Arc::new(reserved));
            return;
        }
        let opened = match file {
            Some(file) => Ok(Arc::clone(file)),
            None => store.file().map(|new| Arc::clone(file.insert(Arc::new(new)))),
        };
        match opened.and_then(|file| file.append(bytes)) {
            Ok(region) => self.exact = Exact::Disk(region, element),
            Err(error) => tracing::warn!(%error, "vectors could not be moved to disk and stay in memory"),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.measures.len()
    }

    /// Appends an admitted vector, whose length is the stride. Codes are those of the elements as they are kept.
    pub(super) fn push(&mut self, vector: &[f32]) {
        let code = match &mut self.exact {
            Exact::F32(area) => {
                area.extend(vector);
                Code::of(vector)
            }
            Exact::F16(area) => {
                let halves: Vec<u16> = vector.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
                area.extend(&halves);
                Code::of(&halves.iter().map(|h| half::f16::from_bits(*h).to_f32()).collect::<Vec<_>>())
            }
            Exact::Disk(..) => return, // only a full block is on disk
        };
        let bytes: Vec<u8> = code.code.iter().map(|c| c.cast_unsigned().wrapping_add(ZERO_CODE)).collect();
        self.codes.extend(&bytes);
        self.measured(code.measure);
    }

    fn measured(&mut self, measure: Measure) {
        self.measures.push(measure);
        self.norm_max = self.norm_max.max(measure.norm);
        self.residual_max = self.residual_max.max(measure.residual);
    }

    /// What bounds the error of a row's code.
    #[inline]
    pub(super) fn measure(&self, row: usize) -> Measure {
        self.measures.get(row).copied().unwrap_or_default()
    }

    /// Asks for the code of a row and its measure.
    #[inline]
    pub(super) fn prefetch_code(&self, row: usize) {
        super::kernel::prefetch(self.code(row));
        if let Some(measure) = self.measures.get(row) {
            super::kernel::prefetch_item(measure);
        }
    }

    /// Appends row `row` of another block of the same space.
    pub(super) fn push_from(&mut self, other: &Self, row: usize) -> Result<(), VectorError> {
        let (from, to) = (row * self.stride, (row + 1) * self.stride);
        match (&mut self.exact, &other.exact) {
            (Exact::F32(own), Exact::F32(items)) => own.extend(items.items().get(from..to).unwrap_or_default()),
            (Exact::F16(own), Exact::F16(items)) => own.extend(items.items().get(from..to).unwrap_or_default()),
            (Exact::F32(own), Exact::Disk(region, Element::F32)) => own.extend(&read::<f32>(region, row, self.stride)?),
            (Exact::F16(own), Exact::Disk(region, Element::F16)) => own.extend(&read::<u16>(region, row, self.stride)?),
            (Exact::F32(_) | Exact::F16(_) | Exact::Disk(..), _) => return Err(VectorError::Stale),
        }
        self.codes.extend(other.code(row));
        self.measured(other.measure(row));
        Ok(())
    }

    /// The codes of one row.
    #[inline]
    pub(super) fn code(&self, row: usize) -> &[u8] {
        self.codes.items().get(row * self.stride..(row + 1) * self.stride).unwrap_or_default()
    }

    /// The codes of `count` rows from `row` on.
    #[inline]
    pub(super) fn codes(&self, row: usize, count: usize) -> &[u8] {
        self.codes.items().get(row * self.stride..(row + count) * self.stride).unwrap_or_default()
    }

    /// The elements of one row, widened.
    pub(super) fn vector(&self, row: usize) -> Result<Vec<f32>, VectorError> {
        let widened = |halves: &[u16]| halves.iter().map(|h| half::f16::from_bits(*h).to_f32()).collect();
        let range = row * self.stride..(row + 1) * self.stride;
        match &self.exact {
            Exact::F32(area) => Ok(area.items().get(range).unwrap_or_default().to_vec()),
            Exact::F16(area) => Ok(widened(area.items().get(range).unwrap_or_default())),
            Exact::Disk(region, Element::F32) => read::<f32>(region, row, self.stride),
            Exact::Disk(region, Element::F16) => read::<u16>(region, row, self.stride).map(|halves| widened(&halves)),
        }
    }

    /// The exact product with `query`, or minus the square of the distance.
    #[inline]
    pub(super) fn exact(&self, kernel: Kernel, row: usize, query: &[f32], euclid: bool) -> Result<f32, VectorError> {
        let range = row * self.stride..(row + 1) * self.stride;
        let singles = |row: &[f32]| if euclid { -kernel.square_f32(row, query) } else { kernel.dot_f32(row, query) };
        let halves = |row: &[u16]| if euclid { -kernel.square_f16(row, query) } else { kernel.dot_f16(row, query) };
        Ok(match &self.exact {
            Exact::F32(area) => singles(area.items().get(range).unwrap_or_default()),
            Exact::F16(area) => halves(area.items().get(range).unwrap_or_default()),
            Exact::Disk(region, Element::F32) => singles(&read(region, row, self.stride)?),
            Exact::Disk(region, Element::F16) => halves(&read(region, row, self.stride)?),
        })
    }

    /// Asks for the exact elements of a row.
    #[inline]
    pub(super) fn prefetch_exact(&self, row: usize) {
        let range = row * self.stride..(row + 1) * self.stride;
        match &self.exact {
            Exact::F32(area) => {
                super::kernel::prefetch(bytemuck::cast_slice(area.items().get(range).unwrap_or_default()));
            }
            Exact::F16(area) => {
                super::kernel::prefetch(bytemuck::cast_slice(area.items().get(range).unwrap_or_default()));
            }
            Exact::Disk(region, Element::F32) => region.prefetch(row, self.stride * size_of::<f32>()),
            Exact::Disk(region, Element::F16) => region.prefetch(row, self.stride * size_of::<u16>()),
        }
    }

    /// Bytes of elements in memory and on disk, and of codes with what bounds their error.
    pub(super) fn bytes(&self) -> (usize, usize, usize) {
        let (exact, disk) = match &self.exact {
            Exact::F32(area) => (size_of_val(area.items()), 0),
            Exact::F16(area) => (size_of_val(area.items()), 0),
            Exact::Disk(region, _) => (0, region.bytes()),
        };
        (exact, disk, self.codes.items().len() + self.rows() * size_of::<Measure>())
    }
}

/// The elements of a row on disk.
fn read<T: bytemuck::Pod>(region: &Region, row: usize, stride: usize) -> Result<Vec<T>, VectorError> {
    let mut elements = vec![T::zeroed(); stride];
    region.read(row, &mut elements)?;
    Ok(elements)
}

const _: () = assert!(LANES.is_multiple_of(8), "a row of codes must be whole words");
