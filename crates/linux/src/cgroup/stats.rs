//! What a cgroup uses.

use std::fs;
use std::path::Path;

use super::Cgroup;

/// Usage; a number that the machine does not give is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub cpu_nanoseconds: Option<u64>,
    pub memory_usage: Option<u64>,
    /// Usage without the page cache that could be dropped at once.
    pub memory_working_set: Option<u64>,
    pub memory_rss: Option<u64>,
    pub memory_limit: Option<u64>,
    pub swap_usage: Option<u64>,
    pub page_faults: Option<u64>,
    pub major_page_faults: Option<u64>,
    pub processes: Option<u64>,
}

/// A limit from here on is none: version 1 has a huge number for "unlimited".
const UNLIMITED: u64 = 1 << 60;

pub(super) fn read(cgroup: &Cgroup) -> Stats {
    match cgroup.v2_dir().filter(|_| cgroup.hierarchies.is_v2()) {
        Some(dir) => read_v2(&dir),
        None => read_v1(cgroup),
    }
}

fn read_v2(dir: &Path) -> Stats {
    let memory = text(dir, "memory.stat");
    let usage = number(dir, "memory.current");
    Stats {
        cpu_nanoseconds: keyed(&text(dir, "cpu.stat"), "usage_usec").map(|n| n * 1000),
        memory_usage: usage,
        memory_working_set: working_set(usage, keyed(&memory, "inactive_file")),
        memory_rss: keyed(&memory, "anon"),
        memory_limit: number(dir, "memory.max"),
        swap_usage: number(dir, "memory.swap.current"),
        page_faults: keyed(&memory, "pgfault"),
        major_page_faults: keyed(&memory, "pgmajfault"),
        processes: number(dir, "pids.current"),
    }
}

fn read_v1(cgroup: &Cgroup) -> Stats {
    let mut stats = Stats::default();
    if let Some(dir) = cgroup.v1_dir("cpuacct") {
        stats.cpu_nanoseconds = number(&dir, "cpuacct.usage");
    }
    if let Some(dir) = cgroup.v1_dir("pids") {
        stats.processes = number(&dir, "pids.current");
    }
    if let Some(dir) = cgroup.v1_dir("memory") {
        let memory = text(&dir, "memory.stat");
        stats.memory_usage = number(&dir, "memory.usage_in_bytes");
        stats.memory_working_set = working_set(stats.memory_usage, keyed(&memory, "total_inactive_file"));
        stats.memory_rss = keyed(&memory, "total_rss");
        stats.memory_limit = number(&dir, "memory.limit_in_bytes").filter(|n| *n < UNLIMITED);
        stats.swap_usage = keyed(&memory, "total_swap");
        stats.page_faults = keyed(&memory, "total_pgfault");
        stats.major_page_faults = keyed(&memory, "total_pgmajfault");
    }
    stats
}

fn working_set(usage: Option<u64>, inactive: Option<u64>) -> Option<u64> {
    Some(usage?.saturating_sub(inactive.unwrap_or(0)))
}

/// A file that is not there says nothing.
fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

/// The number behind `key ` at the start of a line.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
