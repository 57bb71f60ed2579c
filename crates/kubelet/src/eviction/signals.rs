//! What is left of the node's means.

use std::fs;
use std::path::Path;

use crate::node::capacity::field;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    PidAvailable,
}

impl Signal {
    pub const ALL: [Self; 4] =
        [Self::MemoryAvailable, Self::NodeFsAvailable, Self::NodeFsInodesFree, Self::PidAvailable];

    /// The resource that messages name.
    pub fn resource(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory",
            Self::NodeFsAvailable => "ephemeral-storage",
            Self::NodeFsInodesFree => "inodes",
            Self::PidAvailable => "pids",
        }
    }
}

/// One signal's reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub signal: Signal,
    pub available: u64,
    pub capacity: u64,
}

/// What cannot be read is not told: nobody is evicted for it.
pub(crate) fn read(root: &Path) -> Vec<Reading> {
    Signal::ALL.into_iter().filter_map(|signal| one(signal, root)).filter(|r| r.capacity > 0).collect()
}

fn one(signal: Signal, root: &Path) -> Option<Reading> {
    let (available, capacity) = match signal {
        Signal::MemoryAvailable => memory()?,
        Signal::PidAvailable => pids()?,
        Signal::NodeFsAvailable => {
            let disk = rustix::fs::statvfs(root).ok()?;
            (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
        }
        Signal::NodeFsInodesFree => {
            let disk = rustix::fs::statvfs(root).ok()?;
            (disk.f_ffree, disk.f_files)
        }
    };
    Some(Reading { signal, available, capacity })
}

fn memory() -> Option<(u64, u64)> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    Some((field(&table, "MemAvailable:") * 1024, field(&table, "MemTotal:") * 1024))
}

/// Threads that may still begin; the fourth word of loadavg is `running/all`.
fn pids() -> Option<(u64, u64)> {
    let most: u64 = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()?;
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let all: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some((most.saturating_sub(all), most))
}
