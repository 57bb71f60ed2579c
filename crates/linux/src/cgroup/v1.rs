//! Version 1: a hierarchy per controller.

use std::fs;
use std::path::Path;

use super::{Cgroup, Error, Resources, write};

/// Devices that every container has: null, zero, full, random, urandom, tty, console, ptmx, pts; and the right to
/// make (not open) any node.
pub(super) const DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// A new cpuset is empty and takes no process: each level copies its parent.
pub(super) fn inherit_cpuset(root: &Path, path: &str) -> Result<(), Error> {
    let mut dir = root.to_owned();
    for part in path.split('/') {
        let parent = dir.clone();
        dir.push(part);
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let file = dir.join(name);
            if fs::read_to_string(&file).map_err(Error::at("read", &file))?.trim().is_empty() {
                let from = parent.join(name);
                write(&file, fs::read_to_string(&from).map_err(Error::at("read", &from))?.trim())?;
            }
        }
    }
    Ok(())
}

pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), Error> {
    let set = |controller: &str, file: &str, value: Option<String>| match (cgroup.v1_dir(controller), value) {
        (Some(dir), Some(value)) => write(&dir.join(file), &value),
        _ => Ok(()),
    };
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    set("cpu", "cpu.shares", resources.cpu_shares.map(|n| n.to_string()))?;
    set("cpu", "cpu.cfs_period_us", resources.cpu_period.map(|n| n.to_string()))?;
    set("cpu", "cpu.cfs_quota_us", resources.cpu_quota.map(|n| n.to_string()))?;
    set("cpuset", "cpuset.cpus", given(&resources.cpuset_cpus))?;
    set("cpuset", "cpuset.mems", given(&resources.cpuset_mems))?;
    set("pids", "pids.max", resources.pids_limit.map(limit))?;
    apply_memory(cgroup, resources)
}

/// The kernel insists on limit <= memory+swap at every step: grow the sum first, shrink it last.
fn apply_memory(cgroup: &Cgroup, resources: &Resources) -> Result<(), Error> {
    let (Some(dir), Some(memory)) = (cgroup.v1_dir("memory"), resources.memory_limit) else { return Ok(()) };
    let limit = dir.join("memory.limit_in_bytes");
    let sum = dir.join("memory.memsw.limit_in_bytes");
    let Some(swap) = resources.memory_swap_limit.filter(|_| sum.exists()) else {
        return write(&limit, &memory.to_string());
    };
    if write(&limit, &memory.to_string()).is_ok() {
        return write(&sum, &swap.to_string());
    }
    write(&sum, &swap.to_string())?;
    write(&limit, &memory.to_string())
}

pub(super) fn restrict_devices<'a>(dir: &Path, rules: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    write(&dir.join("devices.deny"), "a")?;
    let allow = dir.join("devices.allow");
    rules.into_iter().try_for_each(|rule| write(&allow, rule))
}

pub(super) fn limit(n: i64) -> String {
    if n < 0 { "max".to_owned() } else { n.to_string() }
}
