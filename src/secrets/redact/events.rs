//! The filter over a stream of server-sent events (WHATWG HTML, 9.2).
//!
//! The bytes go through a [`Redactor`] like all others. Before that, parts of texts that models stream are put together:
//! each text is a stream of its own, and what of it must wait comes with the next event of the same text, or, before any
//! event that brings no text, in one more event like the last. So a secret that is split over events is found, no event
//! waits for another, and events without secrets leave exactly as they came, as long as nothing of their text waits.

use super::delta::{Part, parts};
use super::{Filter, Redactor, Report};
use serde_json::Value;
use std::collections::BTreeMap;

/// The largest event of which the texts are put together; of a larger one, what stands in it as it is is filtered.
pub const EVENT_BYTES_MAX: usize = 256 << 10;
/// Most texts that are streamed at a time. One more, and what waits of all is sent.
const TEXTS_MAX: usize = 64;

/// A stream of events that goes through a filter.
#[derive(Debug)]
pub struct EventRedactor {
    filter: Filter,
    bytes: Redactor,
    /// The event that is coming.
    pub(super) event: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    /// Whether the last byte was a carriage return, which may belong to the line feed that comes.
    after_return: bool,
    /// Whether the event is too large, and leaves as it comes.
    large: bool,
    texts: BTreeMap<String, Text>,
    report: Report,
}

/// A text that is streamed in parts.
struct Text {
    redactor: Redactor,
    /// What may leave and is no whole character.
    tail: Vec<u8>,
    /// The last event that brought a part, without any text.
    like: Value,
    /// The lines of that event that are not data.
    lines: Vec<u8>,
    pointer: String,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("pointer", &self.pointer).finish_non_exhaustive()
    }
}

/// An event in its parts.
struct Parsed {
    /// The lines that are not data.
    lines: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl Filter {
    /// A stream of server-sent events that goes through it.
    #[must_use]
    pub fn events(&self) -> EventRedactor {
        EventRedactor {
            filter: self.clone(),
            bytes: self.stream(),
            event: Vec::new(),
            line: 0,
            after_return: false,
            large: false,
            texts: BTreeMap::new(),
            report: Report::default(),
        }
    }
}

impl EventRedactor {
    /// Takes a chunk, and adds to `out` what may leave.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for byte in chunk {
            let belongs = self.after_return && *byte == b'\n';
            self.after_return = *byte == b'\r';
            if belongs && self.event.is_empty() {
                // The second byte of the end of an event that has left.
                self.bytes.push(&[*byte], out);
                continue;
            }
            self.event.push(*byte);
            if belongs {
                // The line had ended already.
                self.line = self.event.len();
                continue;
            }
            if matches!(byte, b'\r' | b'\n') {
                let blank = self.event.len().checked_sub(1) == Some(self.line);
                self.line = self.event.len();
                if blank {
                    self.end_event(out);
                }
            } else if self.event.len() > EVENT_BYTES_MAX {
                self.large = true;
                self.let_go(out);
                let come = std::mem::take(&mut self.event);
                self.bytes.push(&come, out);
                // What comes of this line is not blank.
                self.line = usize::MAX;
            }
        }
    }

    /// The stream is over: adds what was held back, and reports what was removed.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        self.let_go(out);
        let rest = std::mem::take(&mut self.event);
        self.bytes.push(&rest, out);
        let mut report = self.report;
        report.add(&self.bytes.finish(out));
        report
    }

    fn end_event(&mut self, out: &mut Vec<u8>) {
        let event = std::mem::take(&mut self.event);
        self.line = 0;
        if std::mem::take(&mut self.large) {
            return self.bytes.push(&event, out);
        }
        let Parsed { lines, data, has_data } = parse(&event);
        // A comment, or what keeps the connection open, is no answer: texts go on behind it.
        let mut value: Value = serde_json::from_slice(&data).unwrap_or(Value::Null);
        if !has_data || value.get("type").is_some_and(|kind| kind == "ping") {
            return self.bytes.push(&event, out);
        }
        let found = parts(&value);
        if found.is_empty() || self.texts.len() + found.len() > TEXTS_MAX {
            self.let_go(out);
        }
        let mut changed = false;
        for Part { channel, pointer } in &found {
            let Some(Value::String(part)) = value.pointer_mut(pointer) else { continue };
            let filter = &self.filter;
            let text = self.texts.entry(channel.clone()).or_insert_with(|| Text::new(filter));
            let leaves = text.push(part);
            changed |= leaves != *part;
            *part = leaves;
        }
        let mut like = value.clone();
        found.iter().filter_map(|part| like.pointer_mut(&part.pointer).map(Value::take)).for_each(drop);
        for Part { channel, pointer } in found {
            if let Some(text) = self.texts.get_mut(&channel) {
                (text.like, text.lines, text.pointer) = (like.clone(), lines.clone(), pointer);
            }
        }
        if changed {
            self.bytes.push(&write(&lines, &value), out);
        } else {
            self.bytes.push(&event, out);
        }
    }

    /// Sends what waits of all texts.
    fn let_go(&mut self, out: &mut Vec<u8>) {
        for Text { redactor, tail, mut like, lines, pointer } in std::mem::take(&mut self.texts).into_values() {
            let mut rest = tail;
            self.report.add(&redactor.finish(&mut rest));
            if let Some(place) = like.pointer_mut(&pointer).filter(|_| !rest.is_empty()) {
                *place = Value::String(String::from_utf8_lossy(&rest).into_owned());
                self.bytes.push(&write(&lines, &like), out);
            }
        }
    }
}

impl Text {
    fn new(filter: &Filter) -> Text {
        Text {
            redactor: filter.stream(),
            tail: Vec::new(),
            like: Value::Null,
            lines: Vec::new(),
            pointer: String::new(),
        }
    }

    /// What may leave once this part has come: whole characters.
    fn push(&mut self, part: &str) -> String {
        let mut leaves = std::mem::take(&mut self.tail);
        self.redactor.push(part.as_bytes(), &mut leaves);
        let whole = match std::str::from_utf8(&leaves) {
            Ok(_) => leaves.len(),
            // The parts are text, and what is removed is bytes: only the end can be a piece of a character.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => leaves.len(),
        };
        self.tail = leaves.split_off(whole);
        String::from_utf8_lossy(&leaves).into_owned()
    }
}

fn parse(event: &[u8]) -> Parsed {
    let mut parsed = Parsed { lines: Vec::new(), data: Vec::new(), has_data: false };
    for line in event.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()) {
        let data = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', data @ ..] | [b':', data @ ..]) => data,
            Some(_) | None => {
                parsed.lines.extend_from_slice(line);
                parsed.lines.push(b'\n');
                continue;
            }
        };
        if parsed.has_data {
            parsed.data.push(b'\n');
        }
        parsed.has_data = true;
        parsed.data.extend_from_slice(data);
    }
    parsed
}

fn write(lines: &[u8], data: &Value) -> Vec<u8> {
    [lines, b"data: ", data.to_string().as_bytes(), b"\n\n"].concat()
}
