//! Takes secrets out of what leaves: texts and streams, whatever the chunks.
//!
//! A [`Filter`] knows what to look for: secrets that are held for the caller and for all others, in their usual encodings, and
//! shapes that secrets have.
//! A [`Redactor`] is one stream that goes through it. Each byte that belongs to a find is replaced, with its neighbours, by
//! `[removed:RULE]`; the report counts finds by rule and repeats none.
//!
//! Pure: no clock, no randomness, no file. `docs/output-filter.md` says what is found, what is not, and how fast.

mod delta;
mod events;
mod form;
mod holdings;
mod literal;
mod rules;
mod shape;
mod unescape;
mod words;

pub use events::{EVENT_BYTES_MAX, EventRedactor};
use holdings::Table;
pub use holdings::{HOLDING_BYTES_MAX, HOLDING_BYTES_MIN, HOLDINGS_MAX, Holdings, HoldingsFull, can_be_guessed};
use literal::{Found, HELD, HOLDING, Literals, SHAPES_FROM};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use unescape::{Unescape, Unit};
use zeroize::{Zeroize as _, Zeroizing};

/// The shortest secret that is looked for, in bytes: a shorter one stands in texts by chance.
pub const HELD_SECRET_BYTES_MIN: usize = literal::ANCHOR_BYTES;
/// The longest, in bytes.
pub const HELD_SECRET_BYTES_MAX: usize = 16 << 10;
/// The most secrets of a filter.
pub const HELD_SECRETS_MAX: usize = 1_024;
/// The most bytes that a shape holds back until it is certain.
pub const SHAPE_BYTES_MAX: usize = 2_048;
/// How often a secret may repeat itself: `abababab` does so four times.
const REPEATS_MAX: usize = 16;
/// The least letters with which a secret must begin like a word of ordinary text to make all words wait.
const PLAIN_LETTERS_MAX: usize = 4;
/// In how many parts what waits of a long word lets go.
const WAITING_PARTS: u64 = 4;

/// Why a secret cannot be looked for. It is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It would be found everywhere.
    #[error(
        "a secret of {0} bytes, line breaks and escapes not counted, cannot be told from ordinary text; use one of at \
         least {HELD_SECRET_BYTES_MIN}"
    )]
    Short(usize),
    /// It is too long.
    #[error("a secret of {0} bytes cannot be looked for; the most are {HELD_SECRET_BYTES_MAX}")]
    Long(usize),
    /// It is a pattern rather than a secret.
    #[error("a secret that consists of {0} equal parts cannot be looked for; use a random one")]
    Repeats(usize),
    /// There are too many.
    #[error("more than {HELD_SECRETS_MAX} secrets cannot be looked for at once")]
    Many,
}

/// What is looked for. A clone shares it. `Debug` shows no secret.
#[derive(Clone)]
pub struct Filter {
    inner: Arc<Inner>,
    holdings: Option<Arc<Holdings>>,
    shapes: bool,
}

struct Inner {
    /// Whether words of ordinary text wait too, because a secret begins like one.
    plainly: bool,
    /// Forms as they stand in the stream.
    plain: Literals,
    /// Whether one of them has what may be an escape or a line break.
    escaped: bool,
    /// Forms as they stand once escapes and line breaks are gone.
    bare: Literals,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("shapes", &self.shapes).finish_non_exhaustive()
    }
}

impl Filter {
    /// Looks for these secrets, and for shapes.
    ///
    /// # Errors
    /// A secret cannot be looked for. See [`Filter::takes`].
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Result<Filter, FilterError> {
        let (mut plain, mut bare, mut plainly) = (Vec::new(), Vec::new(), false);
        for (count, secret) in secrets.into_iter().enumerate() {
            if count == HELD_SECRETS_MAX {
                return Err(FilterError::Many);
            }
            Filter::takes(secret)?;
            plainly |= words::plain_letters(secret) > PLAIN_LETTERS_MAX;
            let forms = form::forms(secret);
            bare.extend(form::bare(&forms));
            plain.extend(forms);
        }
        let escaped = plain.iter().any(|form| form.iter().any(|byte| stands_out(*byte)));
        let (plain, bare) = (Literals::new(plain), Literals::new(bare));
        let (plain, bare) = (plain.ok_or(FilterError::Many)?, bare.ok_or(FilterError::Many)?);
        Ok(Filter { inner: Arc::new(Inner { plainly, plain, escaped, bare }), holdings: None, shapes: true })
    }

    /// The same, which looks for what is held for others too: [`Holdings`] says for what of it.
    #[must_use]
    pub fn with_holdings(&self, holdings: Arc<Holdings>) -> Filter {
        Filter { holdings: Some(holdings), ..self.clone() }
    }

    /// The same without shapes, for bytes that are no text: there they occur by chance.
    #[must_use]
    pub fn without_shapes(&self) -> Filter {
        Filter { shapes: false, ..self.clone() }
    }

    /// Whether a secret can be looked for. One that cannot be should not be held.
    ///
    /// # Errors
    /// It is too short, too long, or no secret.
    pub fn takes(secret: &[u8]) -> Result<(), FilterError> {
        if secret.len() > HELD_SECRET_BYTES_MAX {
            return Err(FilterError::Long(secret.len()));
        }
        // Without its line breaks, and without what looks like escapes in it.
        let bare = form::bare(&[Zeroizing::new(secret.to_vec())]);
        let shortest = bare.iter().map(|form| form.len()).min().unwrap_or(0);
        if shortest < HELD_SECRET_BYTES_MIN {
            return Err(FilterError::Short(shortest));
        }
        match form::repeats(secret) {
            0..=REPEATS_MAX => Ok(()),
            many => Err(FilterError::Repeats(many)),
        }
    }

    /// A text at once.
    #[must_use]
    pub fn redact(&self, text: &[u8]) -> (Vec<u8>, Report) {
        let mut redactor = self.stream();
        let mut out = Vec::with_capacity(text.len());
        redactor.push(text, &mut out);
        let report = redactor.finish(&mut out);
        (out, report)
    }

    /// A stream that goes through it.
    #[must_use]
    pub fn stream(&self) -> Redactor {
        Redactor {
            plain: literal::Search::new(&self.inner.plain),
            outer: Unescape::default(),
            inner: Unescape::default(),
            behind: Behind {
                lines: literal::Lines::default(),
                bare: literal::Search::new(&self.inner.bare),
                holdings: self.holdings.as_ref().map(|_| holdings::Search::default()),
                shapes: self.shapes.then(|| shape::Search::new(&shape::SHAPES)),
                found: Vec::new(),
            },
            as_it_is: self.holdings.as_ref().map(|_| holdings::Search::default()),
            word: words::Words::default(),
            held: Zeroizing::default(),
            base: 0,
            gone: 0,
            report: Report::default(),
            filter: self.clone(),
        }
    }
}

/// What was removed: how many finds of which rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counts: BTreeMap<&'static str, u64>,
    owners: BTreeSet<Arc<str>>,
}

impl Report {
    /// By the names of rules, in their order.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(rule, count)| (*rule, *count))
    }

    /// Whose secrets of [`Holdings`] were found, at most sixteen. It is for the log, and nothing that the caller may see.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.owners.iter().map(|owner| &**owner)
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Report) {
        for (rule, count) in other.counts() {
            *self.counts.entry(rule).or_default() += count;
        }
        self.add_owners(&other.owners);
    }

    fn add_owners(&mut self, owners: &BTreeSet<Arc<str>>) {
        for owner in owners {
            if self.owners.len() < holdings::OWNERS_MAX {
                self.owners.insert(Arc::clone(owner));
            }
        }
    }
}

/// A stream that goes through a filter. It holds back what may still become a find, and words that may, so that what waits
/// does not tell what is held: at most sixteen times the longest form of a secret, and [`SHAPE_BYTES_MAX`] times the bytes of an
/// escape; of ordinary text, a few bytes.
pub struct Redactor {
    filter: Filter,
    plain: literal::Search,
    outer: Unescape,
    inner: Unescape,
    behind: Behind,
    /// What others hold, in a word from its first escape on.
    as_it_is: Option<holdings::Search>,
    /// The word that is coming.
    word: words::Words,
    /// The bytes from `base` on, which have come and not left.
    held: Zeroizing<Vec<u8>>,
    base: u64,
    /// Everything before it has left or was removed, and what touches it from behind is removed with it. 0: nothing was.
    gone: u64,
    report: Report,
}

/// What looks at the stream behind both layers of escapes.
struct Behind {
    /// The lines of what the next two see.
    lines: literal::Lines,
    bare: literal::Search,
    holdings: Option<holdings::Search>,
    shapes: Option<shape::Search>,
    found: Vec<Found>,
}

impl Behind {
    fn push_span(&mut self, filter: &Inner, table: Option<&Table>, span: &[u8], start: u64) {
        self.lines.span(span);
        if !filter.bare.is_empty() {
            self.bare.push_span(&filter.bare, span, start, &mut self.found);
        }
        if let (Some(holdings), Some(table)) = (&mut self.holdings, table) {
            holdings.push_span(table, span, start, &mut self.found);
        }
        if let Some(shapes) = &mut self.shapes {
            shapes.push_span(&shape::SHAPES, span, start, &mut self.found);
        }
    }

    #[inline]
    fn push(&mut self, filter: &Inner, table: Option<&Table>, unit: Unit) {
        if let Some(byte) = self.lines.step(unit) {
            let unit = Unit { byte, ..unit };
            if !filter.bare.is_empty() {
                self.bare.push(&filter.bare, unit, &mut self.found);
            }
            if let (Some(holdings), Some(table)) = (&mut self.holdings, table) {
                holdings.push(table, unit, &mut self.found);
            }
        }
        if let Some(shapes) = &mut self.shapes {
            shapes.push(&shape::SHAPES, unit, &mut self.found);
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("held", &self.held.len()).field("report", &self.report).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Takes a chunk, and adds to `out` what may leave.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let holdings = self.filter.holdings.clone();
        let table = holdings.as_ref().map(|holdings| holdings.read()).filter(|table| !table.is_empty());
        let begin = self.base + self.held.len() as u64;
        let (mut rest, mut at) = (chunk, begin);
        while let Some(byte) = rest.first() {
            let stand = if self.is_even() { rest.iter().take_while(|byte| !stands_out(**byte)).count() } else { 0 };
            let (now, behind) = rest.split_at(stand.max(1));
            self.push_as_it_is(now, at, table.as_deref());
            if stand == 0 {
                self.push_byte(Unit { byte: *byte, start: at, end: at + 1 }, table.as_deref());
            } else {
                self.behind.push_span(&self.filter.inner, table.as_deref(), now, at);
            }
            (rest, at) = (behind, at + now.len() as u64);
        }
        let Behind { shapes, found, .. } = &mut self.behind;
        let shapes = shapes.as_mut().and_then(|search| search.holds_from(&shape::SHAPES, found));
        let holds = [
            self.plain.holds_from(&self.filter.inner.plain),
            self.behind.bare.holds_from(&self.filter.inner.bare),
            shapes,
            self.outer.waits_from(),
            self.inner.waits_from(),
            self.word_waits_from(chunk, begin, table.as_deref()),
        ];
        drop(table);
        let upto = holds.into_iter().flatten().fold(begin + chunk.len() as u64, u64::min);
        self.release(chunk, upto, out);
    }

    /// What others hold may begin within what looks like an escape, as `29.Q` does in `100%29.Q`: from there to the end of the
    /// word it is looked for as it stands.
    fn push_as_it_is(&mut self, span: &[u8], start: u64, table: Option<&Table>) {
        let (Some(search), Some(table)) = (&mut self.as_it_is, table) else { return };
        if search.is_within_word() || matches!(span, [byte] if unescape::begins(*byte)) {
            search.push_span(table, span, start, &mut self.behind.found);
        }
    }

    /// From where on a word waits, behind this chunk.
    fn word_waits_from(&mut self, chunk: &[u8], begin: u64, table: Option<&Table>) -> Option<u64> {
        let longest = table.map_or(0, Table::longest).max(self.filter.inner.bare.longest());
        if longest == 0 {
            return None;
        }
        self.word.push(chunk, begin);
        let from = self.word.waits_from(self.filter.inner.plainly)?;
        // Of one that is longer than every form could be, what is too far behind lets go, some at a time.
        let most = longest as u64 * literal::BYTES_PER_BYTE_MAX;
        let end = begin + chunk.len() as u64;
        let part = most / WAITING_PARTS + 1;
        Some(from.max(end.saturating_sub(most) / part * part).max(self.base))
    }

    /// Whether what comes next stands for itself, and no escape or line break is at work.
    ///
    /// A secret that is found as it stands is found without its escapes too, with two exceptions: it has what looks like an
    /// escape itself, or it begins within one, as `secret` does in `\\secret` when `\\s` is no escape but `n` would be. So
    /// the search for secrets as they stand sleeps, but for those with escapes, until an escape may have begun.
    fn is_even(&self) -> bool {
        let literals = &self.filter.inner.plain;
        let asleep = literals.is_empty() || (!self.filter.inner.escaped && self.plain.rests(literals));
        asleep && self.outer.waits_from().is_none() && self.inner.waits_from().is_none()
    }

    fn push_byte(&mut self, unit: Unit, table: Option<&Table>) {
        let even = self.is_even();
        let Redactor { filter, plain, outer, inner, behind, .. } = self;
        if !filter.inner.plain.is_empty() && !even {
            plain.push(&filter.inner.plain, unit, &mut behind.found);
        }
        let mut sink = |unit: Unit| behind.push(&filter.inner, table, unit);
        outer.push(unit, &mut |unit| inner.push(unit, &mut sink));
    }

    /// The stream is over: adds what was held back, and reports what was removed.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        let holdings = self.filter.holdings.clone();
        let table = holdings.as_ref().map(|holdings| holdings.read()).filter(|table| !table.is_empty());
        let Redactor { filter, outer, inner, behind, .. } = &mut self;
        let mut sink = |unit: Unit| behind.push(&filter.inner, table.as_deref(), unit);
        outer.finish(&mut |unit| inner.push(unit, &mut sink));
        inner.finish(&mut sink);
        drop(table);
        if let Some(shapes) = &mut behind.shapes {
            shapes.finish(&shape::SHAPES, &mut behind.found);
        }
        self.release(&[], self.base + self.held.len() as u64, out);
        let mut report = std::mem::take(&mut self.report);
        for holdings in [&self.behind.holdings, &self.as_it_is].into_iter().flatten() {
            report.add_owners(&holdings.owners);
        }
        report
    }

    /// How many bytes wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Lets go of everything before `upto`, of what is held and of the chunk behind it: no find that is still to come
    /// begins there. Holds the rest.
    fn release(&mut self, chunk: &[u8], upto: u64, out: &mut Vec<u8>) {
        // What begins first names the removed; of those that begin together, the first rule.
        self.behind.found.sort_unstable_by_key(|found| (found.start, found.rule, found.end));
        let count = self.behind.found.partition_point(|found| found.start < upto);
        let mut at = self.base.max(self.gone);
        for index in 0..count {
            let Some(Found { start, end, rule }) = self.behind.found.get(index).copied() else { break };
            if self.gone == 0 || start > self.gone {
                self.copy(chunk, at, start, out);
                let rule = rule_name(rule);
                out.extend_from_slice(b"[removed:");
                out.extend_from_slice(rule.as_bytes());
                out.push(b']');
                *self.report.counts.entry(rule).or_default() += 1;
            }
            self.gone = self.gone.max(end);
            at = self.gone;
        }
        self.behind.found.drain(..count);
        self.copy(chunk, at, upto, out);
        let leave = usize::try_from(upto - self.base).unwrap_or(usize::MAX);
        self.base = upto;
        if let Some(of_chunk) = leave.checked_sub(self.held.len()) {
            self.held.zeroize();
            self.held.extend_from_slice(chunk.get(of_chunk..).unwrap_or_default());
        } else {
            self.held.get_mut(..leave).unwrap_or_default().zeroize();
            self.held.drain(..leave);
            self.held.extend_from_slice(chunk);
        }
    }

    /// Copies the bytes between two places.
    fn copy(&self, chunk: &[u8], from: u64, to: u64, out: &mut Vec<u8>) {
        let at = |place: u64| usize::try_from(place.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let (from, to, held) = (at(from), at(to), self.held.len());
        if from < to {
            out.extend_from_slice(self.held.get(from.min(held)..to.min(held)).unwrap_or_default());
            let of_chunk = from.saturating_sub(held)..to.saturating_sub(held);
            out.extend_from_slice(chunk.get(of_chunk).unwrap_or_default());
        }
    }
}

/// What is removed by a rule is called so.
fn rule_name(rule: usize) -> &'static str {
    match rule {
        HELD => "held-secret",
        HOLDING => "secret-of-another",
        shape => shape.checked_sub(SHAPES_FROM).and_then(|at| rules::RULES.get(at)).map_or("", |rule| rule.id),
    }
}

/// Whether it may be a part of an escape, or is one of a line break.
fn stands_out(byte: u8) -> bool {
    unescape::begins(byte) || matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod events_tests;
#[cfg(test)]
mod holdings_tests;
#[cfg(test)]
mod rules_tests;
