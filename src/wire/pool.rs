//! A bounded pool of threads for work that may take long or wait for the disk, so that it never holds up the threads that
//! serve connections.

use crossbeam::channel::{Sender, TrySendError, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The queue of a pool is full; the work was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting")]
pub struct PoolFull;

/// See the file's head. Its threads end when it is dropped and the queue is empty.
pub struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    /// Starts the threads. At most `queue_max` jobs wait for one of them.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn new(name: &str, threads: usize, queue_max: usize) -> std::io::Result<Pool> {
        let (jobs, waiting) = bounded::<Job>(queue_max.max(1));
        for _ in 0..threads.max(1) {
            let waiting = waiting.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Ok(job) = waiting.recv() {
                    done(job);
                }
            })?;
        }
        Ok(Pool { jobs })
    }

    /// Gives work to the pool. The receiver fails when the work panics.
    ///
    /// # Errors
    /// The queue is full.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, PoolFull> {
        let (job, answer) = job(work);
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(PoolFull),
        }
    }

    /// Gives work to the pool that must be done however many wait: where the queue is full, it is done here and now. It goes
    /// on when nobody waits for the answer.
    pub fn run_surely<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (job, answer) = job(work);
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
            done(job);
        }
        answer
    }
}

fn job<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let job = Box::new(move || {
        let _ = reply.send(work()); // a caller that went away needs no answer
    });
    (job, answer)
}

fn done(job: Job) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a request panicked; its caller gets an internal error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_a_panic_costs_no_thread() {
        let pool = Pool::new("test", 1, 1).unwrap();
        assert!(pool.run(|| std::panic::resume_unwind(Box::new(()))).unwrap().blocking_recv().is_err());
        let (release, wait) = bounded::<()>(0);
        let (begun, start) = bounded::<()>(0);
        let first = pool.run(move || (begun.send(()), wait.recv())).unwrap();
        start.recv().unwrap();
        let second = pool.run(|| 2).unwrap();
        assert_eq!(pool.run(|| 3).err(), Some(PoolFull));
        // What must be done is done here.
        let here = std::thread::current().id();
        assert_eq!(pool.run_surely(|| std::thread::current().id()).blocking_recv(), Ok(here));
        assert!(pool.run_surely(|| std::panic::resume_unwind(Box::new(()))).blocking_recv().is_err());
        release.send(()).unwrap();
        assert!(first.blocking_recv().is_ok());
        assert_eq!(second.blocking_recv(), Ok(2));
    }
}
