//! `bailiwick audit verify`: an exported file, one public key, and what was seen before.

use super::super::Failure;
use super::super::show::{Look, Tone, count, note, paint, say};
use bailiwick::modules::audit::note::{KeyKind, VerifierKey};
use bailiwick::modules::audit::verify::{Report, Trust, verify};
use clap::Args;
use serde_json::json;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Examples: bailiwick audit verify audit.jsonl --key 'audit.example.com+f80c4422+AepK…'
          bailiwick audit verify audit.jsonl --key KEY --since checkpoint.txt --whole
          bailiwick audit verify audit.jsonl --pin audit.pin      key and newest checkpoint are remembered there

The key is what `bailiwick audit key` prints. Get it from who keeps the log, and not from who gave you the file.";

/// Longest file with keys or a checkpoint.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 18;

#[derive(Args)]
pub(in super::super) struct Verify {
    /// The file; - is standard input
    file: PathBuf,
    /// A public key of the log, NAME+ID+KEY, or a file of them; may be said several times [env: BAILIWICK_AUDIT_KEY]
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,
    /// A public key of a witness, or a file of them; each must have signed
    #[arg(long = "witness", value_name = "KEY|FILE")]
    witnesses: Vec<String>,
    /// An older checkpoint, as a file: the log must continue it
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// A file that remembers the key and the newest checkpoint that was verified; it is made by the first verification, which
    /// needs --key
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    pin: Option<PathBuf>,
    /// All events of the log must be there
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    look: Look,
}

fn small(path: &Path) -> Result<String, Failure> {
    let failed = |reason| Failure::File { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SMALL_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > SMALL_FILE_BYTES_MAX {
        return Err(Failure::Said(format!(
            "{}: over {SMALL_FILE_BYTES_MAX} bytes; is it the right file?",
            path.display()
        )));
    }
    Ok(text)
}

/// Keys that are said, or stand in files, one a line.
pub(super) fn read_keys(said: &[String], kind: KeyKind) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for one in said {
        let text = if Path::new(one).is_file() { small(Path::new(one))? } else { one.clone() };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let key = VerifierKey::parse(line).map_err(|error| Failure::Said(format!("`{line}`: {error}")))?;
            if key.kind() != kind {
                let what = if kind == KeyKind::Log { "a log's" } else { "a witness's" };
                return Err(Failure::Said(format!("`{line}` is not {what} key")));
            }
            keys.push(key);
        }
    }
    Ok(keys)
}

/// What a pin file remembers: keys, one a line, an empty line, a checkpoint.
struct Pinned {
    keys: Vec<VerifierKey>,
    checkpoint: String,
}

fn read_pin(path: &Path) -> Result<Option<Pinned>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let text = small(path)?;
    let wrong =
        || Failure::Said(format!("{}: no pin file; it has keys, an empty line and a checkpoint", path.display()));
    let (keys, checkpoint) = text.split_once("\n\n").ok_or_else(wrong)?;
    let keys: Result<Vec<VerifierKey>, _> = keys.lines().map(VerifierKey::parse).collect();
    let keys = keys.ok().filter(|keys| !keys.is_empty()).ok_or_else(wrong)?;
    Ok(Some(Pinned { keys, checkpoint: checkpoint.to_owned() }))
}

/// Replaces a file as a whole: what is remembered is never half of it.
fn write_pin(path: &Path, keys: &[VerifierKey], checkpoint: &str) -> Result<(), Failure> {
    let failed = |reason| Failure::File { path: path.to_owned(), reason };
    let keys: String = keys.iter().map(|key| format!("{key}\n")).collect();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    std::fs::write(&fresh, format!("{keys}\n{checkpoint}")).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}

impl Verify {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let said: Vec<String> = match crate::config::variable("BAILIWICK_AUDIT_KEY") {
            Some(key) if self.keys.is_empty() => vec![key],
            Some(_) | None => self.keys.clone(),
        };
        let mut keys = read_keys(&said, KeyKind::Log)?;
        let witnesses = read_keys(&self.witnesses, KeyKind::Witness)?;
        let pinned = self.pin.as_deref().map(read_pin).transpose()?.flatten();
        for key in pinned.iter().flat_map(|pinned| &pinned.keys) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let since = match (&self.since, &pinned) {
            (Some(path), _) => Some(small(path)?),
            (None, Some(pinned)) => Some(pinned.checkpoint.clone()),
            (None, None) => None,
        };
        let trust = Trust { keys: &keys, witnesses: &witnesses, since: since.as_deref(), whole: self.whole };
        let failed = |reason| Failure::File { path: self.file.clone(), reason };
        let input: Box<dyn BufRead> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(std::fs::File::open(&self.file).map_err(failed)?))
        };
        let report = verify(input, &trust).map_err(failed)?;
        if keys.is_empty() {
            let shown = report.keys.first().map(|key| format!("; the file itself names `{key}`")).unwrap_or_default();
            let what = "say the log's public key with --key: without it anybody could have made the file";
            return Err(Failure::Said(format!("{what}{shown}")));
        }
        let unseen: Vec<&VerifierKey> =
            witnesses.iter().filter(|key| !report.witnesses.iter().any(|seen| seen.name == key.name())).collect();
        let good = report.is_good() && unseen.is_empty();
        if self.look.json {
            say(as_json(&report, good, &unseen));
        } else {
            tell(&report, good, &unseen);
        }
        if let Some(path) = self.pin.as_deref().filter(|_| good) {
            write_pin(path, &keys, &report.note)?;
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn as_json(report: &Report, good: bool, unseen: &[&VerifierKey]) -> serde_json::Value {
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    json!({
        "good": good, "tenant": report.tenant, "from": report.from, "to": report.to,
        "size": report.checkpoint.as_ref().map(|c| c.size), "origin": report.checkpoint.as_ref().map(|c| c.origin.as_str()),
        "events": report.lines, "dropped": report.dropped, "unread": report.unread, "selection": report.selection,
        "witnesses": report.witnesses.iter().map(|w| json!({"name": w.name, "time": w.time})).collect::<Vec<_>>(),
        "witnesses_missing": unseen.iter().map(|key| key.name()).collect::<Vec<_>>(),
        "faults": faults, "more_faults": report.more_faults,
    })
}

fn tell(report: &Report, good: bool, unseen: &[&VerifierKey]) {
    report.faults.iter().for_each(say);
    if report.more_faults > 0 {
        say(format!("and {} more", count(report.more_faults, "fault")));
    }
    for key in unseen {
        say(format!("the witness `{}` has not signed", key.name()));
    }
    let word = if good { paint("good", Tone::Good) } else { paint("not good", Tone::Bad) };
    let Some(checkpoint) = &report.checkpoint else { return say(word) };
    let part = if report.selection.is_some() { "a selection of events" } else { "events" };
    say(format!(
        "{word}: {}, {part} {} to {} of {} in the log `{}` of tenant {}",
        count(report.lines, "event"),
        report.from,
        report.to,
        checkpoint.size,
        checkpoint.origin,
        report.tenant,
    ));
    if report.dropped > 0 {
        note(format!("{} dropped; their hashes are proved", count(report.dropped, "event")));
    }
    if report.untold > 0 {
        note(format!(
            "{} without a body: whether the log tells of the drop is behind this range",
            count(report.untold, "event")
        ));
    }
    if report.unread > 0 {
        note(format!("{} proved, but of a kind that this program does not know", count(report.unread, "event")));
    }
    if report.selection.is_some() {
        note("a selection proves what is in it; what it leaves out cannot be known");
    } else if report.from > 0 || report.to < checkpoint.size {
        note("this is a part of the log; --whole insists on all of it");
    }
    for witness in &report.witnesses {
        note(format!("seen by {}", witness.name));
    }
}
