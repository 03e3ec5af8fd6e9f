//! Texts of others as people are to see them: what hides, or turns the direction of writing, could make one look like another.

/// Whether a character cannot be seen, or turns or joins those around it: a text with one may look like another.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text, with what cannot be seen written out: `⟨U+202E⟩`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(visible("pay\u{202e}001"), "pay⟨U+202E⟩001");
        assert_eq!(visible("a\u{200b}b\nc\u{0}"), "a⟨U+200B⟩b⟨U+000A⟩c⟨U+0000⟩");
        assert_eq!(visible("Zoë 你好 👍 ½"), "Zoë 你好 👍 ½");
    }
}
