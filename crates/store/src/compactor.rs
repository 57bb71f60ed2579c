//! Which history to keep, as a value that the caller asks now and then.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{CompactError, Engine, ReadError, Revision};

/// How much history readers and watchers can count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// History younger than this is kept (upstream's server compacts every 5 minutes) …
    pub age: Duration,
    /// … but never more than so many revisions.
    pub revisions: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(5 * 60), revisions: 50_000 }
    }
}

/// Remembers when the store was where. Call [`Compactor::tick`] every so often (a fifth of the age is plenty); a tick
/// in which nothing has changed does nothing.
#[derive(Debug)]
pub struct Compactor {
    retention: Retention,
    /// (when, the revision then), oldest first.
    seen: VecDeque<(Duration, Revision)>,
    compacted: Revision,
}

impl Compactor {
    pub fn new(retention: Retention) -> Self {
        Self { retention, seen: VecDeque::new(), compacted: Revision::ZERO }
    }

    /// Compacts `engine` if there is history to drop at `now` (a monotonic time), and says up to where.
    ///
    /// # Errors
    /// [`CompactError`] as the engine gave it.
    pub async fn tick(
        &mut self,
        engine: &dyn Engine,
        now: Duration,
    ) -> Result<Option<Revision>, CompactError> {
        let current = engine.revision().await.map_err(unreachable_store)?;
        let Some(target) = self.target(now, current) else {
            return Ok(None);
        };
        engine.compact(target).await?;
        self.compacted = target;
        Ok(Some(target))
    }

    /// What to compact to, if anything.
    fn target(&mut self, now: Duration, current: Revision) -> Option<Revision> {
        if self.seen.back().is_none_or(|(_, revision)| *revision != current) {
            self.seen.push_back((now, current));
        }
        let mut target = Revision(current.0.saturating_sub(self.retention.revisions));
        // The oldest sighting stays as long as no later one is old enough to replace it.
        while self.seen.front().is_some_and(|(when, _)| *when + self.retention.age <= now) {
            let (_, revision) = self.seen.pop_front().expect("the front was just looked at");
            target = target.max(revision);
        }
        if self.seen.is_empty() {
            self.seen.push_back((now, current));
        }
        (target > self.compacted).then_some(target)
    }
}

fn unreachable_store(error: ReadError) -> CompactError {
    CompactError::Unavailable { source: std::sync::Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn keeps_an_age_and_at_most_so_many_revisions() {
        let mut compactor = Compactor::new(Retention { age: seconds(10), revisions: 100 });
        let mut tick = |at, current| {
            let target = compactor.target(seconds(at), Revision(current));
            if let Some(target) = target {
                compactor.compacted = target;
            }
            target.map(|revision| revision.0)
        };
        assert_eq!(tick(0, 5), None);
        assert_eq!(tick(6, 8), None);
        assert_eq!(tick(10, 9), Some(5));
        assert_eq!(tick(11, 200), Some(100), "too many revisions");
        assert_eq!(tick(21, 200), Some(200), "the last sighting is old by now");
        assert_eq!(tick(40, 200), None, "nothing has changed");
        assert_eq!(tick(41, 201), None);
        assert_eq!(tick(51, 201), Some(201));
    }
}
