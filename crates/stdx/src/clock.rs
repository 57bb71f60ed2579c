//! The one source of time. Tests hand out a manual clock and move it themselves.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Wall and monotonic time; a clone shares the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(tokio::time::Instant),
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Timestamp,
    elapsed: Mutex<Duration>,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System(tokio::time::Instant::now()))
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            start,
            elapsed: Mutex::new(Duration::ZERO),
            moved: Notify::new(),
        })))
    }

    /// Wall time.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that the others are told to ask")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(_) => Timestamp::now(),
            Source::Manual(manual) => manual.start + *manual.elapsed.lock(),
        }
    }

    /// Time since the clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System(start) => start.elapsed(),
            Source::Manual(manual) => *manual.elapsed.lock(),
        }
    }

    /// Returns once `duration` has passed on this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System(_) => tokio::time::sleep(duration).await,
            Source::Manual(manual) => manual.wait_until(self.monotonic() + duration).await,
        }
    }

    /// Moves a manual clock forward and wakes its sleepers. Does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            *manual.elapsed.lock() += by;
            manual.moved.notify_waiters();
        }
    }
}

impl Manual {
    async fn wait_until(&self, deadline: Duration) {
        loop {
            // Registered before the check, so that an advance in between is not lost.
            let moved = self.moved.notified();
            if *self.elapsed.lock() >= deadline {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_moved() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let sleeper = clock.sleep(Duration::from_secs(5));
        tokio::pin!(sleeper);
        assert!(futures::poll!(&mut sleeper).is_pending());
        clock.advance(Duration::from_secs(5));
        sleeper.await;
        assert_eq!(clock.now().as_second(), 5);
    }
}
