//! Which ordinals stand on the other side of one object (or subject) in a column: inline when few, a shared sorted slice,
//! then a bitmap. 16 bytes. The form depends on the content only.

use crate::tuple::{ObjectSet, Ordinal};
use std::sync::Arc;
use triomphe::ThinArc;

/// Longest sorted slice; more is a bitmap.
const SLICE_MAX: usize = 512;

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub(super) enum Stored {
    #[default]
    Empty,
    One(Ordinal),
    Two([Ordinal; 2]),
    Three([Ordinal; 3]),
    // INVARIANT: ascending, 4 to SLICE_MAX.
    Slice(ThinArc<(), Ordinal>),
    // INVARIANT: more than SLICE_MAX.
    Set(Arc<ObjectSet>),
}

const _: () = assert!(size_of::<Stored>() == 16, "a posting is 16 bytes");

/// The ordinals of one posting, ascending, borrowed from a snapshot.
#[derive(Clone, Copy, Debug)]
pub enum Postings<'a> {
    /// Few.
    Slice(&'a [Ordinal]),
    /// Many.
    Set(&'a ObjectSet),
}

impl<'a> Postings<'a> {
    /// No ordinals.
    pub(super) const NONE: Postings<'static> = Postings::Slice(&[]);

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Postings::Slice(slice) => slice.len(),
            Postings::Set(set) => usize::try_from(set.len()).unwrap_or(usize::MAX),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `ordinal` is among them.
    #[must_use]
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        match self {
            Postings::Slice(slice) => slice.binary_search(&ordinal).is_ok(),
            Postings::Set(set) => set.contains(ordinal),
        }
    }

    /// The ordinals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Ordinal> + use<'a> {
        let (slice, set) = match *self {
            Postings::Slice(slice) => (slice, None),
            Postings::Set(set) => (&[][..], Some(set)),
        };
        slice.iter().copied().chain(set.into_iter().flatten())
    }

    /// Adds them to a set.
    pub fn union_into(&self, set: &mut ObjectSet) {
        match self {
            Postings::Slice(slice) => set.extend(slice.iter().copied()),
            Postings::Set(own) => set.union_with(own),
        }
    }

    /// Whether one of them is in `set`.
    #[must_use]
    pub fn intersects(&self, set: &ObjectSet) -> bool {
        match self {
            Postings::Slice(slice) => slice.iter().any(|o| set.contains(*o)),
            Postings::Set(own) => own.intersects(set),
        }
    }
}

impl Stored {
    pub(super) fn view(&self) -> Postings<'_> {
        match self {
            Stored::Empty => Postings::NONE,
            Stored::One(one) => Postings::Slice(std::slice::from_ref(one)),
            Stored::Two(two) => Postings::Slice(two),
            Stored::Three(three) => Postings::Slice(three),
            Stored::Slice(slice) => Postings::Slice(&slice.slice),
            Stored::Set(set) => Postings::Set(set),
        }
    }

    /// The form for these ordinals, which ascend.
    pub(super) fn from_slice(slice: &[Ordinal]) -> Stored {
        match *slice {
            [] => Stored::Empty,
            [a] => Stored::One(a),
            [a, b] => Stored::Two([a, b]),
            [a, b, c] => Stored::Three([a, b, c]),
            _ if slice.len() <= SLICE_MAX => Stored::Slice(ThinArc::from_header_and_slice((), slice)),
            _ => Stored::Set(Arc::new(ObjectSet::from_ascending(slice.iter().copied()).unwrap_or_default())),
        }
    }

    /// Adds; false when it was there.
    pub(super) fn insert(&mut self, ordinal: Ordinal) -> bool {
        if let Stored::Set(set) = self {
            return !set.contains(ordinal) && Arc::make_mut(set).insert(ordinal);
        }
        let Postings::Slice(slice) = self.view() else { return false };
        let Err(at) = slice.binary_search(&ordinal) else { return false };
        let (low, high) = slice.split_at(at);
        let mut longer = Vec::with_capacity(slice.len() + 1);
        longer.extend_from_slice(low);
        longer.push(ordinal);
        longer.extend_from_slice(high);
        *self = Stored::from_slice(&longer);
        true
    }

    /// Removes; false when it was not there.
    pub(super) fn remove(&mut self, ordinal: Ordinal) -> bool {
        if !self.view().contains(ordinal) {
            return false;
        }
        if let Stored::Set(set) = self {
            Arc::make_mut(set).remove(ordinal);
            if set.len() > SLICE_MAX as u64 {
                return true;
            }
        }
        let rest: Vec<Ordinal> = self.view().iter().filter(|o| *o != ordinal).collect();
        *self = Stored::from_slice(&rest);
        true
    }

    /// Bytes behind the posting.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Stored::Empty | Stored::One(_) | Stored::Two(_) | Stored::Three(_) => 0,
            Stored::Slice(slice) => 16 + slice.slice.len() * 4,
            Stored::Set(set) => 48 + set.bytes(),
        }
    }
}
