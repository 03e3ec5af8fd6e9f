//! Undoes one layer of escapes in a stream of bytes: of JSON and of programs (`\u0041`, `\x41`, `\/`), of URLs (`%41`) and
//! of HTML (`&#65;`, `&amp;`). Each byte that comes out knows which bytes of the stream it was made of.
//!
//! What is no escape stays as it is, so that a text without any comes out unchanged.

/// The longest escape: `\uD83D\uDE00`.
const ESCAPE_BYTES_MAX: usize = 12;
/// The longest reference of HTML: `&#x10FFFF;`.
const REFERENCE_BYTES_MAX: usize = 10;

/// A byte, and the place in the stream that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) byte: u8,
    /// The first byte of the stream that it was made of.
    pub(super) start: u64,
    /// The byte behind the last.
    pub(super) end: u64,
}

/// See the file's head. What may be the start of an escape waits here.
#[derive(Default)]
pub(super) struct Unescape {
    // INVARIANT: empty, or the start of an escape, and then shorter than `ESCAPE_BYTES_MAX`.
    waiting: Vec<Unit>,
}

/// What a start of a text is.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// No escape; its first byte stands for itself.
    Plain,
    /// An escape may come of it.
    Open,
    /// An escape of so many bytes, for this code.
    Byte(usize, u8),
    /// An escape of so many bytes, for this character.
    Char(usize, char),
}

/// Whether an escape may begin with it.
pub(super) fn begins(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&')
}

impl Unescape {
    /// Takes the next byte, and gives what is certain.
    #[inline]
    pub(super) fn push(&mut self, unit: Unit, emit: &mut impl FnMut(Unit)) {
        if self.waiting.is_empty() && !begins(unit.byte) {
            emit(unit);
        } else {
            self.waiting.push(unit);
            self.settle(false, emit);
        }
    }

    /// Gives what still waits: the stream is over.
    pub(super) fn finish(&mut self, emit: &mut impl FnMut(Unit)) {
        self.settle(true, emit);
    }

    /// Where what waits begins.
    pub(super) fn waits_from(&self) -> Option<u64> {
        self.waiting.first().map(|unit| unit.start)
    }

    fn settle(&mut self, over: bool, emit: &mut impl FnMut(Unit)) {
        while let Some(first) = self.waiting.first().copied() {
            let mut bytes = [0; ESCAPE_BYTES_MAX];
            let mut length = 0;
            for (to, from) in bytes.iter_mut().zip(&self.waiting) {
                *to = from.byte;
                length += 1;
            }
            let step = step(bytes.get(..length).unwrap_or_default());
            let (taken, made, code) = match step {
                Step::Open if !over => return,
                Step::Plain | Step::Open => (1, 1, [first.byte, 0, 0, 0]),
                Step::Byte(taken, byte) => (taken, 1, [byte, 0, 0, 0]),
                Step::Char(taken, char) => {
                    let mut code = [0; 4];
                    (taken, char.encode_utf8(&mut code).len(), code)
                }
            };
            let end = self.waiting.drain(..taken.min(length)).next_back().map_or(first.end, |last| last.end);
            code.iter().take(made).for_each(|byte| emit(Unit { byte: *byte, start: first.start, end }));
        }
    }
}

/// What a text begins with. It may be cut anywhere.
fn step(text: &[u8]) -> Step {
    match text {
        [b'%', rest @ ..] => hex(rest, 2).map_or(Step::Plain, |code| code.step(3)),
        [b'\\', rest @ ..] => backslash(rest),
        [b'&', rest @ ..] => reference(rest),
        _ => Step::Plain,
    }
}

/// Digits that are there, or may still come.
enum Digits {
    Open,
    Code(u32),
}

impl Digits {
    fn step(&self, length: usize) -> Step {
        match self {
            Digits::Open => Step::Open,
            Digits::Code(code) => u8::try_from(*code).map_or(Step::Plain, |byte| Step::Byte(length, byte)),
        }
    }
}

/// Exactly `count` hexadecimal digits, or fewer when the text ends before.
fn hex(text: &[u8], count: usize) -> Option<Digits> {
    let digits = text.get(..count).unwrap_or(text);
    let mut code = 0;
    for digit in digits {
        code = code << 4 | char::from(*digit).to_digit(16)?;
    }
    Some(if digits.len() == count { Digits::Code(code) } else { Digits::Open })
}

fn backslash(rest: &[u8]) -> Step {
    match rest {
        [] => Step::Open,
        [b'n', ..] => Step::Byte(2, b'\n'),
        [b'r', ..] => Step::Byte(2, b'\r'),
        [b't', ..] => Step::Byte(2, b'\t'),
        [b'b', ..] => Step::Byte(2, 8),
        [b'f', ..] => Step::Byte(2, 12),
        [plain @ (b'"' | b'\'' | b'\\' | b'/'), ..] => Step::Byte(2, *plain),
        [b'x', rest @ ..] => hex(rest, 2).map_or(Step::Plain, |code| code.step(4)),
        [b'u', rest @ ..] => match hex(rest, 4) {
            None => Step::Plain,
            Some(Digits::Open) => Step::Open,
            Some(Digits::Code(high @ 0xd800..0xdc00)) => low(high, rest.get(4..).unwrap_or_default()),
            Some(Digits::Code(code)) => char::from_u32(code).map_or(Step::Plain, |char| Step::Char(6, char)),
        },
        _ => Step::Plain,
    }
}

/// The second half of a surrogate pair.
fn low(high: u32, rest: &[u8]) -> Step {
    let digits = match rest {
        [] | [b'\\'] => return Step::Open,
        [b'\\', b'u', digits @ ..] => digits,
        _ => return Step::Plain,
    };
    match hex(digits, 4) {
        Some(Digits::Open) => Step::Open,
        Some(Digits::Code(low @ 0xdc00..0xe000)) => {
            let code = 0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00));
            char::from_u32(code).map_or(Step::Plain, |char| Step::Char(12, char))
        }
        Some(Digits::Code(_)) | None => Step::Plain,
    }
}

/// A reference of HTML, behind its `&`: a number, or one of the five names that every writer uses.
fn reference(rest: &[u8]) -> Step {
    const NAMES: [(&[u8], u8); 5] =
        [(b"amp;", b'&'), (b"lt;", b'<'), (b"gt;", b'>'), (b"quot;", b'"'), (b"apos;", b'\'')];
    if let [b'#', digits @ ..] = rest {
        let (radix, digits, before) = match digits {
            [b'x' | b'X', digits @ ..] => (16, digits, 3),
            _ => (10, digits, 2),
        };
        let count = digits.iter().take_while(|d| char::from(**d).is_digit(radix)).count();
        let length = before + count + 1;
        if length > REFERENCE_BYTES_MAX {
            return Step::Plain;
        }
        return match digits.get(count) {
            None => Step::Open,
            Some(b';') => {
                let code = digits
                    .iter()
                    .take(count)
                    .try_fold(0_u32, |code, d| code.checked_mul(radix)?.checked_add(char::from(*d).to_digit(radix)?));
                let char = code.filter(|_| count > 0).and_then(char::from_u32);
                char.map_or(Step::Plain, |char| Step::Char(length, char))
            }
            Some(_) => Step::Plain,
        };
    }
    for (name, byte) in NAMES {
        if rest.starts_with(name) {
            return Step::Byte(1 + name.len(), byte);
        }
        if name.starts_with(rest) {
            return Step::Open;
        }
    }
    Step::Plain
}

/// The text with one layer of escapes undone.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut layer, mut emit) = (Unescape::default(), |unit: Unit| out.push(unit.byte));
    for (byte, at) in text.iter().zip(0..) {
        layer.push(Unit { byte: *byte, start: at, end: at + 1 }, &mut emit);
    }
    layer.finish(&mut emit);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_is_undone() {
        for (escaped, plain) in [
            ("", ""),
            ("plain text, 100 % & more \\", "plain text, 100 % & more \\"),
            ("a%2fb%2Fc%zz%4", "a/b/c%zz%4"),
            (r#"\"a\/b\\n\n\q"#, "\"a/b\\n\n\\q"),
            (r"\u0041\x42\u00e9\uD83D\uDE00\ud83d!\uDE00", "AB\u{e9}\u{1f600}\\ud83d!\\uDE00"),
            (r"\u00\u004", r"\u00\u004"),
            ("&amp;&lt;&gt;&quot;&apos;&#39;&#x2F;&#47;", "&<>\"''//"),
            ("&amp &#; &#x; &#99999999; &#xD800; &a=1&am", "&amp &#; &#x; &#99999999; &#xD800; &a=1&am"),
            ("%25%32%35", "%25"),
            ("\\%41%5Cn", "\\A\\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&unescape(escaped.as_bytes())), plain, "{escaped}");
        }
    }

    #[test]
    fn a_byte_knows_what_it_was_made_of() {
        let mut units = Vec::new();
        let mut layer = Unescape::default();
        for (byte, at) in br"a%41\u00e9z".iter().zip(10..) {
            layer.push(Unit { byte: *byte, start: at, end: at + 1 }, &mut |unit| units.push(unit));
        }
        let seen: Vec<_> = units.iter().map(|u| (u.byte, u.start, u.end)).collect();
        assert_eq!(seen, [(b'a', 10, 11), (b'A', 11, 14), (0xc3, 14, 20), (0xa9, 14, 20), (b'z', 20, 21)]);
        assert_eq!(layer.waits_from(), None);
    }
}
