//! One column: which subjects of one kind relate to which objects of one type by one relation, in both directions.

use super::postings::{Postings, Stored};
use super::radix::Radix;
use super::{ClassIx, RelationIx, TypeIx};
use crate::tuple::Ordinal;
use std::sync::Arc;

/// What kind of subject a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectPart {
    /// `user:anne`
    Object,
    /// `group:eng#member`
    Userset(RelationIx),
    /// `user:*`; its subject is ordinal 0.
    Wildcard,
}

/// What identifies a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnKey {
    /// The type of the objects.
    pub object_type: TypeIx,
    /// The relation.
    pub relation: RelationIx,
    /// The type of the subjects.
    pub subject_type: TypeIx,
    /// Their kind.
    pub part: SubjectPart,
}

/// A list of (other side, class), ascending by ordinal.
type Classed = Arc<[(Ordinal, ClassIx)]>;

/// See the file's head. A clone costs a few references.
#[derive(Clone, Debug, Default)]
pub struct Column {
    subjects: Radix<Stored>,
    objects: Radix<Stored>,
    /// Tuples with a condition; a tuple is here or above, never in both.
    conditional_subjects: Radix<Option<Classed>>,
    conditional_objects: Radix<Option<Classed>>,
    len: usize,
}

impl Column {
    /// How many tuples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Subjects that relate to `object` without a condition.
    #[must_use]
    pub fn subjects(&self, object: Ordinal) -> Postings<'_> {
        self.subjects.get(object).map_or(Postings::NONE, Stored::view)
    }

    /// Objects that `subject` relates to without a condition.
    #[must_use]
    pub fn objects(&self, subject: Ordinal) -> Postings<'_> {
        self.objects.get(subject).map_or(Postings::NONE, Stored::view)
    }

    /// Whether the tuple is there without a condition. Looks from the side of the subject, which tends to be small.
    #[must_use]
    pub fn contains(&self, object: Ordinal, subject: Ordinal) -> bool {
        self.subjects(object).contains(subject)
    }

    /// Whether any tuple has a condition.
    #[must_use]
    pub fn has_conditional(&self) -> bool {
        self.conditional_subjects.len() > 0
    }

    /// Subjects that relate to `object` under a condition, ascending.
    #[must_use]
    pub fn conditional_subjects(&self, object: Ordinal) -> &[(Ordinal, ClassIx)] {
        classed(&self.conditional_subjects, object)
    }

    /// Objects that `subject` relates to under a condition, ascending.
    #[must_use]
    pub fn conditional_objects(&self, subject: Ordinal) -> &[(Ordinal, ClassIx)] {
        classed(&self.conditional_objects, subject)
    }

    /// The tuple: absent, or present with its class, if any.
    #[must_use]
    pub fn find(&self, object: Ordinal, subject: Ordinal) -> Option<Option<ClassIx>> {
        if self.contains(object, subject) {
            return Some(None);
        }
        let list = self.conditional_subjects(object);
        let at = list.binary_search_by_key(&subject, |(o, _)| *o).ok()?;
        list.get(at).map(|(_, class)| Some(*class))
    }

    /// Adds a tuple; false when it is there, under whatever condition.
    pub(super) fn insert(&mut self, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) -> bool {
        if self.find(object, subject).is_some() {
            return false;
        }
        self.len += 1;
        match class {
            None => {
                self.subjects.update(object, |p| (p.insert(subject), true));
                self.objects.update(subject, |p| (p.insert(object), true));
            }
            Some(class) => {
                self.conditional_subjects.update(object, |list| (add(list, (subject, class)), true));
                self.conditional_objects.update(subject, |list| (add(list, (object, class)), true));
            }
        }
        true
    }

    /// Removes a tuple and returns its class, if any; `None` when it is not there.
    pub(super) fn remove(&mut self, object: Ordinal, subject: Ordinal) -> Option<Option<ClassIx>> {
        let class = self.find(object, subject)?;
        self.len -= 1;
        if class.is_none() {
            let gone = |p: &mut Stored, o| (p.remove(o), !p.view().is_empty());
            self.subjects.update(object, |p| gone(p, subject));
            self.objects.update(subject, |p| gone(p, object));
        } else {
            self.conditional_subjects.update(object, |list| take(list, subject));
            self.conditional_objects.update(subject, |list| take(list, object));
        }
        Some(class)
    }

    /// Puts two halves together that [`Half::build`] made of the same tuples.
    pub(super) fn from_halves(by_object: Half, by_subject: Half) -> Column {
        Column {
            len: by_object.len,
            subjects: by_object.plain,
            objects: by_subject.plain,
            conditional_subjects: by_object.conditional,
            conditional_objects: by_subject.conditional,
        }
    }

    /// Whether a tuple names the subject.
    pub(super) fn names(&self, subject: Ordinal) -> bool {
        !self.objects(subject).is_empty() || !self.conditional_objects(subject).is_empty()
    }

    /// Every subject that a tuple names; one may come twice.
    pub(super) fn for_each_subject(&self, visit: &mut dyn FnMut(Ordinal)) {
        self.objects.for_each(&mut |subject, _| visit(subject));
        self.conditional_objects.for_each(&mut |subject, _| visit(subject));
    }

    /// Every tuple as (object, subject, class), by object.
    pub fn for_each(&self, visit: &mut dyn FnMut(Ordinal, Ordinal, Option<ClassIx>)) {
        self.subjects.for_each(&mut |object, p| p.view().iter().for_each(|subject| visit(object, subject, None)));
        self.conditional_subjects.for_each(&mut |object, list| {
            list.iter().flat_map(|l| l.iter()).for_each(|(subject, class)| visit(object, *subject, Some(*class)));
        });
    }

    /// Bytes in memory, near enough.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let mut sum = 0;
        for side in [&self.subjects, &self.objects] {
            sum += side.bytes();
            side.for_each(&mut |_, p| sum += p.bytes());
        }
        for side in [&self.conditional_subjects, &self.conditional_objects] {
            sum += side.bytes();
            side.for_each(&mut |_, list| sum += list.as_ref().map_or(0, |l| 16 + l.len() * 8));
        }
        sum
    }
}

/// Tuples of one column as a start reads them: object and subject in one number, in the order of that number.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnRows {
    plain: Vec<u64>,
    conditional: Vec<(u64, ClassIx)>,
}

fn pair(high: Ordinal, low: Ordinal) -> u64 {
    u64::from(high.0) << 32 | u64::from(low.0)
}

fn halves(pair: u64) -> (Ordinal, Ordinal) {
    let half = |n: u64| Ordinal(u32::try_from(n & 0xffff_ffff).unwrap_or(u32::MAX));
    (half(pair >> 32), half(pair))
}

impl ColumnRows {
    /// Appends a tuple; they come by object, then by subject.
    pub(crate) fn push(&mut self, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) {
        match class {
            None => self.plain.push(pair(object, subject)),
            Some(class) => self.conditional.push((pair(object, subject), class)),
        }
    }

    /// How many tuples.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.conditional.len()
    }

    /// Appends what comes behind.
    pub(crate) fn append(&mut self, mut more: ColumnRows) {
        if self.plain.is_empty() && self.conditional.is_empty() {
            *self = more;
            return;
        }
        self.plain.append(&mut more.plain);
        self.conditional.append(&mut more.conditional);
    }
}

/// Which side of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Object to subjects.
    ByObject,
    /// Subject to objects.
    BySubject,
}

/// One side of a column.
pub(crate) struct Half {
    plain: Radix<Stored>,
    conditional: Radix<Option<Classed>>,
    len: usize,
}

impl Half {
    /// Builds one side of all its tuples at once: sorted runs become postings, postings become leaves, leaves a tree.
    pub(crate) fn build(rows: &ColumnRows, side: Side) -> Half {
        let len = rows.len();
        match side {
            Side::ByObject => Half { plain: plain(&rows.plain), conditional: conditional(&rows.conditional), len },
            Side::BySubject => {
                let mut turned: Vec<u64> = rows.plain.iter().map(|p| p.rotate_left(32)).collect();
                turned.sort_unstable();
                let mut classed: Vec<_> = rows.conditional.iter().map(|(p, c)| (p.rotate_left(32), *c)).collect();
                classed.sort_unstable();
                Half { plain: plain(&turned), conditional: conditional(&classed), len }
            }
        }
    }
}

fn plain(pairs: &[u64]) -> Radix<Stored> {
    let mut others = Vec::new();
    Radix::from_ascending(pairs.chunk_by(|a, b| a >> 32 == b >> 32).map(|run| {
        others.clear();
        others.extend(run.iter().map(|p| halves(*p).1));
        let of = run.first().map_or(Ordinal(0), |p| halves(*p).0);
        (of, Stored::from_slice(&others))
    }))
}

fn conditional(pairs: &[(u64, ClassIx)]) -> Radix<Option<Classed>> {
    Radix::from_ascending(pairs.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32).map(|run| {
        let of = run.first().map_or(Ordinal(0), |p| halves(p.0).0);
        (of, Some(run.iter().map(|(p, class)| (halves(*p).1, *class)).collect()))
    }))
}

fn classed(side: &Radix<Option<Classed>>, ordinal: Ordinal) -> &[(Ordinal, ClassIx)] {
    side.get(ordinal).and_then(Option::as_deref).unwrap_or_default()
}

fn add(list: &mut Option<Classed>, entry: (Ordinal, ClassIx)) -> bool {
    let old = list.as_deref().unwrap_or_default();
    let at = old.partition_point(|(o, _)| *o < entry.0);
    let (low, high) = old.split_at(at);
    let longer: Vec<_> = low.iter().copied().chain([entry]).chain(high.iter().copied()).collect();
    *list = Some(longer.into());
    true
}

fn take(list: &mut Option<Classed>, ordinal: Ordinal) -> (bool, bool) {
    let rest: Vec<_> = list.iter().flat_map(|l| l.iter()).filter(|(o, _)| *o != ordinal).copied().collect();
    let stays = !rest.is_empty();
    *list = stays.then(|| rest.into());
    (true, stays)
}
