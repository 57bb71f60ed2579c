//! The engine on disk: all states in memory, every acknowledged change in a log, the log now and then in a table.
//!
//! A transaction goes through one writer thread, which takes all that are queued, decides them against the index,
//! appends them to the log as one frame, flushes once, makes them visible and acknowledges (group commit). When a
//! log segment is full, the writer starts the next one and another thread brings what has changed into the table
//! and deletes the old segment. Reads touch only the index.
//!
//! # Why a log before a table, and why redb
//! Measured on two cores and ext4, objects of 1 KiB among 50,000, one durable commit per group; the first number
//! while the machine was busy with other work, the second while it was quiet:
//!
//! | | puts/s, 1 writer | puts/s, groups of 64 | memory | open and read all, after a crash |
//! |---|---|---|---|---|
//! | redb 4.6, a commit per group | 400, 3,800 | 17,000, 87,000 | +10 MB | 0.11 s, 0.19 s |
//! | fjall 3.1, a batch per group | 1,060, 6,400 | 24,000, 105,000 | +20 to 60 MB | 0.17 s, 0.40 s |
//! | this engine, with queue, index and answers | –, 5,500 | –, 51,000 | +10 MB | 0.21 s |
//!
//! redb writes nine scattered pages a commit, so a single writer waits about twice as long as for an append. fjall
//! appends, but brings threads of its own, makes its files readable for everyone, stalls writers when its buffers
//! are full, and refuses all writes once one has failed. A log of our own in front of redb has the latency of the
//! one and the memory of the other, and a full disk is undone by cutting the log back to its last good frame. The
//! engine's own numbers come from `examples/bench.rs`.
//!
//! # Files
//! `lock` (held while open), `table.redb`, `log-N` (segments; replaying one twice does no harm). Folder 0700, files
//! 0600.
//!
//! # Revisions
//! A relaxed change is in the log when it is seen but perhaps not on the platter. So that no revision is given out
//! twice even if the machine stops, each flushed frame reserves `log::RESERVED` revisions more than it uses; after
//! a crash the store goes on above them. History does not survive a reopen: watches go on from the current revision.
//!
//! Reading order: `engine`, `writer`, `log`, `record`, `recover`, `checkpoint`, `table`, `files`.

mod checkpoint;
mod engine;
mod files;
#[cfg(test)]
mod full_disk_tests;
mod log;
mod record;
mod recover;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use engine::open;

/// How an embedded store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// A log segment of this size is brought to the table.
    pub segment_bytes: u64,
    /// How much of the table redb may keep in memory; it is read only at open, so this can be small.
    pub table_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, table_cache_bytes: 4 << 20 }
    }
}
