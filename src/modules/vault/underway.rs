//! Calls under way. For each credential that the proxy lends there is a record, from the write that says that it is lent to the
//! one that says how the call ended. What a process leaves of them that was killed, the next one tells of: `proxy.lost`.

use super::records::VAULT;
use crate::engine::Module;
use crate::identity::{Answer, Change, Env, Event, EventKind, Outcome, PAGE_MAX, Stored, Tenant};
use crate::wire::fresh_id;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Calls that one look tells of.
const TOLD_MAX: usize = 200;
const _: () = assert!(TOLD_MAX <= PAGE_MAX);

/// Which process this is, among those that had the database open. A database is open in one process at a time, so that what
/// another has left is of one that has ended.
static PROCESS: LazyLock<String> = LazyLock::new(|| fresh_id().to_string());

/// See the file's head.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnderWay {
    /// What was told when it began.
    leased: Event,
}

impl Stored for UnderWay {
    const MODULE: Module = VAULT;
    const SORT: u8 = b'l';
    const WHAT: &'static str = "call under way";
}

/// Begins a call, with its event; answers what it is called until it has ended.
pub(super) fn begin(change: &mut Change<'_>, leased: &Event, env: &Env<'_>) -> String {
    let call = format!("{}-{}", *PROCESS, env.id());
    change.event(leased);
    change.create(&[&call], &UnderWay { leased: leased.clone() });
    call
}

/// Ends it.
pub(super) fn end(change: &mut Change<'_>, call: &str) {
    change.unmark(VAULT, UnderWay::SORT, &[call]);
}

/// Tells of calls that were under way when a process ended, each once: who, what, through which connection, and that nobody
/// knows what became of it. Answers how many; call it until it answers zero.
///
/// # Errors
/// The disk failed.
pub fn tell_lost(tenant: &Tenant, env: &Env<'_>) -> Answer<usize> {
    let (mut told, mut after) = (0, None::<String>);
    while told < TOLD_MAX {
        let page = tenant.list::<UnderWay>(&[], after.as_deref(), TOLD_MAX)?;
        let Some(last) = page.last() else { break };
        after = Some(last.last());
        for held in page.iter().filter(|held| !held.last().starts_with(&*PROCESS)) {
            let mut change = tenant.change(env);
            change.remove(held);
            let lost = held.leased.followed_by(EventKind::ProxyLost, Outcome::Failed, env.now);
            change.event(&lost.reason("process.ended"));
            match change.commit() {
                Err(refusal) if !refusal.is_stale() => return Err(refusal),
                Err(_) => {} // another look has told of it
                Ok(_) => told += 1,
            }
        }
    }
    Ok(told)
}
