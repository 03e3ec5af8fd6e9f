//! One pass over what is due: place by place, a few at once, each for a bounded time.
//!
//! A place is where a notice goes: the origin of a client's endpoint or of a push service, or a channel. What goes to one place
//! goes one after another; one that is slow keeps its own waiting, and nobody else's. What no channel is called for is done first.

use super::Approvals;
use super::channel::Channels;
use super::outbox::{Outcome, Sent, TRIES_MAX, WAIT_S, place_of, remove, spread_one};
use super::records::Notice;
use crate::identity::{Answer, Env, Held, Refusal, Seconds, Tenant};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Places that are told at once.
const PLACES_AT_ONCE: usize = 8;
/// After a place has taken so long in a pass, the rest of what goes there waits for a later one.
const PLACE_TIME: Duration = Duration::from_secs(5);
/// After a pass has taken so long, it begins nothing more: what is over is noted, and the next one begins.
const PASS_TIME: Duration = Duration::from_secs(30);

/// What goes to one place, in the order in which it became due.
type Lane = Vec<Held<Notice>>;

/// What a pass is made with.
#[derive(Clone, Copy)]
struct Pass<'a> {
    approvals: &'a Approvals,
    tenant: &'a Tenant,
    channels: &'a Channels,
    env: &'a Env<'a>,
    begun: Duration,
}

/// Says these notices, and writes what became of each.
pub(super) fn tell(
    approvals: &Approvals,
    tenant: &Tenant,
    due: Vec<Held<Notice>>,
    channels: &Channels,
    env: &Env<'_>,
) -> Answer<Sent> {
    let pass = Pass { approvals, tenant, channels, env, begun: (channels.clock)() };
    let mut done = Sent::default();
    let lanes = pass.lanes(due, &mut done)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Sent::default();
        while !pass.is_over() {
            let Some(lane) = lanes.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            pass.say_all(lane, &mut done)?;
        }
        Ok(done)
    };
    let parts: Vec<Answer<Sent>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..lanes.len().min(PLACES_AT_ONCE)).map(|_| scope.spawn(work)).collect();
        let own = work();
        let panicked = |_| Err(Refusal::failed("notice.panic", "a notice could not be told"));
        others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).chain([own]).collect()
    });
    for part in parts {
        let Sent { sent, later, dropped } = part?;
        done = Sent { sent: done.sent + sent, later: done.later + later, dropped: done.dropped + dropped };
    }
    Ok(done)
}

impl Pass<'_> {
    /// By place, in the order of the first of each. What becomes several notices does so here, and those are due at once.
    fn lanes(&self, due: Vec<Held<Notice>>, done: &mut Sent) -> Answer<Vec<Lane>> {
        let (mut lanes, mut at) = (Vec::<Lane>::new(), HashMap::<String, usize>::new());
        for held in due {
            let spread = spread_one(self.tenant, &held, self.channels, self.env).unwrap_or_else(|refusal| {
                tracing::error!(request = held.request, %refusal, "a notice cannot be spread");
                Some(Outcome::Failed("an error of the server"))
            });
            if let Some(outcome) = spread {
                self.settle(&held, &outcome, done)?;
                continue;
            }
            // What has no place is settled without a call.
            let place = place_of(self.tenant, &held).unwrap_or_default();
            let lane = *at.entry(place).or_insert(lanes.len());
            match lanes.get_mut(lane) {
                Some(lane) => lane.push(held),
                None => lanes.push(vec![held]),
            }
        }
        Ok(lanes)
    }

    fn is_over(&self) -> bool {
        (self.channels.clock)().saturating_sub(self.begun) >= PASS_TIME
    }

    /// Says what goes to one place, for as long as it may take.
    fn say_all(&self, lane: &[Held<Notice>], done: &mut Sent) -> Answer<()> {
        let clock = &self.channels.clock;
        let since = clock();
        for (at, held) in lane.iter().enumerate() {
            if clock().saturating_sub(since) >= PLACE_TIME {
                done.later += self.later(lane.get(at..).unwrap_or_default())?;
                return Ok(());
            }
            if self.is_over() {
                return Ok(()); // they are due in the next pass, as they were
            }
            let said = self.approvals.say(self.tenant, held, self.channels, self.env);
            let outcome = said.unwrap_or_else(|refusal| {
                tracing::error!(request = held.request, %refusal, "a notice cannot be told");
                Outcome::Failed("an error of the server")
            });
            self.settle(held, &outcome, done)?;
        }
        Ok(())
    }

    /// Has others tried first: these wait, and it does not count as a try.
    fn later(&self, notices: &[Held<Notice>]) -> Answer<usize> {
        let due_at = self.env.seconds().saturating_add(WAIT_S);
        let mut change = self.tenant.change(self.env);
        for held in notices {
            change.replace(held, &Notice { due_at, ..held.value.clone() });
        }
        match change.commit() {
            Err(refusal) if !refusal.is_stale() => Err(refusal),
            _ => Ok(notices.len()),
        }
    }

    fn settle(&self, held: &Held<Notice>, outcome: &Outcome, done: &mut Sent) -> Answer<()> {
        match outcome {
            Outcome::Spread => {}
            Outcome::Sent => {
                remove(self.tenant, held, self.env)?;
                done.sent += 1;
            }
            Outcome::OfNoUse => {
                remove(self.tenant, held, self.env)?;
                done.dropped += 1;
            }
            Outcome::Failed(why) if held.tries.saturating_add(1) >= TRIES_MAX => {
                tracing::warn!(request = held.request, why, "a notice of an approval is given up");
                remove(self.tenant, held, self.env)?;
                done.dropped += 1;
            }
            Outcome::Failed(why) => {
                tracing::info!(request = held.request, why, tries = held.tries, "a notice is tried again");
                let wait: Seconds = WAIT_S.saturating_mul(1 << held.tries.min(TRIES_MAX));
                let (due_at, tries) = (self.env.seconds().saturating_add(wait), held.tries.saturating_add(1));
                let mut change = self.tenant.change(self.env);
                change.replace(held, &Notice { due_at, tries, ..held.value.clone() });
                change.commit()?;
                done.later += 1;
            }
        }
        Ok(())
    }
}
