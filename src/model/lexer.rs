//! Words and marks of the modelling language, one at a time, with the bytes where they stand.
//!
//! The body of a condition is another language, so the parser takes it whole with [`Lexer::body`].

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Letters, digits, `_ - . /`.
    Word(&'a str),
    /// Any other character.
    Mark(char),
    /// The end of a line that says something.
    Newline,
    /// The end of the text.
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) span: Range<usize>,
    /// Whether it is the first on its line: there a word may be a keyword that is a name elsewhere.
    pub(super) first: bool,
}

/// Reads tokens from a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.')
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, first: true }
    }

    /// What has not been read.
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_while(&mut self, test: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !test(c)).unwrap_or(rest.len());
    }

    /// The next token. A comment begins with `#` at the start of a line or after a space, and ends with the line; lines
    /// that say nothing are passed over.
    pub(super) fn next(&mut self) -> Token<'a> {
        let mut newline = None;
        loop {
            let before = self.at;
            self.skip_while(|c| c.is_whitespace() && c != '\n');
            if self.rest().starts_with('#') && (self.first || self.at > before) {
                self.skip_while(|c| c != '\n');
            }
            if !self.rest().starts_with('\n') {
                break;
            }
            newline = newline.or((!self.first).then_some(self.at..self.at + 1));
            self.at += 1;
            self.first = true;
        }
        if let Some(span) = newline {
            return Token { kind: Kind::Newline, span, first: false };
        }
        let (start, first) = (self.at, self.first);
        let Some(c) = self.rest().chars().next() else {
            return Token { kind: Kind::End, span: start..start, first };
        };
        self.first = false;
        if is_word(c) {
            self.skip_while(is_word);
        } else {
            self.at += c.len_utf8();
        }
        let span = start..self.at;
        let kind = if is_word(c) { Kind::Word(self.text.get(span.clone()).unwrap_or_default()) } else { Kind::Mark(c) };
        Token { kind, span, first }
    }

    /// The text up to the brace that closes the one just read, and the brace; nothing when it is missing. Strings may hold
    /// braces; `#` after a space begins a comment of the modelling language, which is left out, since CEL knows no `#`.
    pub(super) fn body(&mut self) -> Option<String> {
        let mut depth = 1_usize;
        let mut quote: Option<char> = None;
        let mut escaped = false;
        let mut after_space = true;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            match (quote, c) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(q), c) if c == q || c == '\n' => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '{') => depth += 1,
                (None, '}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += offset + 1;
                        return Some(out);
                    }
                }
                (None, '#') if after_space => {
                    if !chars.by_ref().any(|(_, c)| c == '\n') {
                        return None;
                    }
                    if !out.trim_end_matches([' ', '\t']).ends_with('\n') {
                        out.push('\n');
                    }
                    continue;
                }
                (None, _) => {}
            }
            after_space = c.is_whitespace();
            out.push(c);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_comments_and_lines() {
        let mut lexer = Lexer::new("\n# a note\n  type a#b # more\n\n  x: é");
        let mut seen = Vec::new();
        loop {
            let token = lexer.next();
            seen.push((token.kind, token.span.start, token.first));
            if token.kind == Kind::End {
                break;
            }
        }
        let want = [
            (Kind::Word("type"), 12, true),
            (Kind::Word("a"), 17, false),
            (Kind::Mark('#'), 18, false),
            (Kind::Word("b"), 19, false),
            (Kind::Newline, 27, false),
            (Kind::Word("x"), 31, true),
            (Kind::Mark(':'), 32, false),
            (Kind::Mark('é'), 34, false),
            (Kind::End, 36, false),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn a_body_ends_at_its_brace() {
        let body = |text: &'static str| Lexer::new(text).body();
        assert_eq!(body("a == {'}': 1} } rest").as_deref(), Some("a == {'}': 1} "));
        assert_eq!(body("\n# note }\n a }").as_deref(), Some("\n a "));
        assert_eq!(body("a # note }\n && '#' == b }").as_deref(), Some("a \n && '#' == b "));
        assert_eq!(body("a == '\\'}' }").as_deref(), Some("a == '\\'}' "));
        assert_eq!(body("a == {"), None);
    }
}
