//! `bailiwick explain`: why something was allowed or refused, over all layers, from the audit log of a tenant.

use super::InTenant;
use crate::cli::Failure;
use crate::cli::show::{note, rows, say, terminal};
use bailiwick::modules::audit::explain::{About, Explained, Step};
use bailiwick::modules::audit::{Audit, time_text};
use bailiwick::server::StorePaths;
use clap::Args;
use std::process::ExitCode;

pub(in crate::cli) const EXAMPLES: &str = "Examples: bailiwick explain 4bf92f3577b34da6a3ce929d0e0e4736\n          \
                                         bailiwick explain 01M8FGCCGZHDCXCAP0QBK96D6C --tenant acme\n          \
                                         bailiwick explain 42 --json";

/// Explains what was done, and on what it hangs.
#[derive(Args)]
pub(in crate::cli) struct Explain {
    /// A trace or correlation id, the `jti` of a token, the id of an approval, or the number of an event
    id: String,
    #[command(flatten)]
    of: InTenant,
}

const COLUMNS: [&str; 7] = ["number", "time", "layer", "who", "what", "decision", "why"];

impl Explain {
    pub(in crate::cli) fn run(&self) -> Result<ExitCode, Failure> {
        let tenant = self.of.open()?;
        let log = Audit::new(tenant.engine()).log(tenant.number());
        while log.grow()?.more {}
        let explained = log.explain(&About::read(&self.id), &StorePaths(tenant.identity().clone()))?;
        if explained.steps.is_empty() {
            let text =
                "has nothing of it; say a trace, the `jti` of a token, the id of an approval or the number of an event";
            return Err(Failure::Said(format!("the audit log of {} {text}", tenant.name())));
        }
        if self.of.look.json {
            say(explained.json());
            return Ok(ExitCode::SUCCESS);
        }
        print(&explained);
        Ok(ExitCode::SUCCESS)
    }
}

fn print(explained: &Explained) {
    rows(&COLUMNS, &explained.steps.iter().map(row).collect::<Vec<_>>());
    if explained.more {
        note("there is more than is shown; ask about one of the tokens, approvals or events");
    }
    for (layer, tally) in explained.layers().into_iter().filter(|_| terminal()) {
        let refused = match tally.last_refused {
            Some(number) => format!("{} refused, the last is {number}", tally.refused),
            None => "none refused".to_owned(),
        };
        note(format!("{:<15} {} allowed, {refused}", layer.name(), tally.allowed));
    }
}

/// A step in a row.
fn row(step: &Step) -> Vec<String> {
    let event = &step.event;
    vec![
        step.number.to_string(),
        time_text(event.at()),
        step.layer.name().to_owned(),
        who(step),
        what(step),
        event.outcome().name().to_owned(),
        why(step),
    ]
}

/// The person, and through whom.
fn who(step: &Step) -> String {
    let event = &step.event;
    let through = event.get_agent().or(event.get_client());
    let chain = event.get_user().into_iter().chain(through).chain(event.get_actors().iter().map(String::as_str));
    chain.collect::<Vec<_>>().join(" < ")
}

/// What was to be done with what.
fn what(step: &Step) -> String {
    let event = &step.event;
    let parts = [Some(event.kind().name()), event.get_action(), event.get_resource()];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// By which rule or tuples, and on what it hangs.
fn why(step: &Step) -> String {
    let mut why: Vec<String> = Some(step.why()).filter(|text| !text.is_empty()).into_iter().collect();
    if let Some(path) = &step.path {
        let now = if path.then { "" } else { " (as it is now)" };
        why.push(format!("by {}{now}", path.tuples.join(", ")));
    }
    if !step.from.is_empty() {
        let from: Vec<String> = step.from.iter().map(u64::to_string).collect();
        why.push(format!("of {}", from.join(", ")));
    }
    why.join("; ")
}
