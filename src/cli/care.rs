//! `bailiwick verify` and `bailiwick stats`: is it whole, and what does it cost.

use super::place::At;
use super::show::{Look, Tone, bytes, count, grouped, paint, rows, say};
use super::{Failure, open};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the hand of a spinner moves.
const TICK: Duration = Duration::from_millis(100);
/// Stores in a table before the rest is only counted.
const STORES_SHOWN_MAX: usize = 25;

/// `bailiwick verify`
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    look: Look,
}

/// `bailiwick stats`
#[derive(Args)]
pub(super) struct Stats {
    #[command(flatten)]
    at: At,
    /// Every store, not only the largest
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    look: Look,
}

/// Shows that work goes on, on standard error and only at a terminal.
fn spinner(what: &'static str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(TICK);
    bar.set_message(what);
    bar
}

impl Verify {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let path = self.at.directory("verify")?;
        let bar = spinner("reading the database");
        let start = Instant::now();
        let engine = open(&path)?;
        bar.set_message("deriving the index again from the tables and from the log");
        let report = engine.verify();
        bar.finish_and_clear();
        let report = report?;
        let clean = report.differences.is_empty();
        if self.look.json {
            say(json!({
                "clean": clean, "revision": report.revision.0, "stores": report.stores, "tuples": report.tuples,
                "differences": report.differences,
            }));
        } else {
            report.differences.iter().for_each(say);
            let word = if clean { paint("clean", Tone::Good) } else { paint("damaged", Tone::Bad) };
            say(format!(
                "{word}: {} and {} at revision {}, compared with the tables and the log in {:.1} s",
                count(report.stores as u64, "store"),
                count(report.tuples, "tuple"),
                report.revision.0,
                start.elapsed().as_secs_f64()
            ));
            if !clean {
                say("restore a backup, or export what can be read with `bailiwick export`");
            }
        }
        Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Stats {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let path = self.at.directory("stats")?;
        let mut stats = open(&path)?.stats();
        stats.stores.sort_by_key(|s| (std::cmp::Reverse(s.tuples), s.id));
        if self.look.json {
            let stores = stats.stores.iter().map(|s| {
                json!({
                    "id": s.id.to_string(), "name": s.name, "tuples": s.tuples, "column_bytes": s.column_bytes,
                    "name_bytes": s.name_bytes, "classes": s.classes, "models": s.models,
                })
            });
            say(json!({
                "revision": stats.revision.0, "disk_bytes": stats.disk_bytes, "bytes_per_tuple": stats.bytes_per_tuple(),
                "snapshots_retained": stats.snapshots_retained, "plans": stats.plans, "stores": stores.collect::<Vec<_>>(),
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let shown = if self.all { usize::MAX } else { STORES_SHOWN_MAX };
        let lines: Vec<Vec<String>> = stats
            .stores
            .iter()
            .take(shown)
            .map(|s| {
                vec![
                    s.id.to_string(),
                    s.name.clone(),
                    grouped(s.tuples),
                    bytes(s.column_bytes as u64),
                    bytes(s.name_bytes as u64),
                    s.classes.to_string(),
                    s.models.to_string(),
                ]
            })
            .collect();
        rows(&["store", "name", "tuples", "columns", "names", "conditions", "models"], &lines);
        if stats.stores.len() > lines.len() {
            say(format!(
                "and {}; --all prints them",
                count((stats.stores.len() - lines.len()) as u64, "smaller store")
            ));
        }
        let tuples: u64 = stats.stores.iter().map(|s| s.tuples).sum();
        say(format!(
            "{} in {} at revision {}; {} a tuple in memory, names included; {} on disk; {} retained, {} compiled",
            count(tuples, "tuple"),
            count(stats.stores.len() as u64, "store"),
            stats.revision.0,
            count(stats.bytes_per_tuple(), "byte"),
            bytes(stats.disk_bytes),
            count(stats.snapshots_retained as u64, "snapshot"),
            count(stats.plans as u64, "plan"),
        ));
        Ok(ExitCode::SUCCESS)
    }
}
