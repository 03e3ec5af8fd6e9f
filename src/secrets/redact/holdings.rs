//! All secrets that are held for anybody, however many: what one holds must not leave in what another gets.
//!
//! They are found by the last bytes of a word, in one step a byte whatever their number: tokens of one issuer begin alike, and
//! end each in its own way. Each form of a secret is in a table by its last eight bytes, and is made, letter by letter, only
//! where these occur. What has come of a word waits until it has ended (`words.rs`), so that nothing of the search shows.

use super::form::{self, KINDS, Kind};
use super::literal::{ANCHOR_BYTES, Found, HOLDING, is_stretched};
use super::rules::looks_drawn;
use super::unescape::{Unit, begins, unescape};
use super::words;
use parking_lot::{RwLock, RwLockReadGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The most secrets of one tenant that are looked for.
pub const HOLDINGS_MAX: usize = 1 << 18;
/// The shortest that is looked for in what others get: a shorter one could be guessed, and the filter would tell who guesses.
pub const HOLDING_BYTES_MIN: usize = 16;
/// The longest: all words wait as long as the longest form of a secret could be.
pub const HOLDING_BYTES_MAX: usize = 4 << 10;
/// Most owners that a report names.
pub(super) const OWNERS_MAX: usize = 16;
/// Bits of the first look for each form.
const BITS_PER_FORM: usize = 16;
/// The least bits.
const BITS_MIN: usize = 1 << 12;
/// Spreads the bytes of an anchor over a number: the golden ratio, as Knuth has it.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// There are as many secrets as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} secrets are looked for in all answers, which is the most; further ones only in those for their holders")]
pub struct HoldingsFull(pub usize);

/// Secrets by who holds them. They come and go while streams go through filters, which see each change with their next chunk.
/// `Debug` shows how many there are.
pub struct Holdings {
    max: usize,
    table: RwLock<Table>,
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings").field("secrets", &self.table.read().count).finish_non_exhaustive()
    }
}

impl Holdings {
    /// None yet, and at most so many.
    #[must_use]
    pub fn new(max: usize) -> Holdings {
        Holdings { max, table: RwLock::default() }
    }

    /// Looks for these from now on in place of what was looked for of this owner; for none, if there are none.
    ///
    /// Only secrets that nobody can guess are taken: each line that is of at least [`HOLDING_BYTES_MIN`] visible ASCII
    /// characters and looks drawn. Bytes that are no text are looked for in base64 and hexadecimal.
    ///
    /// # Errors
    /// There are too many; those of the owner before are gone then.
    pub fn put<'a>(&self, owner: &str, secrets: impl IntoIterator<Item = &'a [u8]>) -> Result<(), HoldingsFull> {
        let owner: Arc<str> = owner.into();
        let texts: Vec<Text> = secrets.into_iter().flat_map(|secret| texts(&owner, secret)).collect();
        self.table.write().put(owner, texts, self.max)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }
}

/// A text that is looked for.
struct Text {
    bytes: Zeroizing<Vec<u8>>,
    owner: Arc<str>,
    kinds: &'static [Kind],
}

/// Whether a secret could be guessed: it is looked for in nobody's answers but those that it is used for.
#[must_use]
pub fn can_be_guessed(secret: &[u8]) -> bool {
    texts(&"".into(), secret).is_empty()
}

impl Text {
    /// The bytes of its longest form.
    fn longest(&self) -> usize {
        self.kinds.iter().map(|kind| form::length(&self.bytes, *kind)).max().unwrap_or(0)
    }
}

/// What of a secret is looked for.
fn texts(owner: &Arc<str>, secret: &[u8]) -> Vec<Text> {
    let text = |bytes: &[u8], kinds| Text { bytes: Zeroizing::new(bytes.to_vec()), owner: Arc::clone(owner), kinds };
    if secret.len() > HOLDING_BYTES_MAX {
        return Vec::new();
    }
    if std::str::from_utf8(secret).is_err() {
        let encoded = KINDS.get(1..).unwrap_or_default();
        return if secret.len() < HOLDING_BYTES_MIN { Vec::new() } else { vec![text(secret, encoded)] };
    }
    let lines = secret.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    let mut all = Vec::new();
    for line in lines.filter(|line| is_holding(line)) {
        all.push(text(line, KINDS));
        // What looks like an escape in it is undone in the stream, once or twice.
        if line.iter().any(|byte| begins(*byte)) {
            let once = Zeroizing::new(unescape(line));
            let twice = Zeroizing::new(unescape(&once));
            let undone = [once, twice].into_iter().filter(|undone| undone.as_slice() != line && is_holding(undone));
            all.extend(undone.map(|undone| text(&undone, &[Kind::Raw])));
        }
    }
    all
}

/// Whether it is one word that nobody can guess.
fn is_holding(line: &[u8]) -> bool {
    line.len() >= HOLDING_BYTES_MIN && line.iter().all(u8::is_ascii_graphic) && looks_drawn(line)
}

/// A form of a text.
struct Entry {
    text: Arc<Text>,
    kind: Kind,
}

/// See [`Holdings`].
#[derive(Default)]
pub(super) struct Table {
    owners: HashMap<Arc<str>, Vec<Arc<Text>>>,
    /// How many texts there are.
    count: usize,
    /// By the last bytes of the form.
    anchors: HashMap<u64, Vec<Entry>>,
    /// A bit for each anchor, and for some that are gone: what no bit says is in no text that is looked for.
    bits: Vec<u64>,
    /// As many bits are there as this number has values.
    bits_log: u32,
    /// How many forms came since the bits were made.
    set: usize,
    /// How many texts there are whose longest form has so many bytes.
    lengths: BTreeMap<usize, usize>,
    /// The greatest of these.
    longest: usize,
}

impl Table {
    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The bytes of the longest form.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    fn put(&mut self, owner: Arc<str>, texts: Vec<Text>, max: usize) -> Result<(), HoldingsFull> {
        let put = self.replace(owner, texts, max);
        self.lengths.retain(|_, count| *count > 0);
        self.longest = self.lengths.last_key_value().map_or(0, |(length, _)| *length);
        put
    }

    fn replace(&mut self, owner: Arc<str>, texts: Vec<Text>, max: usize) -> Result<(), HoldingsFull> {
        for text in self.owners.remove(&owner).unwrap_or_default() {
            self.count -= 1;
            if let Some(count) = self.lengths.get_mut(&text.longest()) {
                *count -= 1;
            }
            for (anchor, _) in anchors(&text) {
                if let Some(entries) = self.anchors.get_mut(&anchor) {
                    entries.retain(|entry| !Arc::ptr_eq(&entry.text, &text));
                    if entries.is_empty() {
                        self.anchors.remove(&anchor);
                    }
                }
            }
        }
        if self.count + texts.len() > max {
            return Err(HoldingsFull(max));
        }
        let texts: Vec<Arc<Text>> = texts.into_iter().map(Arc::new).collect();
        for text in &texts {
            self.count += 1;
            *self.lengths.entry(text.longest()).or_default() += 1;
            for (anchor, kind) in anchors(text) {
                self.anchors.entry(anchor).or_default().push(Entry { text: Arc::clone(text), kind });
                self.mark(anchor);
            }
        }
        if !texts.is_empty() {
            self.owners.insert(owner, texts);
        }
        Ok(())
    }

    fn mark(&mut self, anchor: u64) {
        if (self.set + 1) * BITS_PER_FORM > self.bits.len() * 64 {
            // Twice what is there: it is made anew for every second form that comes, at most.
            let bits = (self.anchors.len() * 2 * BITS_PER_FORM).max(BITS_MIN).next_power_of_two();
            (self.bits, self.bits_log, self.set) = (vec![0; bits / 64], bits.trailing_zeros(), self.anchors.len());
            let all: Vec<u64> = self.anchors.keys().copied().collect();
            all.into_iter().for_each(|anchor| self.set_bit(anchor));
        }
        self.set += 1;
        self.set_bit(anchor);
    }

    fn set_bit(&mut self, anchor: u64) {
        let (word, bit) = self.bit(anchor);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn bit(&self, anchor: u64) -> (usize, u64) {
        let at = anchor.wrapping_mul(SPREAD) >> (u64::BITS - self.bits_log);
        (usize::try_from(at / 64).unwrap_or(usize::MAX), 1 << (at % 64))
    }

    /// Whether a form may end with these bytes.
    #[inline]
    fn may_end(&self, anchor: u64) -> bool {
        let (word, bit) = self.bit(anchor);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The last bytes of each form of a text; of a form in base64 that is another one in URLs, of both.
fn anchors(text: &Text) -> impl Iterator<Item = (u64, Kind)> {
    text.kinds.iter().flat_map(|kind| {
        let length = form::length(&text.bytes, *kind);
        let last = (length.saturating_sub(ANCHOR_BYTES)..length).map(|at| form::letter(&text.bytes, *kind, at));
        let (plain, in_urls) = last.fold((0, 0), |(plain, in_urls), letter| {
            (plain << 8 | u64::from(letter), in_urls << 8 | u64::from(form::in_urls(*kind, letter)))
        });
        [Some(plain), (in_urls != plain).then_some(in_urls)].into_iter().flatten().map(|anchor| (anchor, *kind))
    })
}

/// Where the search is: the word that is coming, of which escapes and single line breaks are taken away.
#[derive(Default)]
pub(super) struct Search {
    /// Its last bytes, as one number.
    window: u64,
    // INVARIANT: as many places as bytes, and at most twice the longest form.
    bytes: Zeroizing<Vec<u8>>,
    /// Where each began.
    starts: Vec<u64>,
    /// Whose secrets were found.
    pub(super) owners: BTreeSet<Arc<str>>,
}

impl Search {
    /// Whether something of a word has come.
    pub(super) fn is_within_word(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Takes bytes that stand for themselves, the first at `start`, and that have no line break.
    pub(super) fn push_span(&mut self, table: &Table, span: &[u8], start: u64, found: &mut Vec<Found>) {
        let (mut rest, mut at) = (span, start);
        while let Some(first) = rest.first() {
            let is_word = words::goes_on(*first);
            let length = rest.iter().take_while(|byte| words::goes_on(**byte) == is_word).count();
            let (now, behind) = rest.split_at(length);
            // Most words of a text are too short, and neither begin before it nor go on behind it.
            let is_short = self.bytes.is_empty() && length < ANCHOR_BYTES && !behind.is_empty();
            if !is_word {
                self.clear();
            } else if !is_short {
                for (byte, at) in now.iter().zip(at..) {
                    self.push(table, Unit { byte: *byte, start: at, end: at + 1 }, found);
                }
            }
            (rest, at) = (behind, at + length as u64);
        }
    }

    /// Takes the next byte.
    #[inline]
    pub(super) fn push(&mut self, table: &Table, unit: Unit, found: &mut Vec<Found>) {
        if !words::goes_on(unit.byte) {
            return self.clear();
        }
        self.window = self.window << 8 | u64::from(unit.byte);
        self.bytes.push(unit.byte);
        self.starts.push(unit.start);
        if self.bytes.len() >= ANCHOR_BYTES && table.may_end(self.window) {
            self.compare(table, unit.end, found);
        }
        let longest = table.longest().max(ANCHOR_BYTES);
        if self.bytes.len() > 2 * longest {
            let gone = self.bytes.len() - longest;
            self.bytes.drain(..gone);
            self.starts.drain(..gone);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    #[cold]
    fn compare(&mut self, table: &Table, end: u64, found: &mut Vec<Found>) {
        for Entry { text, kind } in table.anchors.get(&self.window).into_iter().flatten() {
            let length = form::length(&text.bytes, *kind);
            let Some(begins) = self.bytes.len().checked_sub(length) else { continue };
            let Some(start) = self.starts.get(begins).copied() else { continue };
            let come = self.bytes.get(begins..).unwrap_or_default();
            let is_letter = |(at, byte): (usize, &u8)| {
                let letter = form::letter(&text.bytes, *kind, at);
                letter == *byte || form::in_urls(*kind, letter) == *byte
            };
            if !is_stretched(start, end, length) && come.iter().enumerate().rev().all(is_letter) {
                found.push(Found { start, end, rule: HOLDING });
                if self.owners.len() < OWNERS_MAX {
                    self.owners.insert(Arc::clone(&text.owner));
                }
            }
        }
    }
}
