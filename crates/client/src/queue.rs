//! A work queue of keys: each key once, never worked on twice at the same time, with delays and back-off.
//!
//! Upstream: client-go/util/workqueue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stdx::Clock;
use tokio::sync::Notify;

/// First and longest delay after a failure (upstream: 5 ms, 1000 s).
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// The queue; clones share it.
pub struct Queue<T>(Arc<Shared<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    clock: Clock,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Wanted and not yet handed out.
    dirty: HashSet<T>,
    processing: HashSet<T>,
    delayed: BinaryHeap<Reverse<(Duration, u64)>>,
    delayed_items: HashMap<u64, T>,
    sequence: u64,
    failures: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Queue<T> {
    pub fn new(clock: Clock) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            delayed: BinaryHeap::new(),
            delayed_items: HashMap::new(),
            sequence: 0,
            failures: HashMap::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), clock }))
    }

    /// Wants `item` worked on; while it is being worked on, once more afterwards.
    pub fn add(&self, item: T) {
        self.0.state.lock().want(item);
        self.0.changed.notify_one();
    }

    /// Wants `item` worked on after `delay`.
    pub fn add_after(&self, item: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(item);
        }
        let due = self.0.clock.monotonic() + delay;
        let mut state = self.0.state.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        state.delayed.push(Reverse((due, sequence)));
        state.delayed_items.insert(sequence, item);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Wants `item` again after its failure number n: 5 ms × 2ⁿ, at most 1000 s.
    pub fn add_failed(&self, item: T) {
        let delay = self.0.state.lock().next_delay(&item);
        self.add_after(item, delay);
    }

    /// Forgets the failures of `item`.
    pub fn forget(&self, item: &T) {
        self.0.state.lock().failures.remove(item);
    }

    /// How often `item` failed in a row.
    pub fn failures(&self, item: &T) -> u32 {
        self.0.state.lock().failures.get(item).copied().unwrap_or(0)
    }

    /// The next item; [`Queue::done`] must follow.
    pub async fn next(&self) -> T {
        loop {
            let changed = self.0.changed.notified();
            let due = match self.0.state.lock().take(self.0.clock.monotonic()) {
                Take::Item(item, more) => {
                    if more {
                        self.0.changed.notify_one();
                    }
                    return item;
                }
                Take::Nothing { next_due } => next_due,
            };
            match due {
                None => changed.await,
                Some(due) => {
                    let wait = due.saturating_sub(self.0.clock.monotonic());
                    tokio::select! {
                        () = changed => {}
                        () = self.0.clock.sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The work on `item` has ended.
    pub fn done(&self, item: &T) {
        let mut state = self.0.state.lock();
        state.processing.remove(item);
        if state.dirty.contains(item) {
            state.ready.push_back(item.clone());
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// Items that wait to be handed out.
    pub fn len(&self) -> usize {
        self.0.state.lock().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum Take<T> {
    Item(T, bool),
    Nothing { next_due: Option<Duration> },
}

impl<T: Clone + Eq + Hash> State<T> {
    fn want(&mut self, item: T) {
        if self.dirty.insert(item.clone()) && !self.processing.contains(&item) {
            self.ready.push_back(item);
        }
    }

    fn take(&mut self, now: Duration) -> Take<T> {
        while let Some(Reverse((due, sequence))) = self.delayed.peek().copied() {
            if due > now {
                break;
            }
            self.delayed.pop();
            if let Some(item) = self.delayed_items.remove(&sequence) {
                self.want(item);
            }
        }
        let Some(item) = self.ready.pop_front() else {
            return Take::Nothing { next_due: self.delayed.peek().map(|Reverse((due, _))| *due) };
        };
        self.dirty.remove(&item);
        self.processing.insert(item.clone());
        Take::Item(item, !self.ready.is_empty() || !self.delayed.is_empty())
    }

    fn next_delay(&mut self, item: &T) -> Duration {
        let failures = self.failures.entry(item.clone()).or_default();
        // 5 ms × 2¹⁸ is past the longest delay.
        let delay = FIRST_DELAY * 2u32.pow((*failures).min(18));
        *failures += 1;
        delay.min(LONGEST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn an_item_changed_while_worked_on_comes_again_after_done() {
        let queue = Queue::new(Clock::manual(Timestamp::UNIX_EPOCH));
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        let next = queue.next();
        tokio::pin!(next);
        assert!(poll!(&mut next).is_pending());
        queue.done(&"a");
        assert_eq!(next.await, "a");
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn failures_delay_twice_as_long_each_time() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let queue = Queue::new(clock.clone());
        for delay in [5, 10, 20] {
            queue.add_failed("a");
            {
                let next = queue.next();
                tokio::pin!(next);
                assert!(poll!(&mut next).is_pending());
                clock.advance(Duration::from_millis(delay - 1));
                assert!(poll!(&mut next).is_pending());
                clock.advance(Duration::from_millis(1));
                assert_eq!(next.await, "a");
            }
            queue.done(&"a");
        }
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
    }
}
