//! Who waits for the writer, and which of them share the next sync.
//!
//! Small requests and bulk ones (chunks of an import) wait apart. While small ones are waiting, bulk ones get half of the
//! writer's time and no more: after a chunk, small ones go first for as long as the chunk took. And a group of small ones
//! waits for a fraction of a sync for callers who were answered just now, because most of them ask again at once: without
//! that, the first to come back would have a sync of its own, and all others the next one.

use super::writer::{Change, Job};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::time::{Duration, Instant};

/// Requests of each kind that may wait; the next ones block.
const QUEUE_MAX: usize = 4_096;
/// Requests that share a sync.
const GROUP_MAX: usize = 1_024;
/// Tuple changes after which a group is closed.
const GROUP_TUPLES_MAX: usize = 10_000;
/// A write of as many tuples is a bulk one, as is each chunk of an import. OpenFGA's own Write ends at 100 by default.
const BULK_TUPLES_MIN: usize = 1_000;
/// A group waits for others for at most this part of the time that the group before it took.
const LINGER_PART: u32 = 2;
/// How fast it is forgotten that there were more callers: by this part with each group.
const FORGOTTEN_PART: usize = 8;
/// And never for longer, however slow the disk.
const LINGER_MAX: Duration = Duration::from_millis(5);

/// Where requests are handed in. Clones share it.
#[derive(Clone)]
pub(super) struct Queue {
    small: Sender<Job>,
    bulk: Sender<Job>,
}

/// Where the writer takes them out.
pub(super) struct Waiting {
    small: Receiver<Job>,
    bulk: Receiver<Job>,
    /// Whether the group taken last was a bulk one.
    bulk_taken: bool,
    taken_at: Instant,
    taken: usize,
    /// How many small requests the next group may hope for: those that waited when the last was answered, and its callers;
    /// or little fewer than it hoped for then.
    expected: usize,
    /// Until when it may wait for them.
    linger_until: Instant,
    /// How long small requests go first.
    owed: Duration,
}

/// A queue and its other end.
pub(super) fn queue() -> (Queue, Waiting) {
    let (small, small_waiting) = bounded(QUEUE_MAX);
    let (bulk, bulk_waiting) = bounded(QUEUE_MAX);
    let now = Instant::now();
    let waiting = Waiting {
        small: small_waiting,
        bulk: bulk_waiting,
        bulk_taken: false,
        taken_at: now,
        taken: 0,
        expected: 0,
        linger_until: now,
        owed: Duration::ZERO,
    };
    (Queue { small, bulk }, waiting)
}

impl Queue {
    /// Hands a request in, when there is room. `false`: the writer is gone.
    pub(super) fn send(&self, job: Job) -> bool {
        let bulk = matches!(job.change, Change::Import { .. }) || job.change.tuples() >= BULK_TUPLES_MIN;
        let queue = if bulk { &self.bulk } else { &self.small };
        queue.send(job).is_ok()
    }
}

impl Waiting {
    /// Waits for requests and takes those that share the next sync. `None`: every handle is gone, and with them whoever
    /// could wait.
    pub(super) fn take(&mut self) -> Option<Vec<Job>> {
        let (first, bulk) = self.first()?;
        let mut tuples = first.change.tuples();
        let mut group = vec![first];
        while group.len() < GROUP_MAX && tuples < GROUP_TUPLES_MAX {
            let next = if bulk { self.bulk.try_recv().ok() } else { self.next_small(group.len()) };
            let Some(job) = next else { break };
            tuples += job.change.tuples();
            group.push(job);
        }
        (self.bulk_taken, self.taken, self.taken_at) = (bulk, group.len(), Instant::now());
        Some(group)
    }

    /// Notes that the group taken last is done; to be called before its callers are answered.
    pub(super) fn done(&mut self) {
        let now = Instant::now();
        let spent = now - self.taken_at;
        let mut likely = self.small.len();
        if self.bulk_taken {
            self.owed = spent;
            self.linger_until = now;
        } else {
            self.owed = self.owed.saturating_sub(spent);
            self.linger_until = now + LINGER_MAX.min(spent / LINGER_PART);
            likely += self.taken;
        }
        // Callers that had no processor for a while are neither waiting nor just answered.
        self.expected = likely.max(self.expected - self.expected.div_ceil(FORGOTTEN_PART));
    }

    /// The first request of a group, and whether it is a bulk one.
    fn first(&self) -> Option<(Job, bool)> {
        if !self.owed.is_zero()
            && let Some(job) = self.next_small(0)
        {
            return Some((job, false));
        }
        if let Ok(job) = self.bulk.try_recv() {
            return Some((job, true));
        }
        select! {
            recv(self.small) -> job => match job {
                Ok(job) => Some((job, false)),
                Err(_) => self.bulk.recv().ok().map(|job| (job, true)),
            },
            recv(self.bulk) -> job => match job {
                Ok(job) => Some((job, true)),
                Err(_) => self.small.recv().ok().map(|job| (job, false)),
            },
        }
    }

    /// A small request that is there, or comes while it is worth to wait for it, when `have` are taken already.
    fn next_small(&self, have: usize) -> Option<Job> {
        match self.small.try_recv() {
            Ok(job) => Some(job),
            Err(_) if have < self.expected => self.small.recv_deadline(self.linger_until).ok(),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{WriteError, types::At};
    use crate::tuple::{StoreId, Timestamp};
    use std::sync::Arc;

    type Answer = Receiver<Result<At<u64>, WriteError>>;

    fn hand_in(queue: &Queue, change: Change) -> Answer {
        let (reply, answer) = bounded(1);
        assert!(queue.send(Job { change, reply }));
        answer
    }

    fn small(queue: &Queue) -> Answer {
        hand_in(queue, Change::Records { expectations: Vec::new(), changes: Vec::new() })
    }

    fn chunk(queue: &Queue) -> Answer {
        let store = StoreId(ulid::Ulid::from_parts(1, 1));
        hand_in(queue, Change::Import { store, tuples: Arc::default(), records: Vec::new(), at: Timestamp(1) })
    }

    fn is_chunk(group: &[Job]) -> bool {
        group.iter().any(|job| matches!(job.change, Change::Import { .. }))
    }

    #[test]
    fn small_requests_go_first_for_as_long_as_a_chunk_took() {
        let (queue, mut waiting) = queue();
        let _answers = [chunk(&queue), small(&queue), small(&queue)];
        assert!(is_chunk(&waiting.take().unwrap()), "nothing is owed yet");
        waiting.taken_at = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        waiting.done();
        let _answers = [chunk(&queue), chunk(&queue)];
        assert_eq!(waiting.take().unwrap().len(), 2, "the two small ones share a sync, without a chunk");
        waiting.taken_at = Instant::now().checked_sub(Duration::from_secs(99)).unwrap();
        waiting.done();
        let _answer = small(&queue);
        waiting.linger_until = Instant::now();
        assert!(!is_chunk(&waiting.take().unwrap()), "a second is still owed");
        waiting.taken_at = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        waiting.done();
        let _answer = small(&queue);
        assert!(is_chunk(&waiting.take().unwrap()), "a chunk's turn, though small ones wait");
    }

    #[test]
    fn a_chunk_does_not_wait_for_small_requests_that_do_not_come() {
        let (queue, mut waiting) = queue();
        let _answer = chunk(&queue);
        (waiting.owed, waiting.expected) = (Duration::from_secs(100), 5);
        assert!(is_chunk(&waiting.take().unwrap()));
    }

    #[test]
    fn a_group_waits_for_those_who_were_just_answered_and_for_nobody_else() {
        let (queue, mut waiting) = queue();
        let _answers = [small(&queue), small(&queue)];
        assert_eq!(waiting.take().unwrap().len(), 2);
        let _answer = small(&queue);
        waiting.done();
        assert_eq!(waiting.expected, 3);
        // Far away, so that the test would hang if it waited for more than it expects.
        waiting.linger_until = Instant::now() + Duration::from_secs(3_600);
        let late = queue.clone();
        let thread = std::thread::spawn(move || [small(&late), small(&late)]);
        assert_eq!(waiting.take().unwrap().len(), 3);
        let _answers = thread.join().unwrap();
        waiting.done();
        assert_eq!(waiting.expected, 3);
        for fewer in [2, 1, 1] {
            // Past, so that nobody is waited for who is not there.
            waiting.linger_until = Instant::now();
            let _answer = small(&queue);
            assert_eq!(waiting.take().unwrap().len(), 1);
            waiting.done();
            assert_eq!(waiting.expected, fewer, "those who did not come back are forgotten");
        }
    }

    #[test]
    fn it_ends_with_the_last_handle() {
        let (queue, mut waiting) = queue();
        let (_small, _chunk) = (small(&queue), chunk(&queue));
        drop(queue);
        assert!(is_chunk(&waiting.take().unwrap()));
        assert_eq!(waiting.take().unwrap().len(), 1);
        assert!(waiting.take().is_none());
    }
}
