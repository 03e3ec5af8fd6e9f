//! How the story is told: who, what, allowed or refused, and why, in lines that fit a terminal of 100 columns.

use crate::cli::Failure;
use crate::cli::show::{Tone, paint, say, wrapped};

/// Columns of a line.
const WIDTH: usize = 98;
/// Columns before the text: the verdict and who it is about.
const INDENT: usize = 19;

/// Tells the steps, and counts them.
#[derive(Default)]
pub(super) struct Teller {
    pub(super) allowed: usize,
    pub(super) refused: usize,
    /// Long URLs, and what they are called instead.
    pub(super) names: Vec<(String, &'static str)>,
}

/// A refusal as whoever was refused sees it, and the rule behind it.
#[derive(Default)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) rule: Option<String>,
    pub(super) words: String,
}

impl Teller {
    fn short(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (long, short)| text.replace(long, short))
    }

    /// A row of a table.
    pub(super) fn row(&mut self, cells: [&str; 3]) {
        let [first, second, third] = cells;
        let text = format!("{first:<19}{second:<9}{}", self.short(third));
        let room = WIDTH - INDENT;
        let cut = text.chars().count() > room;
        let text: String = text.chars().take(if cut { room - 1 } else { room }).chain(cut.then_some('…')).collect();
        say(format!("{:INDENT$}{}", "", paint(&text, Tone::Faint)));
    }

    /// A step of an explanation: its number in the log, the layer, how it went, and what and why.
    pub(super) fn reason(&mut self, number: &str, [layer, outcome, what]: [&str; 3]) {
        const BEFORE: usize = 31;
        for (at, part) in wrapped(&self.short(what), WIDTH - INDENT - BEFORE).into_iter().enumerate() {
            let head = if at == 0 { format!("{number:>5}  {layer:<15}{outcome:<9}") } else { " ".repeat(BEFORE) };
            say(format!("{:INDENT$}{}", "", paint(&format!("{head}{part}"), Tone::Faint)));
        }
    }

    /// A step of the paper.
    pub(super) fn step(&mut self, number: &str, title: &str) {
        say(format!("\n{}", paint(&format!("{number:<4} {title}"), Tone::Strong)));
    }

    /// Something that happens, or is shown.
    pub(super) fn says(&mut self, who: &str, what: &str) {
        line("", Tone::Faint, who, &self.short(what));
    }

    /// Something that was allowed.
    pub(super) fn allowed(&mut self, who: &str, what: &str, why: &str) {
        self.allowed += 1;
        line("allowed", Tone::Good, who, &self.short(what));
        because(&self.short(why));
    }

    /// Something that was refused.
    pub(super) fn refused(&mut self, who: &str, what: &str, refused: &Refused) {
        self.refused += 1;
        line("refused", Tone::Bad, who, &self.short(what));
        let rule = refused.rule.as_deref().map(|rule| format!("by {rule}"));
        let head = [Some(refused.status.to_string()), Some(refused.code.clone()), rule];
        let head: Vec<String> = head.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let words = if refused.words.is_empty() { String::new() } else { format!(": {}", refused.words) };
        because(&self.short(&format!("{}{words}", head.join(" "))));
    }

    /// A page as its reader sees it, by the names of its elements.
    pub(super) fn card(&mut self, elements: &[(String, String)]) {
        let mut label = "";
        for (name, text) in elements {
            let (indent, line) = match name.as_str() {
                "dt" => {
                    label = text;
                    continue;
                }
                "dd" => (4, self.short(&format!("{label}: {text}"))),
                "strong" => (2, format!("[x] {text}")),
                _ => (0, text.clone()),
            };
            for (at, part) in wrapped(&line, WIDTH - INDENT - 6).into_iter().enumerate() {
                let more = if at == 0 { indent } else { indent + 4 };
                say(format!("{:INDENT$}{} {:more$}{part}", "", paint("|", Tone::Faint), ""));
            }
        }
    }

    /// What holds, and was looked at.
    pub(super) fn holds(&mut self, what: &str) {
        line("holds", Tone::Good, "", &self.short(what));
    }
}

fn line(verdict: &str, tone: Tone, who: &str, what: &str) {
    let verdict = paint(&format!("{verdict:<9}"), tone);
    for (at, part) in wrapped(what, WIDTH - INDENT).into_iter().enumerate() {
        if at == 0 {
            say(format!(" {verdict}{who:<9}{part}"));
        } else {
            say(format!("{:INDENT$}{part}", ""));
        }
    }
}

fn because(why: &str) {
    for part in wrapped(why, WIDTH - INDENT).into_iter().filter(|_| !why.is_empty()) {
        say(format!("{:INDENT$}{}", "", paint(&part, Tone::Faint)));
    }
}

/// Insists on something, and says what was expected where it does not hold.
pub(super) fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Said(format!("the story went wrong: {}", what()))) }
}
