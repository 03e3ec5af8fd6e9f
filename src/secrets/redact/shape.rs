//! Finds what has the shape of a secret: keys and tokens of well-known issuers, private keys, and what a name such as
//! `api_key` announces.
//!
//! An automaton looks for the first letters of all shapes at once; where they occur, the shape's own automaton reads on,
//! byte by byte. Nothing is read twice, so that it does not matter where a chunk ends, and a shape that is certain holds
//! nothing back: what still belongs to it is removed as it comes.

use super::literal::{Found, SHAPES_FROM};
use super::rules::{RULES, Rule};
use super::unescape::Unit;
use aho_corasick::automaton::{Automaton as _, StateID as AnchorState};
use aho_corasick::{Anchored, MatchKind, dfa::DFA as AnchorDfa};
use regex_automata::Anchored as RegexAnchored;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Places of the last bytes that are remembered: more than an anchor has, and a power of two.
const RECENT: usize = 32;
/// The longest start of a shape.
pub(super) const ANCHOR_BYTES_MAX: usize = 24;
const _: () = assert!(ANCHOR_BYTES_MAX < RECENT && RECENT.is_power_of_two());

type Dfa = dense::DFA<Vec<u32>>;

/// The rules, compiled.
pub(super) struct Shapes {
    anchors: AnchorDfa,
    start: AnchorState,
    /// How many bytes of an anchor a state stands for.
    depths: HashMap<AnchorState, usize>,
    /// The rule of an anchor.
    rule_of: Vec<usize>,
    rules: Vec<Compiled>,
}

struct Compiled {
    rule: &'static Rule,
    /// What announces a secret, from the anchor on, when that is not a part of the secret.
    name: Option<Dfa>,
    secret: Dfa,
}

/// Compiled when the first text is filtered.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the rules are constants, and a test compiles them")]
    Shapes::new(RULES).expect("the rules are well formed")
});

impl Shapes {
    fn new(rules: &'static [Rule]) -> Option<Shapes> {
        let (mut texts, mut rule_of) = (Vec::<&str>::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate() {
            texts.extend(rule.anchors);
            rule_of.extend(rule.anchors.iter().map(|_| at));
        }
        let anchors = AnchorDfa::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(&texts)
            .ok()?;
        let start = anchors.start_state(Anchored::No).ok()?;
        let mut depths = HashMap::new();
        for text in &texts {
            let mut state = start;
            for (byte, depth) in text.bytes().zip(1..) {
                state = anchors.next_state(Anchored::No, state, byte);
                depths.insert(state, depth);
            }
        }
        let compile = |rule: &'static Rule| {
            let Rule { name, secret, .. } = rule;
            let name = if name.is_empty() { None } else { Some(dfa(name)?) };
            Some(Compiled { rule, name, secret: dfa(secret)? })
        };
        let rules = rules.iter().map(compile).collect::<Option<Vec<_>>>()?;
        Some(Shapes { anchors, start, depths, rule_of, rules })
    }
}

fn dfa(pattern: &str) -> Option<Dfa> {
    dense::Builder::new()
        .configure(dense::Config::new().start_kind(StartKind::Anchored))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .thompson(thompson::Config::new().utf8(false))
        .build(pattern)
        .ok()
}

/// The state of an automaton before its first byte.
fn begin(dfa: &Dfa, before: Option<u8>) -> Option<StateID> {
    dfa.start_state(&start::Config::new().anchored(RegexAnchored::Yes).look_behind(before)).ok()
}

/// A shape that has begun.
struct Open {
    rule: usize,
    /// Whether the announcement is still being read.
    naming: bool,
    state: StateID,
    /// Where what is to be removed begins; of what is certain, where that which was not yet reported begins.
    start: u64,
    /// Where it ends, if it is a secret as far as it has come.
    end: Option<u64>,
    /// Its bytes, where they have to be judged.
    bytes: Vec<u8>,
    /// How many of them there are up to `end`.
    judged: usize,
}

/// Where the search is.
pub(super) struct Search {
    state: AnchorState,
    open: Vec<Open>,
    /// The last bytes, each at its number modulo [`RECENT`].
    recent: [Unit; RECENT],
    seen: usize,
}

impl Search {
    pub(super) fn new(shapes: &Shapes) -> Search {
        let none = Unit { byte: b'\n', start: 0, end: 0 };
        Search { state: shapes.start, open: Vec::new(), recent: [none; RECENT], seen: 0 }
    }

    /// Takes the next byte.
    #[inline]
    pub(super) fn push(&mut self, shapes: &Shapes, unit: Unit, found: &mut Vec<Found>) {
        if !self.open.is_empty() {
            self.advance(shapes, Some(unit), found);
        }
        self.remember(unit);
        self.state = shapes.anchors.next_state(Anchored::No, self.state, unit.byte);
        if shapes.anchors.is_special(self.state) && shapes.anchors.is_match(self.state) {
            self.begin(shapes, found);
        }
    }

    /// Takes bytes that stand for themselves, the first at `start`.
    pub(super) fn push_span(&mut self, shapes: &Shapes, span: &[u8], start: u64, found: &mut Vec<Found>) {
        let unit = |byte: u8, at: usize| Unit { byte, start: start + at as u64, end: start + at as u64 + 1 };
        let mut from = 0;
        while let Some(first) = span.get(from) {
            if !self.open.is_empty() {
                self.push(shapes, unit(*first, from), found);
                from += 1;
                continue;
            }
            // Nothing is open: only the state moves, until an anchor has come.
            let (mut state, mut at, mut begins) = (self.state, from, false);
            for byte in span.iter().skip(from) {
                state = shapes.anchors.next_state(Anchored::No, state, *byte);
                at += 1;
                if shapes.anchors.is_special(state) && shapes.anchors.is_match(state) {
                    begins = true;
                    break;
                }
            }
            self.state = state;
            let known = at.saturating_sub(RECENT).max(from);
            for (byte, place) in span.iter().take(at).skip(known).zip(known..) {
                self.remember(unit(*byte, place));
            }
            if begins {
                self.begin(shapes, found);
            }
            from = at;
        }
    }

    /// The stream is over.
    pub(super) fn finish(&mut self, shapes: &Shapes, found: &mut Vec<Found>) {
        self.advance(shapes, None, found);
        self.state = shapes.start;
    }

    #[inline]
    fn remember(&mut self, unit: Unit) {
        self.seen = self.seen.wrapping_add(1);
        if let Some(place) = self.recent.get_mut(self.seen % RECENT) {
            *place = unit;
        }
    }

    /// Reports how far what is certain has come, and says where what may become a find begins.
    pub(super) fn holds_from(&mut self, shapes: &Shapes, found: &mut Vec<Found>) -> Option<u64> {
        for open in self.open.iter_mut().filter(|open| !open.naming) {
            let Some(Compiled { rule: Rule { judge: None, .. }, .. }) = shapes.rules.get(open.rule) else { continue };
            if let Some(end) = open.end.filter(|end| *end > open.start) {
                found.push(Found { start: open.start, end, rule: open.rule + SHAPES_FROM });
                open.start = end;
            }
        }
        let partial = shapes.depths.get(&self.state).and_then(|depth| self.back(*depth)).map(|unit| unit.start);
        self.open.iter().filter(|open| !open.naming).map(|open| open.start).chain(partial).min()
    }

    /// The unit that came so long ago; 1 is the last.
    fn back(&self, back: usize) -> Option<Unit> {
        self.recent.get(self.seen.wrapping_sub(back).wrapping_add(1) % RECENT).copied()
    }

    /// An anchor has come.
    fn begin(&mut self, shapes: &Shapes, found: &mut Vec<Found>) {
        for index in 0..shapes.anchors.match_len(self.state) {
            let anchor = shapes.anchors.match_pattern(self.state, index);
            let length = shapes.anchors.pattern_len(anchor);
            let Some(rule) = shapes.rule_of.get(anchor.as_usize()).copied() else { continue };
            let Some(compiled) = shapes.rules.get(rule) else { continue };
            let (naming, dfa) = match &compiled.name {
                Some(name) => (true, name),
                None => (false, &compiled.secret),
            };
            let before = self.back(length + 1).map(|unit| unit.byte);
            let (Some(state), Some(first)) = (begin(dfa, before), self.back(length)) else { continue };
            let start = first.start;
            let mut open = Open { rule, naming, state, start, end: None, bytes: Vec::new(), judged: 0 };
            let anchor = (1..=length).rev().filter_map(|back| self.back(back));
            let last = self.back(length + 1).map_or(0, |unit| unit.end);
            let (mut lives, mut last) = (true, last);
            for unit in anchor {
                lives = lives && open.advance(compiled, Some(unit), last, before, found);
                last = unit.end;
            }
            // One that is in the same state as an older one will end where that ends.
            let known = |o: &Open| o.rule == rule && o.naming == naming && o.state == open.state && o.bytes.is_empty();
            if lives && !self.open.iter().any(known) {
                self.open.push(open);
            }
        }
    }

    fn advance(&mut self, shapes: &Shapes, unit: Option<Unit>, found: &mut Vec<Found>) {
        let (last, before) = self.back(1).map_or((0, None), |unit| (unit.end, Some(unit.byte)));
        self.open.retain_mut(|open| {
            let Some(compiled) = shapes.rules.get(open.rule) else { return false };
            open.advance(compiled, unit, last, before, found)
        });
    }
}

impl Open {
    /// Takes the next byte, or the end of the stream; `last` is where the byte before it, `before`, ends. Answers whether
    /// it goes on.
    fn advance(
        &mut self,
        compiled: &Compiled,
        unit: Option<Unit>,
        last: u64,
        before: Option<u8>,
        found: &mut Vec<Found>,
    ) -> bool {
        if self.naming {
            let (Some(dfa), Some(unit)) = (&compiled.name, unit) else { return false };
            self.state = dfa.next_state(self.state, unit.byte);
            // An automaton says one byte later that it had all it wanted.
            if !dfa.is_match_state(self.state) {
                return !dfa.is_dead_state(self.state);
            }
            let next = begin(&compiled.secret, before).map(|state| compiled.secret.next_state(state, unit.byte));
            let Some(state) = next.filter(|state| !compiled.secret.is_dead_state(*state)) else { return true };
            (self.naming, self.state, self.start) = (false, state, unit.start);
        } else {
            let dfa = &compiled.secret;
            self.state = match unit {
                Some(unit) => dfa.next_state(self.state, unit.byte),
                None => dfa.next_eoi_state(self.state),
            };
            if dfa.is_match_state(self.state) {
                self.end = Some(last);
                self.judged = self.bytes.len();
            }
            if unit.is_none() || dfa.is_dead_state(self.state) {
                self.close(compiled, unit.map(|unit| unit.byte), found);
                return false;
            }
        }
        if compiled.rule.judge.is_some()
            && let Some(unit) = unit
        {
            self.bytes.push(unit.byte);
        }
        true
    }

    fn close(&mut self, compiled: &Compiled, next: Option<u8>, found: &mut Vec<Found>) {
        let Some(end) = self.end.filter(|end| *end > self.start) else { return };
        let bytes = self.bytes.get(..self.judged).unwrap_or_default();
        // The automaton says one byte late that it had all it wanted, so that what stands behind has mostly come already.
        let behind = self.bytes.get(self.judged).copied().or(next);
        if compiled.rule.judge.is_none_or(|judge| judge(bytes, behind)) {
            found.push(Found { start: self.start, end, rule: self.rule + SHAPES_FROM });
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Bytes that stand for all others in a search through an automaton.
    fn alphabet() -> impl Iterator<Item = u8> {
        0..=255
    }

    /// From every state at which a shape is not certain, it is certain or given up after a bounded number of bytes: so
    /// what is held back is bounded, whatever comes.
    #[test]
    fn what_is_held_back_is_bounded() {
        fn depth(dfa: &Dfa, state: StateID, judged: bool, known: &mut HashMap<StateID, Option<usize>>) -> usize {
            match known.get(&state) {
                Some(Some(depth)) => return *depth,
                Some(None) => panic!("a shape may stay uncertain for ever"),
                None => {}
            }
            known.insert(state, None);
            let mut next: HashSet<StateID> = alphabet().map(|byte| dfa.next_state(state, byte)).collect();
            next.retain(|next| !dfa.is_dead_state(*next) && (judged || !dfa.is_match_state(*next)));
            let longest = next.into_iter().map(|next| 1 + depth(dfa, next, judged, known)).max().unwrap_or(0);
            known.insert(state, Some(longest));
            longest
        }
        for Compiled { rule, secret, .. } in &SHAPES.rules {
            let mut known = HashMap::new();
            let (mut states, mut seen) = (vec![begin(secret, Some(b' ')).unwrap()], HashSet::new());
            while let Some(state) = states.pop() {
                if secret.is_dead_state(state) || !seen.insert(state) {
                    continue;
                }
                let held = depth(secret, state, rule.judge.is_some(), &mut known);
                assert!(held <= super::super::SHAPE_BYTES_MAX, "{}: {held}", rule.id);
                states.extend(alphabet().map(|byte| secret.next_state(state, byte)));
            }
        }
    }

    #[test]
    fn anchors_begin_their_shapes() {
        for rule in RULES {
            for anchor in rule.anchors {
                assert!((1..=ANCHOR_BYTES_MAX).contains(&anchor.len()), "{}", rule.id);
                let compiled = SHAPES.rules.iter().find(|c| std::ptr::eq(c.rule, rule)).unwrap();
                let dfa = compiled.name.as_ref().unwrap_or(&compiled.secret);
                let mut state = begin(dfa, Some(b' ')).unwrap();
                for byte in anchor.bytes() {
                    state = dfa.next_state(state, byte);
                    assert!(!dfa.is_dead_state(state), "{}: {anchor}", rule.id);
                }
            }
        }
    }
}
