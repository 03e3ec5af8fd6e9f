//! Work that is done once however many ask for it at the same time.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::watch;

/// See the file's head. What is under way has a key; who asks for it meanwhile gets the same answer. Nothing is kept once it
/// has been answered. Work goes on when all who asked have gone.
pub struct Flights<K, V> {
    under_way: UnderWay<K, V>,
}

type UnderWay<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Flights<K, V> {
        Flights { under_way: Arc::default() }
    }
}

/// Takes the key away when the work is done, or has panicked.
struct Landing<K: Eq + Hash, V>(UnderWay<K, V>, K);

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits for the work of a key, and starts it when it is not under way. `None` when it panicked.
    pub async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut answer = self.enter(key, work);
        loop {
            if let Some(value) = answer.borrow_and_update().clone() {
                return Some(value);
            }
            if answer.changed().await.is_err() {
                return answer.borrow().clone();
            }
        }
    }

    fn enter<F>(&self, key: K, work: impl FnOnce() -> F) -> watch::Receiver<Option<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(&key) {
            return answer.clone();
        }
        let (say, answer) = watch::channel(None);
        under_way.insert(key.clone(), answer.clone());
        let (landing, work) = (Landing(Arc::clone(&self.under_way), key), work());
        tokio::spawn(async move {
            let value = work.await;
            // Who asks from here on starts anew; who asked before gets this.
            drop(landing);
            let _ = say.send(Some(value)); // nobody may be waiting any more
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn many_callers_are_one_flight_and_the_next_is_another() {
        let (flights, count, go) =
            (Arc::new(Flights::default()), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (flights, count, go) = (Arc::clone(&flights), Arc::clone(&count), Arc::clone(&go));
            async move {
                let work = || async move {
                    go.notified().await;
                    count.fetch_add(1, Ordering::Relaxed)
                };
                flights.join("key", work).await
            }
        };
        let waiting: Vec<_> = (0..64).map(|_| tokio::spawn(ask())).collect();
        // The first of them is gone before there is an answer.
        let gone = tokio::spawn(ask());
        tokio::task::yield_now().await;
        gone.abort();
        go.notify_one();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Some(0));
        }
        go.notify_one();
        assert_eq!(ask().await, Some(1));
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_keeps_nobody_out() {
        let flights: Flights<u8, u8> = Flights::default();
        let fails = || async { std::panic::resume_unwind(Box::new(())) };
        assert_eq!(flights.join(1, fails).await, None);
        assert_eq!(flights.join(1, || async { 7 }).await, Some(7));
    }
}
