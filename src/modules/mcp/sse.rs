//! Events of a stream (`text/event-stream`, WHATWG HTML, section 9.2): split as they come, within a bound, and written anew.

/// Longest event that is taken, in bytes.
pub(super) const EVENT_BYTES_MAX: usize = 4 << 20;

/// An event with the parts that MCP uses. Comments and other fields are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    pub(super) id: Option<String>,
    pub(super) data: String,
    pub(super) retry: Option<u64>,
}

/// An event is longer than [`EVENT_BYTES_MAX`], or no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadEvent;

/// Splits a stream. Feed it with [`Splitter::feed`], then take what is whole with [`Splitter::next`].
#[derive(Default)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    /// How far the buffer was searched for the end of a line.
    searched: usize,
    current: SseEvent,
    /// Bytes of the current event.
    taken: usize,
    has_data: bool,
    /// Whether the last line ended with CR, so that an LF is still of it.
    after_cr: bool,
}

impl Splitter {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event.
    ///
    /// # Errors
    /// It is too long, or no UTF-8: the stream is of no use any more.
    pub(super) fn next(&mut self) -> Result<Option<SseEvent>, BadEvent> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let event = std::mem::take(&mut self.current);
                self.taken = 0;
                let has_data = std::mem::take(&mut self.has_data);
                if has_data || event.id.is_some() || event.retry.is_some() {
                    return Ok(Some(event));
                }
                continue;
            }
            self.taken += line.len();
            if self.taken > EVENT_BYTES_MAX {
                return Err(BadEvent);
            }
            self.field(&line);
        }
        Ok(None)
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<String>, BadEvent> {
        if self.after_cr && !self.buffer.is_empty() {
            if self.buffer.first() == Some(&b'\n') {
                self.buffer.remove(0);
            }
            self.after_cr = false;
            self.searched = 0;
        }
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return if self.buffer.len() + self.taken > EVENT_BYTES_MAX { Err(BadEvent) } else { Ok(None) };
        };
        let end = self.searched + end;
        self.after_cr = self.buffer.get(end) == Some(&b'\r');
        let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
        self.searched = 0;
        String::from_utf8(line).map(Some).map_err(|_| BadEvent)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if self.has_data {
                    self.current.data.push('\n');
                }
                self.current.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.current.id = Some(value.to_owned()),
            "retry" => self.current.retry = value.parse().ok(),
            _ => {}
        }
    }
}

impl SseEvent {
    /// The event as it is sent.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut out = String::new();
        if let Some(id) = &self.id {
            out.push_str(&format!("id: {id}\n"));
        }
        if let Some(retry) = self.retry {
            out.push_str(&format!("retry: {retry}\n"));
        }
        for line in self.data.split('\n') {
            out.push_str(&format!("data: {line}\n"));
        }
        out.push('\n');
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<SseEvent>, BadEvent> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for part in parts {
            splitter.feed(part);
            while let Some(event) = splitter.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn data(text: &str) -> SseEvent {
        SseEvent { data: text.into(), ..SseEvent::default() }
    }

    #[test]
    fn every_end_of_line_ends_one() {
        for end in ["\n", "\r\n", "\r"] {
            let stream =
                format!(": comment{end}data: a{end}data:b{end}{end}event: x{end}id: 7{end}data{end}{end}data: cut");
            let events = all(&[stream.as_bytes()]).unwrap();
            let second = SseEvent { id: Some("7".into()), ..data("") };
            assert_eq!(events, [data("a\nb"), second], "{end:?}: what is not whole is no event");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_ends_the_stream() {
        let long = vec![b'a'; EVENT_BYTES_MAX + 1];
        assert_eq!(all(&[&long]), Err(BadEvent));
        let line = [b"data: ".as_slice(), &vec![b'a'; 1 << 20], b"\n"].concat();
        assert_eq!(all(&[&line, &line, &line, &line, &line]), Err(BadEvent), "many lines are one event");
        assert_eq!(all(&[b"data: \xff\n\n"]), Err(BadEvent));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_read_alike(
            texts in prop::collection::vec("[ -~\n]{0,20}", 0..5),
            cuts in prop::collection::vec(0usize..200, 0..6),
        ) {
            let events: Vec<SseEvent> = texts.iter().map(|text| data(text)).collect();
            let stream: Vec<u8> = events.iter().flat_map(SseEvent::written).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(all(&parts).unwrap(), events);
        }
    }
}
