//! What the machine has.

use std::fs;
use std::path::Path;

use crate::config::Config;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Capacity {
    pub cpus: u64,
    pub memory_bytes: u64,
    pub storage_bytes: u64,
    pub storage_inodes: u64,
    /// Bytes of huge pages by their size (`2Mi`).
    pub huge_pages: Vec<(String, u64)>,
}

impl Capacity {
    /// Measured once: machines do not grow while they run.
    pub fn measure(root: &Path) -> Self {
        let disk = rustix::fs::statvfs(root);
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_bytes: memory_bytes(),
            storage_bytes: disk.as_ref().map_or(0, |d| d.f_blocks * d.f_frsize),
            storage_inodes: disk.map_or(0, |d| d.f_files),
            huge_pages: huge_pages(Path::new("/sys/kernel/mm/hugepages")),
        }
    }

    pub fn allocatable_cpu_milli(&self, config: &Config) -> u64 {
        (self.cpus * 1000).saturating_sub(config.reserved.cpu_millis)
    }

    /// What is left after reservations and upstream's eviction threshold of 100 Mi.
    pub fn allocatable_memory(&self, config: &Config) -> u64 {
        self.memory_bytes.saturating_sub(config.reserved.memory_bytes).saturating_sub(100 << 20)
    }
}

/// Zero where the kernel does not tell: then nothing is promised.
fn memory_bytes() -> u64 {
    field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:") * 1024
}

/// The number behind `name` in a table like /proc/meminfo.
pub(crate) fn field(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Folders named `hugepages-2048kB`.
fn huge_pages(folder: &Path) -> Vec<(String, u64)> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kilobytes =
            name.strip_prefix("hugepages-").and_then(|n| n.strip_suffix("kB")?.parse::<u64>().ok());
        let Some(kilobytes) = kilobytes else { continue };
        let count = fs::read_to_string(entry.path().join("nr_hugepages")).unwrap_or_default();
        let count: u64 = count.trim().parse().unwrap_or(0);
        let size = match kilobytes {
            k if k % (1 << 20) == 0 => format!("{}Gi", k >> 20),
            k if k % (1 << 10) == 0 => format!("{}Mi", k >> 10),
            k => format!("{k}Ki"),
        };
        sizes.push((size, count * kilobytes * 1024));
    }
    sizes.sort();
    sizes
}
