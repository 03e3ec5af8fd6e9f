//! Verification of an export, without a database: with the log's public key, and perhaps an older checkpoint.
//!
//! It reads line by line and names what is wrong as exactly as can be known. The order of trust: the key was given; the
//! checkpoint is signed by it; the leaves and the hashes in the head give the checkpoint's root; each event gives its leaf.
//! Where an event does not give its leaf but all leaves give the root, that event was changed and no other.

use super::export::{Consistency, EXPORT_VERSION, End, Head, Line};
pub use super::fault::{FAULTS_MAX, Fault, Report};
use super::note::{Checkpoint, Note, VerifierKey, hash};
use super::query::Filter;
use super::retention::Coverage;
use super::tree::{Hash, PROOF_HASHES_MAX, SIZE_MAX, extends, includes, join, node_hash, whole_parts};
use super::{Place, leaf};
use crate::identity::Event;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, Read as _};

/// Longest line of an export.
pub const LINE_BYTES_MAX: u64 = 512 << 10;

/// Whom and what to believe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// The log's keys.
    pub keys: &'a [VerifierKey],
    /// Keys of witnesses.
    pub witnesses: &'a [VerifierKey],
    /// An older checkpoint, as a note: what is verified must continue it.
    pub since: Option<&'a str>,
    /// Whether all events of the log must be there.
    pub whole: bool,
}

/// Verifies an export. What is wrong with it is in the report.
///
/// # Errors
/// It cannot be read from where it is.
pub fn verify(input: impl BufRead, trust: &Trust<'_>) -> std::io::Result<Report> {
    let mut lines = Lines { input, line: 0, buffer: Vec::new() };
    let mut report = Report::default();
    let head = match lines.next()? {
        None => Err("it is empty".to_owned()),
        Some(Err(what)) => Err(what),
        Some(Ok(bytes)) => read_head(bytes),
    };
    let head = match head {
        Ok(head) => head,
        Err(what) => {
            report.fault(Fault::Head(what));
            return Ok(report);
        }
    };
    let Some(mut check) = Check::begin(&head, trust, &mut report) else { return Ok(report) };
    let mut end = None;
    loop {
        let line = lines.line + 1;
        let Some(bytes) = lines.next()? else { break };
        if end.is_some() {
            check.report.fault(Fault::Behind { line });
            break;
        }
        match bytes.and_then(read_line) {
            Err(what) => check.unreadable(line, what),
            Ok(Read::End(last)) => end = Some(last),
            Ok(Read::Event(event)) => check.event(line, &event),
        }
    }
    check.end(end, lines.line);
    Ok(report)
}

/// Reads lines within a bound.
struct Lines<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line, or why it is none that can be read. `None` at the end.
    fn next(&mut self) -> std::io::Result<Option<Result<&[u8], String>>> {
        self.buffer.clear();
        self.input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if self.buffer.pop() != Some(b'\n') {
            // It is too long, or it was cut: the rest of a line that is too long is no line of its own.
            let long = self.buffer.len() as u64 >= LINE_BYTES_MAX;
            while long && self.skip()? {}
            let what = if long { format!("it has over {LINE_BYTES_MAX} bytes") } else { "it is cut off".to_owned() };
            return Ok(Some(Err(what)));
        }
        Ok(Some(Ok(&self.buffer)))
    }

    /// Passes over bytes of a line. False at its end.
    fn skip(&mut self) -> std::io::Result<bool> {
        let bytes = self.input.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (count, more) = end.map_or((bytes.len(), !bytes.is_empty()), |at| (at + 1, false));
        self.input.consume(count);
        Ok(more)
    }
}

fn read_head(bytes: &[u8]) -> Result<Head, String> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| format!("its first line: {error}"))?;
    if head.bailiwick_audit != EXPORT_VERSION {
        return Err(format!("its version is {}, and {EXPORT_VERSION} is known", head.bailiwick_audit));
    }
    if head.from > head.to || head.to > SIZE_MAX {
        return Err(format!("its range is {} to {}", head.from, head.to));
    }
    Ok(head)
}

enum Read<'a> {
    Event(Line<'a>),
    End(End),
}

fn read_line(bytes: &[u8]) -> Result<Read<'_>, String> {
    let event = match serde_json::from_slice(bytes) {
        Ok(line) => return Ok(Read::Event(line)),
        Err(error) => error,
    };
    serde_json::from_slice(bytes).map(Read::End).map_err(|_| event.to_string())
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| hash(text)).collect()
}

/// The whole subtrees of the leaves so far, each lower than the one before it.
#[derive(Clone, Default)]
struct Stack(Vec<(u32, Hash)>);

impl Stack {
    /// Adds the whole subtree of a height that begins where the leaves so far end.
    fn push(&mut self, mut height: u32, mut hash: Hash) {
        while let Some((_, left)) = self.0.pop_if(|(top, _)| *top == height) {
            hash = node_hash(&left, &hash);
            height += 1;
        }
        self.0.push((height, hash));
    }

    fn root(&self) -> Hash {
        join(self.0.iter().map(|(_, hash)| *hash))
    }
}

/// An older checkpoint, and whether the log was seen to continue it.
struct Since {
    checkpoint: Checkpoint,
    continued: Option<bool>,
}

/// A verification under way.
struct Check<'a> {
    report: &'a mut Report,
    checkpoint: Checkpoint,
    selection: Option<Filter>,
    consistency: Option<Consistency>,
    behind: Vec<Hash>,
    whole: bool,
    since: Option<Since>,
    stack: Stack,
    /// The number of the next event.
    next: u64,
    last: Option<Place>,
    /// Ranges of events that were not there when their turn came.
    missing: Vec<(u64, u64)>,
    /// A leaf is not known: the root cannot be computed.
    broken: bool,
    coverage: Coverage,
}

impl<'a> Check<'a> {
    /// Verifies the head. `None`: it makes no sense to go on.
    fn begin(head: &Head, trust: &Trust<'_>, report: &'a mut Report) -> Option<Check<'a>> {
        (report.tenant, report.from, report.to) = (head.tenant, head.from, head.to);
        report.selection.clone_from(&head.selection);
        report.note.clone_from(&head.checkpoint);
        report.keys.clone_from(&head.keys);
        match Checkpoint::open(&head.checkpoint, trust.keys, trust.witnesses) {
            Ok((_, witnesses)) => report.witnesses = witnesses,
            Err(error) => report.fault(Fault::Checkpoint(error)),
        }
        // Not to be believed when that failed; but what else is wrong can be told.
        let checkpoint = Note::parse(&head.checkpoint).and_then(|note| Checkpoint::parse(note.text())).ok()?;
        report.checkpoint = Some(checkpoint.clone());
        if head.to > checkpoint.size {
            report.fault(Fault::Head(format!("it has events up to {}, signed are {}", head.to, checkpoint.size)));
            return None;
        }
        if trust.whole && (head.selection.is_some() || head.from > 0 || head.to < checkpoint.size) {
            report.fault(Fault::NotWhole { from: head.from, to: head.to, size: checkpoint.size });
        }
        let (before, behind) = (hashes(&head.before), hashes(&head.behind));
        let (Some(before), Some(behind)) = (before, behind) else {
            report.fault(Fault::Head("a hash in it is none".to_owned()));
            return None;
        };
        let all = head.selection.is_none();
        let parts = |from, to| if all { whole_parts(from, to).collect() } else { Vec::new() };
        let (left, right) = (parts(0, head.from), parts(head.to, checkpoint.size));
        if left.len() != before.len() || right.len() != behind.len() {
            report.fault(Fault::Head("it has not the hashes that its range needs".to_owned()));
            return None;
        }
        let mut stack = Stack::default();
        left.iter().zip(before).for_each(|((height, _), hash)| stack.push(*height, hash));
        let mut check = Check {
            since: None,
            report,
            selection: head.selection.clone(),
            consistency: head.consistency.clone(),
            behind,
            whole: all,
            stack,
            next: head.from,
            last: None,
            missing: Vec::new(),
            broken: false,
            coverage: Coverage::default(),
            checkpoint,
        };
        check.begin_since(trust);
        Some(check)
    }

    fn begin_since(&mut self, trust: &Trust<'_>) {
        let Some(note) = trust.since else { return };
        let older = match Checkpoint::open(note, trust.keys, &[]) {
            Ok((older, _)) => older,
            Err(error) => return self.report.fault(Fault::Since(error)),
        };
        if older.origin != self.checkpoint.origin {
            let (theirs, ours) = (older.origin, self.checkpoint.origin.clone());
            return self.report.fault(Fault::OtherLog { theirs, ours });
        }
        if older.size > self.checkpoint.size {
            let (since, size) = (older.size, self.checkpoint.size);
            return self.report.fault(Fault::SetBack { since, size });
        }
        self.since = Some(Since { checkpoint: older, continued: None });
        self.compare_since();
    }

    /// Compares with the older checkpoint when the leaves so far are as many as it has.
    fn compare_since(&mut self) {
        let (at, known) = (self.next, self.whole && !self.broken);
        if let Some(since) = self.since.as_mut().filter(|since| known && since.checkpoint.size == at) {
            since.continued = Some(since.checkpoint.root == self.stack.root());
        }
    }

    fn unreadable(&mut self, line: u64, what: String) {
        // It stood for an event, or was the last line: which is missing then is seen by the others.
        self.report.fault(Fault::Line { line, what });
    }

    fn event(&mut self, line: u64, shown: &Line<'_>) {
        self.report.lines += 1;
        let index = shown.index;
        if index < self.next {
            return self.late(line, index);
        }
        if index >= self.report.to {
            let what = format!("is behind the range that ends at {}", self.report.to);
            return self.report.fault(Fault::Event { index, what });
        }
        if index > self.next && self.whole {
            self.missing.push((self.next, index));
            self.broken = true;
        }
        let place = Place { revision: shown.revision, number: shown.number };
        if self.last.is_some_and(|last| place <= last) {
            self.report.fault(Fault::Place { index });
        }
        self.last = Some(place);
        match hash(&shown.leaf) {
            Some(stated) => {
                self.body(index, place, &stated, shown);
                if self.whole {
                    self.stack.push(0, stated);
                } else {
                    self.proof(index, &stated, shown);
                }
            }
            None => {
                self.report.fault(Fault::Line { line, what: "its leaf is no hash".to_owned() });
                self.broken = true;
            }
        }
        self.next = index + 1;
        self.compare_since();
    }

    /// An event whose turn is over.
    fn late(&mut self, line: u64, index: u64) {
        let at = self.missing.iter().position(|(from, to)| (*from..*to).contains(&index));
        let Some(at) = at else { return self.report.fault(Fault::Twice { line, index }) };
        let (from, to) = self.missing.swap_remove(at);
        self.missing.extend([(from, index), (index + 1, to)].into_iter().filter(|(from, to)| from < to));
        self.report.fault(Fault::Order { line, index, after: self.next - 1 });
    }

    /// Compares what stands for an event with its leaf.
    fn body(&mut self, index: u64, place: Place, stated: &Hash, shown: &Line<'_>) {
        let raw = shown.event.map(|raw| raw.get().as_bytes().to_vec());
        let bytes = match (raw, shown.bytes.as_deref().map(|text| STANDARD.decode(text)), shown.dropped) {
            (Some(bytes), None, false) | (None, Some(Ok(bytes)), false) => bytes,
            (None, None, true) => {
                self.report.dropped += 1;
                return self.coverage.gone(index);
            }
            _ => {
                let what = "has not exactly one of its JSON, its bytes, and that it was dropped".to_owned();
                return self.report.fault(Fault::Event { index, what });
            }
        };
        if leaf(place, &bytes) != *stated {
            return self.report.fault(Fault::Changed { index });
        }
        match Event::read(&bytes) {
            Ok(event) if event.tenant() != self.report.tenant => {
                let what = format!("is of tenant {}, the export of {}", event.tenant(), self.report.tenant);
                self.report.fault(Fault::Event { index, what });
            }
            Ok(event) => {
                self.coverage.told(index, &event);
                if self.selection.as_ref().is_some_and(|filter| !filter.admits(&event)) {
                    self.report.fault(Fault::Selection { index });
                }
            }
            // A newer program may have written it: it is in the log all the same.
            Err(_) => self.report.unread += 1,
        }
    }

    /// The proof of an event of a selection.
    fn proof(&mut self, index: u64, leaf: &Hash, shown: &Line<'_>) {
        let proof = (shown.proof.len() <= PROOF_HASHES_MAX).then(|| hashes(&shown.proof)).flatten();
        let Checkpoint { size, root, .. } = &self.checkpoint;
        if !proof.is_some_and(|proof| includes(leaf, index, *size, root, &proof)) {
            self.report.fault(Fault::Proof { index });
        }
    }

    fn end(mut self, end: Option<End>, line: u64) {
        let Report { lines, dropped, to, .. } = *self.report;
        if self.whole && self.next < to {
            self.missing.push((self.next, to));
            self.broken = true;
        }
        self.missing.sort_unstable();
        for (from, to) in std::mem::take(&mut self.missing) {
            self.report.fault(Fault::Missing { from, to });
        }
        match end {
            None => self.report.fault(Fault::Truncated { line }),
            Some(End { end, dropped: told }) if end != lines || told != dropped => {
                self.report.fault(Fault::Count { told: end, told_dropped: told, lines, dropped });
            }
            Some(_) => {}
        }
        let size = self.checkpoint.size;
        if self.whole && !self.broken {
            let parts = whole_parts(to, size).zip(std::mem::take(&mut self.behind));
            parts.for_each(|((height, _), hash)| self.stack.push(height, hash));
            if self.stack.root() != self.checkpoint.root {
                self.report.fault(Fault::Root);
            }
        }
        self.end_since();
        let untold = std::mem::take(&mut self.coverage).untold();
        for (from, until) in untold {
            if to == size {
                self.report.fault(Fault::Untold { from, to: until });
            } else {
                self.report.untold += until - from;
            }
        }
    }

    fn end_since(&mut self) {
        let Some(since) = self.since.take() else { return };
        let (older, Checkpoint { size, root, .. }) = (&since.checkpoint, &self.checkpoint);
        let proved = self.consistency.take().filter(|proof| proof.old == older.size).map(|shown| {
            hashes(&shown.proof).is_some_and(|proof| extends(older.size, &older.root, *size, root, &proof))
        });
        let same = (older.size == *size).then(|| older.root == *root);
        let continued = [since.continued, proved, same];
        if continued.contains(&Some(false)) {
            self.report.fault(Fault::Fork { size: older.size });
        } else if !continued.contains(&Some(true)) {
            self.report.fault(Fault::Unproved(older.size));
        }
    }
}
