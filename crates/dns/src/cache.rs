//! Answers that still hold, bounded in number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::wire::Packed;

/// Answers kept at most, as CoreDNS keeps them of each sort.
pub(crate) const CAPACITY: usize = 2 * 9984;
/// Tables, so that two cores seldom wait for each other.
const SHARDS: usize = 16;

/// What an answer depends on, besides time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The state of the cluster that had this number.
    Cluster(u64),
    Elsewhere,
}

struct Entry {
    answer: Arc<Packed>,
    basis: Basis,
    made: Duration,
    until: Duration,
}

type Table = Mutex<HashMap<Box<[u8]>, Entry>>;

pub(crate) struct Cache {
    tables: Vec<Table>,
    room: usize,
}

impl Cache {
    pub fn new(capacity: usize) -> Self {
        let tables = std::iter::repeat_with(Table::default).take(SHARDS).collect();
        Self { tables, room: capacity.div_ceil(SHARDS) }
    }

    /// The answer and its age in seconds, if it still holds.
    pub fn get(&self, key: &[u8], now: Duration, cluster: u64) -> Option<(Arc<Packed>, u32)> {
        let table = self.table(key).lock();
        let entry = table.get(key)?;
        let stands = match entry.basis {
            Basis::Cluster(number) => number == cluster,
            Basis::Elsewhere => true,
        };
        if !stands || now >= entry.until {
            return None;
        }
        let age = now.saturating_sub(entry.made).as_secs();
        Some((entry.answer.clone(), u32::try_from(age).unwrap_or(u32::MAX)))
    }

    /// Keeps an answer for `seconds`.
    pub fn put(&self, key: &[u8], answer: Arc<Packed>, basis: Basis, now: Duration, seconds: u32) {
        if seconds == 0 {
            return;
        }
        let entry = Entry { answer, basis, made: now, until: now + Duration::from_secs(seconds.into()) };
        let mut table = self.table(key).lock();
        if table.len() >= self.room && !table.contains_key(key) {
            // Any one may go; the order of a hash table is no order that an attacker chooses.
            let Some(victim) = table.keys().next().cloned() else { return };
            table.remove(&victim);
        }
        table.insert(key.into(), entry);
    }

    fn table(&self, key: &[u8]) -> &Table {
        // FNV-1a; the tables themselves hash with a secret.
        let hash = key
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        &self.tables[(hash >> 16) as usize % self.tables.len()]
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Code, Query, kind, write::Reply};

    fn answer() -> Arc<Packed> {
        let asked = Query::write(1, "a", kind::A);
        let query = Query::read(&asked).expect("sound");
        let reply = Reply {
            code: Code::NoError,
            authoritative: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        };
        Arc::new(reply.pack(&query))
    }

    #[test]
    fn answers_go_with_time_and_with_the_cluster() {
        let cache = Cache::new(100);
        let at = Duration::from_secs;
        cache.put(b"a", answer(), Basis::Elsewhere, at(0), 10);
        cache.put(b"b", answer(), Basis::Cluster(1), at(0), 10);
        let age = |key: &[u8], now, cluster| cache.get(key, at(now), cluster).map(|(_, age)| age);
        assert_eq!((age(b"a", 3, 2), age(b"a", 10, 2)), (Some(3), None));
        assert_eq!((age(b"b", 9, 1), age(b"b", 9, 2)), (Some(9), None));
    }

    #[test]
    fn never_more_than_its_room() {
        let cache = Cache::new(SHARDS);
        for number in 0u32..1000 {
            cache.put(&number.to_be_bytes(), answer(), Basis::Elsewhere, Duration::ZERO, 10);
        }
        assert!(cache.len() <= SHARDS);
    }
}
