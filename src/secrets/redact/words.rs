//! What waits of a stream must not tell what is held.
//!
//! If only that waited which begins as a secret does, whoever sends a text byte by byte and looks at what comes back would
//! learn a secret letter by letter. So each word waits until it has ended, whether or not it begins like a secret: a run of
//! visible ASCII characters, over line breaks where long encodings have them. What can only be a word of ordinary text (at most
//! twelve letters, of which none but the first is large, and what stands around words) does not wait: a secret that begins so
//! shows as many letters, and is none that can be guessed from them.

/// How many letters of base64 before a line break make it one of a long encoding, which counts as nothing.
pub(super) const LINE_LETTERS_MIN: usize = 12;
/// Most letters of a word that does not wait.
const LETTERS_MAX: usize = 12;

/// Whether a word goes on with this byte.
#[inline]
pub(super) fn goes_on(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// Whether it is a letter of base64 or base64url.
#[inline]
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// The word that is coming.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    /// Where it began.
    start: Option<u64>,
    last: u8,
    /// How many letters of base64 came just now.
    encoded: usize,
    form: Form,
}

/// What the word has been so far.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Of ordinary text: so many letters.
    Plain(usize),
    /// The same, and behind it what ends a sentence.
    Closed,
    /// Anything.
    Other,
}

impl Default for Form {
    fn default() -> Form {
        Form::Plain(0)
    }
}

impl Form {
    fn then(self, byte: u8) -> Form {
        match (self, byte) {
            (Form::Plain(0), b'(' | b'[' | b'"' | b'\'' | b'*') => Form::Plain(0),
            (Form::Plain(0), b'A'..=b'Z') => Form::Plain(1),
            (Form::Plain(letters), b'a'..=b'z') if letters < LETTERS_MAX => Form::Plain(letters + 1),
            (
                Form::Plain(_) | Form::Closed,
                b'.' | b',' | b';' | b':' | b'!' | b'?' | b')' | b']' | b'"' | b'\'' | b'*',
            ) => Form::Closed,
            _ => Form::Other,
        }
    }
}

/// How many letters a text begins with that would not wait.
pub(super) fn plain_letters(text: &[u8]) -> usize {
    let mut form = Form::default();
    text.iter()
        .take_while(|byte| {
            form = form.then(**byte);
            !matches!(form, Form::Other)
        })
        .count()
}

impl Words {
    /// Takes a chunk, whose first byte is at `start`.
    pub(super) fn push(&mut self, chunk: &[u8], start: u64) {
        // What stands before the last blank is over.
        let from = chunk.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        for (byte, at) in chunk.iter().skip(from).zip(start + from as u64..) {
            self.push_byte(*byte, at);
        }
    }

    fn push_byte(&mut self, byte: u8, at: u64) {
        let last = std::mem::replace(&mut self.last, byte);
        match byte {
            byte if goes_on(byte) => {
                self.start.get_or_insert(at);
                self.form = self.form.then(byte);
                self.encoded = if is_base64(byte) { self.encoded + 1 } else { 0 };
            }
            b'\n' if last == b'\r' && self.start.is_some() => {}
            b'\r' | b'\n' if self.encoded >= LINE_LETTERS_MIN => {
                (self.encoded, self.form) = (0, Form::Other);
            }
            _ => *self = Words { last: byte, ..Words::default() },
        }
    }

    /// Where the word that waits began; `plainly`, when those of ordinary text wait too.
    pub(super) fn waits_from(&self, plainly: bool) -> Option<u64> {
        self.start.filter(|_| plainly || matches!(self.form, Form::Other))
    }
}
