//! Exponential back-off.

use std::time::Duration;

/// Doubles from `first` up to `most`; [`Backoff::reset`] starts over.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait before the next attempt.
    pub fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_most() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
        assert_eq!([1, 2, 3, 3].map(Duration::from_secs), [(); 4].map(|()| backoff.step()));
        backoff.reset();
        assert_eq!(backoff.step(), Duration::from_secs(1));
    }
}
