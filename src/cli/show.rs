//! How answers look: tables and colours for a person at a terminal, one plain line an item for a pipe, JSON when asked.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

/// How to print the answer.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Look {
    /// Print JSON, for programs
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// What a word means to a person.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Good,
    Bad,
    Faint,
    Strong,
}

/// Prints a line of an answer.
pub(crate) fn say(line: impl Display) {
    let _ = print(line); // a closed pipe has read what it wanted
}

/// Prints a line of many. False when nobody reads any more, which is no error of ours.
pub(super) fn print(line: impl Display) -> bool {
    writeln!(std::io::stdout().lock(), "{line}").is_ok()
}

/// Prints a line beside the answer, which a program that reads the answer does not see.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}"); // nowhere else to say it
}

/// Whether a person reads the answers.
pub(crate) fn terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Colours only for a person who has not said no to them (https://no-color.org).
fn colours() -> bool {
    terminal() && crate::config::variable("NO_COLOR").is_none()
}

/// The text in a colour, where colours are shown.
pub(super) fn paint(text: &str, tone: Tone) -> String {
    if !colours() {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32;1",
        Tone::Bad => "31;1",
        Tone::Faint => "2",
        Tone::Strong => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Prints rows: a table at a terminal, fields with tabs between them elsewhere.
pub(crate) fn rows(head: &[&str], rows: &[Vec<String>]) {
    if !terminal() {
        let _ = rows.iter().all(|row| print(row.join("\t")));
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    say(table);
}

/// The text in lines of at most so many characters.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `1 store`, `2 stores`, `1,000,000 tuples`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that a person reads.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(count(1, "store"), "1 store");
        assert_eq!(count(1000, "store"), "1,000 stores");
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("uninterrupted", 3), ["uninterrupted"]);
    }
}
