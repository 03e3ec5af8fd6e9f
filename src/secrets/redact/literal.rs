//! Finds secrets that are known, byte by byte, in a stream.
//!
//! An automaton looks for the first bytes of all forms of all secrets at once. Where they occur, the rest of the form is
//! compared as it comes. So the automaton stays small however long the secrets are.

use super::unescape::Unit;
use super::words::{self, LINE_LETTERS_MIN};
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// A form of a secret.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// How many first bytes of a form the automaton looks for. No form is shorter.
pub(super) const ANCHOR_BYTES: usize = 8;
/// How many bytes of the stream may stand for one byte of a form. Escapes of escapes are longer only on purpose.
pub(super) const BYTES_PER_BYTE_MAX: u64 = 12;
/// Places of the last bytes that are remembered: more than [`ANCHOR_BYTES`], and a power of two.
const RECENT: usize = 16;
const _: () = assert!(RECENT > ANCHOR_BYTES && RECENT.is_power_of_two());

/// The number of the rule of what is held for the caller.
pub(super) const HELD: usize = 0;
/// Of what is held for others.
pub(super) const HOLDING: usize = 1;
/// Of the first shape.
pub(super) const SHAPES_FROM: usize = 2;

/// Bytes of the stream that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: u64,
    pub(super) end: u64,
    /// [`HELD`], [`HOLDING`], or [`SHAPES_FROM`] and the rule's place in the list of rules.
    pub(super) rule: usize,
}

/// What is looked for. `Debug` shows how many there are.
pub(super) struct Literals {
    automaton: DFA,
    start: StateID,
    /// How many bytes of an anchor a state stands for.
    depths: HashMap<StateID, usize>,
    /// By the number of the anchor in the automaton.
    forms: Vec<Vec<Form>>,
    /// The bytes of the longest form.
    longest: usize,
}

impl fmt::Debug for Literals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Literals").field("anchors", &self.forms.len()).finish_non_exhaustive()
    }
}

impl Literals {
    /// Looks for these; those shorter than [`ANCHOR_BYTES`] cannot be. `None` when the automaton would be too large.
    pub(super) fn new(forms: impl IntoIterator<Item = Form>) -> Option<Literals> {
        let mut by_anchor: Vec<([u8; ANCHOR_BYTES], Vec<Form>)> = Vec::new();
        let mut places: HashMap<[u8; ANCHOR_BYTES], usize> = HashMap::new();
        let mut longest = 0;
        for form in forms {
            longest = longest.max(form.len());
            let anchor = *form.first_chunk::<ANCHOR_BYTES>()?;
            let place = *places.entry(anchor).or_insert_with(|| {
                by_anchor.push((anchor, Vec::new()));
                by_anchor.len() - 1
            });
            if let Some((_, forms)) = by_anchor.get_mut(place)
                && !forms.contains(&form)
            {
                forms.push(form);
            }
        }
        let anchors = by_anchor.iter().map(|(anchor, _)| anchor);
        let automaton = DFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(anchors).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let mut depths = HashMap::new();
        for (anchor, _) in &by_anchor {
            let mut state = start;
            for (byte, depth) in anchor.iter().zip(1..) {
                state = automaton.next_state(Anchored::No, state, *byte);
                depths.insert(state, depth);
            }
        }
        let forms = by_anchor.into_iter().map(|(_, forms)| forms).collect();
        Some(Literals { automaton, start, depths, forms, longest })
    }

    /// The bytes of the longest form.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }
}

/// A form whose first bytes have come.
struct Open {
    anchor: usize,
    form: usize,
    /// How many of its bytes have come.
    come: usize,
    start: u64,
}

/// Where the search is.
pub(super) struct Search {
    state: StateID,
    open: Vec<Open>,
    /// Where the last bytes began, each at its number modulo [`RECENT`].
    recent: [u64; RECENT],
    seen: usize,
}

/// Where the lines of a stream are. A line break behind [`LINE_LETTERS_MIN`] letters of base64 counts as nothing, because long
/// encodings are broken into lines; `\r\n` is one, and counts as `\n`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// The line break that came just now.
    after: Option<u8>,
    /// How many letters of base64 came just now, and how many of them stood for themselves: before a line break that is none
    /// of an escape only those count, as they do where a word ends.
    letters: usize,
    own_letters: usize,
}

impl Lines {
    /// What the next byte counts as.
    #[inline]
    pub(super) fn step(&mut self, unit: Unit) -> Option<u8> {
        let own = unit.end - unit.start == 1;
        if !matches!(unit.byte, b'\r' | b'\n') {
            self.after = None;
            self.letters = if words::is_base64(unit.byte) { self.letters + 1 } else { 0 };
            self.own_letters = if words::is_base64(unit.byte) && own { self.own_letters + 1 } else { 0 };
            return Some(unit.byte);
        }
        let before = self.after.replace(unit.byte);
        let letters = if own { self.own_letters } else { self.letters };
        (self.letters, self.own_letters) = (0, 0);
        let second = before == Some(b'\r') && unit.byte == b'\n';
        (!second && (before.is_some() || letters < LINE_LETTERS_MIN)).then_some(b'\n')
    }

    /// Takes bytes that stand for themselves and have no line break.
    pub(super) fn span(&mut self, span: &[u8]) {
        let last = span.iter().rev().take(LINE_LETTERS_MIN).take_while(|byte| words::is_base64(**byte)).count();
        let (letters, own) = if last == span.len() { (self.letters, self.own_letters) } else { (0, 0) };
        (self.after, self.letters, self.own_letters) = (None, letters + last, own + last);
    }
}

impl Search {
    pub(super) fn new(literals: &Literals) -> Search {
        Search { state: literals.start, open: Vec::new(), recent: [0; RECENT], seen: 0 }
    }

    /// Takes bytes that stand for themselves, the first at `start`, and that have no line break.
    pub(super) fn push_span(&mut self, literals: &Literals, span: &[u8], start: u64, found: &mut Vec<Found>) {
        let unit = |byte: u8, at: usize| Unit { byte, start: start + at as u64, end: start + at as u64 + 1 };
        let mut from = 0;
        while let Some(first) = span.get(from) {
            if !self.open.is_empty() {
                self.push(literals, unit(*first, from), found);
                from += 1;
                continue;
            }
            // Nothing is open: only the state moves, until the first bytes of a form have come.
            let (mut state, mut at, mut begins) = (self.state, from, None);
            for byte in span.iter().skip(from) {
                state = literals.automaton.next_state(Anchored::No, state, *byte);
                at += 1;
                if literals.automaton.is_special(state) && literals.automaton.is_match(state) {
                    begins = Some(unit(*byte, at - 1));
                    break;
                }
            }
            self.state = state;
            for place in at.saturating_sub(RECENT).max(from)..at {
                self.remember(start + place as u64);
            }
            if let Some(last) = begins {
                self.begin(literals, last, found);
            }
            from = at;
        }
    }

    /// Whether nothing has begun.
    pub(super) fn rests(&self, literals: &Literals) -> bool {
        self.open.is_empty() && self.state == literals.start
    }

    /// Takes the next byte.
    #[inline]
    pub(super) fn push(&mut self, literals: &Literals, unit: Unit, found: &mut Vec<Found>) {
        if !self.open.is_empty() {
            self.compare(literals, unit, found);
        }
        self.remember(unit.start);
        self.state = literals.automaton.next_state(Anchored::No, self.state, unit.byte);
        if literals.automaton.is_special(self.state) && literals.automaton.is_match(self.state) {
            self.begin(literals, unit, found);
        }
    }

    #[inline]
    fn remember(&mut self, start: u64) {
        self.seen = self.seen.wrapping_add(1);
        if let Some(place) = self.recent.get_mut(self.seen % RECENT) {
            *place = start;
        }
    }

    /// Where what may become a find begins.
    pub(super) fn holds_from(&self, literals: &Literals) -> Option<u64> {
        let depth = literals.depths.get(&self.state);
        let partial = depth.and_then(|depth| self.began(*depth));
        self.open.iter().map(|open| open.start).chain(partial).min()
    }

    /// Where the byte that came `back` bytes ago began; 1 is the last.
    fn began(&self, back: usize) -> Option<u64> {
        self.recent.get(self.seen.wrapping_sub(back).wrapping_add(1) % RECENT).copied()
    }

    fn compare(&mut self, literals: &Literals, unit: Unit, found: &mut Vec<Found>) {
        self.open.retain_mut(|open| {
            let Some(form) = literals.forms.get(open.anchor).and_then(|forms| forms.get(open.form)) else {
                return false;
            };
            if form.get(open.come) != Some(&unit.byte) || is_stretched(open.start, unit.end, form.len()) {
                return false;
            }
            open.come += 1;
            if open.come < form.len() {
                return true;
            }
            found.push(Found { start: open.start, end: unit.end, rule: HELD });
            false
        });
    }

    fn begin(&mut self, literals: &Literals, unit: Unit, found: &mut Vec<Found>) {
        let Some(start) = self.began(ANCHOR_BYTES) else { return };
        for index in 0..literals.automaton.match_len(self.state) {
            let anchor = literals.automaton.match_pattern(self.state, index).as_usize();
            for (form, bytes) in literals.forms.get(anchor).into_iter().flatten().enumerate() {
                if is_stretched(start, unit.end, bytes.len()) {
                    continue;
                }
                if bytes.len() == ANCHOR_BYTES {
                    found.push(Found { start, end: unit.end, rule: HELD });
                } else {
                    self.open.push(Open { anchor, form, come: ANCHOR_BYTES, start });
                }
            }
        }
    }
}

/// Whether so much of the stream stands for a form that no usual encoding made it. It bounds what is held back.
pub(super) fn is_stretched(start: u64, end: u64, length: usize) -> bool {
    end - start > BYTES_PER_BYTE_MAX * u64::try_from(length).unwrap_or(u64::MAX / BYTES_PER_BYTE_MAX)
}
