//! `bailiwick verify` and `bailiwick stats`: is it whole, and what does it cost.

use super::place::At;
use super::show::{Look, Tone, bytes, count, grouped, paint, rows, say};
use super::{Failure, open};
use bailiwick::api::own_proto as pb;
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
pub(super) fn spinner(what: &'static str) -> indicatif::ProgressBar {
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
        let place = self.at.open()?;
        let answer = place
            .work(async |mut client| client.stats(pb::StatsRequest {}).await.map_err(|status| place.refused(&status)));
        let mut stats = answer?.into_inner();
        stats.stores.sort_by(|a, b| (b.tuples, &a.store_id).cmp(&(a.tuples, &b.store_id)));
        if self.look.json {
            say(as_json(&stats));
        } else {
            self.tell(&stats);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, stats: &pb::StatsResponse) {
        let shown = if self.all { usize::MAX } else { STORES_SHOWN_MAX };
        let line = |s: &pb::StoreStats| {
            let (id, name) = (s.store_id.clone(), s.name.clone());
            let (tuples, columns, names) = (grouped(s.tuples), bytes(s.column_bytes), bytes(s.name_bytes));
            vec![id, name, tuples, columns, names, s.classes.to_string(), s.models.to_string()]
        };
        let lines: Vec<Vec<String>> = stats.stores.iter().take(shown).map(line).collect();
        rows(&["store", "name", "tuples", "columns", "names", "conditions", "models"], &lines);
        let more = stats.stores.len() - lines.len();
        if more > 0 {
            say(format!("and {}; --all prints them", count(more as u64, "smaller store")));
        }
        let sum = |of: fn(&pb::StoreStats) -> u64| stats.stores.iter().map(of).sum::<u64>();
        say(format!(
            "{} in {} at revision {}; {} a tuple in memory, names included; {} on disk",
            count(sum(|s| s.tuples), "tuple"),
            count(stats.stores.len() as u64, "store"),
            stats.revision,
            count(stats.bytes_per_tuple, "byte"),
            bytes(stats.disk_bytes),
        ));
        say(format!(
            "{} in memory: columns {}, names {}, {} {}, write buffers {}, block cache {}, table readers {}; {} beside",
            bytes(stats.memory_bytes),
            bytes(sum(|s| s.column_bytes)),
            bytes(sum(|s| s.name_bytes)),
            count(stats.snapshots_retained, "retained snapshot"),
            bytes(stats.snapshot_bytes),
            bytes(stats.write_buffer_bytes),
            bytes(stats.block_cache_bytes),
            bytes(stats.table_reader_bytes),
            count(stats.plans, "compiled plan"),
        ));
    }
}

fn as_json(stats: &pb::StatsResponse) -> serde_json::Value {
    let store = |s: &pb::StoreStats| {
        json!({
            "id": s.store_id, "name": s.name, "tuples": s.tuples, "column_bytes": s.column_bytes,
            "name_bytes": s.name_bytes, "classes": s.classes, "models": s.models,
        })
    };
    json!({
        "revision": stats.revision, "token": stats.consistency_token, "disk_bytes": stats.disk_bytes,
        "memory_bytes": stats.memory_bytes, "bytes_per_tuple": stats.bytes_per_tuple,
        "snapshots_retained": stats.snapshots_retained, "snapshot_bytes": stats.snapshot_bytes, "plans": stats.plans,
        "write_buffer_bytes": stats.write_buffer_bytes, "block_cache_bytes": stats.block_cache_bytes,
        "table_reader_bytes": stats.table_reader_bytes, "stores": stats.stores.iter().map(store).collect::<Vec<_>>(),
    })
}
