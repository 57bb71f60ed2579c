//! What a controller has asked for and not yet seen come back along its watch.
//!
//! Upstream: pkg/controller/controller_utils.go, `UIDTrackingControllerExpectations`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use stdx::Clock;

use crate::Key;

/// After this long an expectation no longer holds a controller back (upstream: 5 minutes).
const EXPIRES_AFTER: Duration = Duration::from_secs(300);

/// Per key: creations still to be seen, and the UIDs of deletions still to be seen.
pub struct Expectations {
    clock: Clock,
    pending: Mutex<HashMap<Key, Pending>>,
}

#[derive(Default)]
struct Pending {
    creations: usize,
    deletions: HashSet<String>,
    since: Duration,
}

impl Expectations {
    pub fn new(clock: Clock) -> Self {
        Self { clock, pending: Mutex::default() }
    }

    /// Recorded before the calls that create.
    pub fn expect_creations(&self, key: &Key, count: usize) {
        self.update(key, |pending| pending.creations += count);
    }

    /// Recorded before the calls that delete.
    pub fn expect_deletions(&self, key: &Key, uids: impl IntoIterator<Item = String>) {
        self.update(key, |pending| pending.deletions.extend(uids));
    }

    /// A creation was seen, or its call failed.
    pub fn creation_observed(&self, key: &Key) {
        if let Some(pending) = self.pending.lock().get_mut(key) {
            pending.creations = pending.creations.saturating_sub(1);
        }
    }

    /// A deletion was seen, or its call failed.
    pub fn deletion_observed(&self, key: &Key, uid: &str) {
        if let Some(pending) = self.pending.lock().get_mut(key) {
            pending.deletions.remove(uid);
        }
    }

    /// Whether all that was asked for has been seen, or the wait has taken too long.
    pub fn satisfied(&self, key: &Key) -> bool {
        let pending = self.pending.lock();
        let Some(pending) = pending.get(key) else { return true };
        let settled = pending.creations == 0 && pending.deletions.is_empty();
        settled || self.clock.monotonic().saturating_sub(pending.since) > EXPIRES_AFTER
    }

    pub fn forget(&self, key: &Key) {
        self.pending.lock().remove(key);
    }

    fn update(&self, key: &Key, change: impl FnOnce(&mut Pending)) {
        let mut all = self.pending.lock();
        let pending = all.entry(key.clone()).or_default();
        pending.since = self.clock.monotonic();
        change(pending);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn hold_back_until_all_is_seen_or_five_minutes_pass() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (expectations, key) = (Expectations::new(clock.clone()), Key::new("n", "a"));
        assert!(expectations.satisfied(&key));
        expectations.expect_creations(&key, 1);
        expectations.expect_deletions(&key, ["u".to_owned()]);
        expectations.creation_observed(&key);
        assert!(!expectations.satisfied(&key));
        expectations.deletion_observed(&key, "u");
        assert!(expectations.satisfied(&key));
        expectations.expect_creations(&key, 1);
        clock.advance(Duration::from_secs(301));
        assert!(expectations.satisfied(&key));
    }
}
