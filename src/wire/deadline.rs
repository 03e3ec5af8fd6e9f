//! Deadlines for questions that run in place. A timer for each would cost more than most of them do, so all that begin
//! within one tick share a flag, which one thread sets when their time is over.

use arc_swap::{ArcSwap, Guard};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How late a deadline may be.
const TICK: Duration = Duration::from_millis(50);

/// A flag that is set when the time of those who hold it is over.
pub type Flag = Guard<Arc<AtomicBool>>;

/// See the file's head. Its thread ends when it is dropped.
pub struct Deadlines {
    current: Arc<ArcSwap<AtomicBool>>,
}

impl Deadlines {
    /// Starts the thread. A `timeout` of zero means that no flag is ever set.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn new(timeout: Duration) -> std::io::Result<Deadlines> {
        let current = Arc::new(ArcSwap::from_pointee(AtomicBool::new(false)));
        if !timeout.is_zero() {
            let shared = Arc::downgrade(&current);
            std::thread::Builder::new().name("deadlines".to_owned()).spawn(move || turn(&shared, timeout))?;
        }
        Ok(Deadlines { current })
    }

    /// The flag of a question that begins now.
    #[must_use]
    pub fn begin(&self) -> Flag {
        self.current.load()
    }
}

fn turn(shared: &Weak<ArcSwap<AtomicBool>>, timeout: Duration) {
    // INVARIANT: ascending in time; at most timeout / TICK + 1 of them.
    let mut running: VecDeque<(Instant, Arc<AtomicBool>)> = VecDeque::new();
    while let Some(current) = shared.upgrade() {
        let now = Instant::now();
        let begun = current.swap(Arc::new(AtomicBool::new(false)));
        drop(current);
        running.push_back((now + timeout, begun));
        while running.front().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, flag)) = running.pop_front() {
                flag.store(true, Ordering::Relaxed);
            }
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_set_after_its_time_and_not_before() {
        let deadlines = Deadlines::new(Duration::from_millis(100)).unwrap();
        let begun = Instant::now();
        let flag = deadlines.begin();
        while !flag.load(Ordering::Relaxed) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the flag was never set");
            std::thread::yield_now();
        }
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
}
