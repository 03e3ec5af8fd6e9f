//! `bailiwick audit`: list, show, export, verify, hold and drop events of a tenant. All but `verify`, which wants a file
//! only, open the database's directory.

mod check;
mod keep;

use super::place::At;
use super::show::{Look, count, note, rows, say, terminal};
use super::{Failure, open};
use bailiwick::engine::Engine;
use bailiwick::identity::{EventKind, Outcome, tenant_names};
use bailiwick::modules::audit::export::{ExportQuery, Exported, Format};
use bailiwick::modules::audit::http::{proved, shown};
use bailiwick::modules::audit::query::{Filter, Page};
use bailiwick::modules::audit::{By, Entry, Log, read_time, time_text};
use bailiwick::tuple::Timestamp;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Events that are listed when nobody says how many.
const LIMIT_DEFAULT: usize = 50;

/// An audit log tells what happened, by which person and which agent, and proves that nothing of it was changed.
#[derive(Subcommand)]
pub(super) enum Audit {
    /// List events, the newest first
    #[command(after_help = "Examples: bailiwick audit list --data ./data --tenant main --user user:sarah\n          \
                            bailiwick audit list --data ./data --tenant main --kind token.refused --from 2026-01-31")]
    List(List),
    /// Print an event with its proof
    #[command(after_help = "Example: bailiwick audit show --data ./data --tenant main 42")]
    Show(Show),
    /// Write events to a file that a stranger can verify, or as OCSF
    #[command(
        after_help = "Examples: bailiwick audit export --data ./data --tenant main --output audit.jsonl\n          \
                            bailiwick audit export --data ./data --tenant main --agent agent:sales --format ocsf"
    )]
    Export(Export),
    /// Verify an exported file, without a database: exit code 0 good, 1 something is wrong, 2 error
    #[command(after_help = check::EXAMPLES)]
    Verify(check::Verify),
    /// Print the newest signed checkpoint; sign one; take one that witnesses signed
    #[command(
        after_help = "Examples: bailiwick audit checkpoint --data ./data --tenant main --sign --key-ring keys\n          \
                            bailiwick audit checkpoint --data ./data --tenant main --cosigned seen.txt --witness KEY"
    )]
    Checkpoint(keep::Checkpoint),
    /// Print how long events are kept and which witnesses are asked for their signatures; change it
    #[command(after_help = "Examples: bailiwick audit settings --data ./data --tenant main --keep 400d\n          \
                            bailiwick audit settings --data ./data --tenant main --add-witness KEY --at https://witness.example")]
    Settings(keep::Settings),
    /// Put events under a legal hold; without an id, list the holds
    #[command(
        after_help = "Example: bailiwick audit hold --data ./data --tenant main case-7 --reason 'case 7' --user user:sarah"
    )]
    Hold(keep::Hold),
    /// Lift a legal hold
    #[command(after_help = "Example: bailiwick audit release --data ./data --tenant main case-7")]
    Release(keep::Release),
    /// Drop events that happened before a moment and are under no hold; their hashes and all proofs stay
    #[command(after_help = "Example: bailiwick audit drop --data ./data --tenant main --before 2025-01-01 --yes")]
    Drop(keep::Drop),
    /// Print the log's public keys, the newest first; make one
    #[command(after_help = "Examples: bailiwick audit key --data ./data --tenant main\n          \
                            bailiwick audit key --data ./data --tenant main --create audit.example.com --key-ring keys")]
    Key(keep::Key),
}

/// Whose log.
#[derive(Args, Clone)]
struct Of {
    #[command(flatten)]
    at: At,
    /// The tenant, by name or number; may be left out when there is one only
    #[arg(long, env = "BAILIWICK_TENANT", hide_env_values = true, help_heading = "Where")]
    tenant: Option<String>,
}

/// Which events.
#[derive(Args, Clone)]
#[command(next_help_heading = "Which events")]
struct Which {
    /// Only events of this kind, as in token.issued
    #[arg(long, value_parser = read_kind)]
    kind: Option<EventKind>,
    /// Only events that went so: done, allowed, refused or failed
    #[arg(long, value_parser = read_outcome)]
    outcome: Option<Outcome>,
    /// Only events of this person, as in user:sarah
    #[arg(long, value_name = "SUBJECT")]
    user: Option<String>,
    /// Only events of this agent, or of agents that act for it, as in agent:sales
    #[arg(long, value_name = "SUBJECT")]
    agent: Option<String>,
    /// Only events about this
    #[arg(long)]
    resource: Option<String>,
    /// Only events with this correlation or trace id
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only events from this moment on: RFC 3339, or a day
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only events before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
}

/// Who is said to ask, in the event that says so.
#[derive(Args, Clone)]
struct Asks {
    /// Who does this, as a subject; it stands in the log
    #[arg(long, value_name = "SUBJECT")]
    by: Option<String>,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// Events to list at most
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT)]
    limit: usize,
    /// Go on where the last list ended: the token that it printed
    #[arg(long, value_name = "TOKEN")]
    page: Option<String>,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
pub(super) struct Show {
    /// The event's number
    index: u64,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    look: Look,
}

/// How to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum As {
    /// What `bailiwick audit verify` reads
    Lines,
    /// OCSF 1.8.0 events
    Ocsf,
}

#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// The first event, by number
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Which events")]
    first: u64,
    /// The event behind the last, by number; all that are signed when it is left out
    #[arg(long, value_name = "N", help_heading = "Which events")]
    end: Option<u64>,
    /// Prove too that the log continues what it was when it had so many events
    #[arg(long, value_name = "SIZE")]
    since: Option<u64>,
    /// What to write
    #[arg(long, value_enum, default_value = "lines", help_heading = "Output")]
    format: As,
    /// Where to; standard output when it is left out
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    #[command(flatten)]
    asks: Asks,
    #[command(flatten)]
    of: Of,
}

fn read_kind(name: &str) -> Result<EventKind, String> {
    EventKind::of(name).ok_or_else(|| {
        let all: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there are {}", all.join(", "))
    })
}

fn read_outcome(name: &str) -> Result<Outcome, String> {
    let all = [Outcome::Done, Outcome::Allowed, Outcome::Refused, Outcome::Failed];
    all.into_iter()
        .find(|outcome| outcome.name() == name)
        .ok_or_else(|| "there are done, allowed, refused, failed".into())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    read_time(text).ok_or_else(|| "write it as 2026-01-31 or 2026-01-31T12:00:00Z".into())
}

impl Audit {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Audit::List(list) => list.run()?,
            Audit::Show(show) => show.run()?,
            Audit::Export(export) => export.run()?,
            Audit::Verify(verify) => return verify.run(),
            Audit::Checkpoint(checkpoint) => checkpoint.run()?,
            Audit::Settings(settings) => settings.run()?,
            Audit::Hold(hold) => hold.run()?,
            Audit::Release(release) => release.run()?,
            Audit::Drop(drop) => return drop.run(),
            Audit::Key(key) => key.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Of {
    /// The log, with its tree as far as events go: this process has the database alone, and nobody else grows it.
    fn log(&self) -> Result<Log, Failure> {
        let engine = open(&self.at.directory("audit")?)?;
        let log = bailiwick::modules::audit::Audit::new(&engine).log(self.number(&engine)?);
        while log.grow()?.more {}
        Ok(log)
    }

    /// The number of the tenant that is meant. A log may be there without its tenant, and is found by the number.
    fn number(&self, engine: &Engine) -> Result<u32, Failure> {
        let known = tenant_names(engine)?;
        let Some(said) = &self.tenant else {
            return match known.as_slice() {
                [(number, _)] => Ok(*number),
                [] => Err(Failure::Said("there is no tenant here; say whose log it was with --tenant N".into())),
                _ => Err(Failure::Said("there are several tenants; say which with --tenant NAME".into())),
            };
        };
        let named = known.iter().find(|(_, name)| name == said).map(|(number, _)| *number);
        let none = || format!("there is no tenant `{said}`; `bailiwick tenant list` prints those there are");
        named.or_else(|| said.parse().ok()).ok_or_else(|| Failure::Said(none()))
    }
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            kind: self.kind,
            outcome: self.outcome,
            user: self.user.clone(),
            agent: self.agent.clone(),
            resource: self.resource.clone(),
            trace: self.trace.clone(),
            from: self.from,
            to: self.to,
        }
    }
}

impl Asks {
    fn by(&self) -> By {
        By { user: self.by.clone(), ..By::default() }
    }
}

/// An event in a row.
fn row(entry: &Entry) -> Vec<String> {
    let index = entry.index.to_string();
    let Some(event) = entry.event() else {
        return [index, String::new(), "dropped".into()].into_iter().chain(vec![String::new(); 7]).collect();
    };
    let Ok(event) = event else {
        return [index, String::new(), "unknown".into()].into_iter().chain(vec![String::new(); 7]).collect();
    };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    vec![
        index,
        time_text(event.at()),
        event.kind().name().to_owned(),
        event.outcome().name().to_owned(),
        text(event.get_user()),
        text(event.get_agent()),
        text(event.get_resource()),
        text(event.get_action()),
        text(event.get_reason()),
        text(event.get_trace()),
    ]
}

const COLUMNS: [&str; 10] =
    ["number", "time", "kind", "outcome", "user", "agent", "resource", "action", "reason", "trace"];

impl List {
    fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let (filter, mut token) = (self.which.filter(), self.page.clone());
        let mut entries = Vec::new();
        // A page may end early when a bound of work is reached.
        while entries.len() < self.limit {
            let Page { entries: more, next } = log.query(&filter, self.limit - entries.len(), token.as_deref())?;
            entries.extend(more);
            token = next;
            if token.is_none() {
                break;
            }
        }
        if self.look.json {
            let events: Vec<Value> = entries.iter().map(shown).collect();
            say(json!({"events": events, "next_page_token": token}));
            return Ok(());
        }
        rows(&COLUMNS, &entries.iter().map(row).collect::<Vec<_>>());
        if terminal() {
            note(count(entries.len() as u64, "event"));
        }
        if let Some(token) = token {
            note(format!("there may be more: --page {token}"));
        }
        Ok(())
    }
}

impl Show {
    #[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
    fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let text = proved(&log, self.index)?;
        if self.look.json {
            say(text);
            return Ok(());
        }
        let value: Value = serde_json::from_str(&text).map_err(|error| Failure::Said(error.to_string()))?;
        let mut lines = Vec::new();
        if let Some(event) = value["event"].as_object() {
            lines.extend(event.iter().map(|(name, value)| vec![name.clone(), plain(value)]));
        } else {
            let what = if value["dropped"] == json!(true) { "dropped" } else { "not known to this program" };
            lines.push(vec!["event".into(), what.into()]);
        }
        let place = &value["place"];
        lines.push(vec!["place".into(), format!("{}.{}", place["revision"], place["number"])]);
        lines.push(vec!["leaf".into(), plain(&value["leaf"])]);
        let proof = value["proof"].as_array().map_or(0, Vec::len) as u64;
        let signed = match value["signed_at"].as_str() {
            Some(at) => format!(
                "proved by {} to the checkpoint signed at {at}",
                count(proof, "hash").replace("hashs", "hashes")
            ),
            None => "not covered by a signed checkpoint yet".to_owned(),
        };
        lines.push(vec!["signed".into(), signed]);
        rows(&[&format!("event {}", self.index), ""], &lines);
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Export {
    fn run(&self) -> Result<(), Failure> {
        let log = self.of.log()?;
        let query = ExportQuery {
            from: self.first,
            to: self.end,
            filter: self.which.filter(),
            since: self.since,
            format: if self.format == As::Lines { Format::Lines } else { Format::Ocsf },
        };
        log.tell_export(&query, &self.asks.by(), bailiwick::wire::now())?;
        let done = match &self.output {
            None => log.export(&query, &mut BufWriter::new(std::io::stdout().lock()))?,
            Some(path) => {
                let failed = |reason| Failure::File { path: path.clone(), reason };
                let file = std::fs::File::create(path).map_err(failed)?;
                let mut writer = BufWriter::new(file);
                let done = log.export(&query, &mut writer)?;
                writer.flush().map_err(failed)?;
                writer.get_ref().sync_all().map_err(failed)?;
                done
            }
        };
        tell(&done);
        Ok(())
    }
}

fn tell(done: &Exported) {
    let Exported { from, to, size, lines, dropped, untold } = done;
    let gone = if *dropped > 0 { format!(", {dropped} of them dropped") } else { String::new() };
    note(format!("{}{gone}, of events {from} to {to} of {size} that are signed", count(*lines, "event")));
    if *untold > 0 {
        note(format!(
            "{} were dropped after that checkpoint was signed: sign a newer one, and export again",
            count(*untold, "event")
        ));
    }
}
