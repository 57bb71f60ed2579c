//! Version 2: one hierarchy; parents hand controllers down.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::v1::limit;
use super::{Error, Resources, write};

pub(super) fn create(root: &Path, path: &str, controllers: bool) -> Result<(), Error> {
    let mut dir = root.to_owned();
    for part in path.split('/') {
        if controllers {
            hand_down(&dir);
        }
        dir.push(part);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::at("create", &dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// One by one: a controller that cannot be handed down must not keep the others.
fn hand_down(dir: &Path) {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        if let Err(error) = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")) {
            tracing::debug!(?dir, controller, %error, "controller not handed down");
        }
    }
}

pub(super) fn apply(dir: &Path, resources: &Resources) -> Result<(), Error> {
    let set = |file: &str, value: Option<String>| match value {
        Some(value) => write(&dir.join(file), &value),
        None => Ok(()),
    };
    set("cpu.weight", resources.cpu_shares.map(|n| weight(n).to_string()))?;
    set("cpu.max", cpu_max(resources))?;
    set("cpuset.cpus", (!resources.cpuset_cpus.is_empty()).then(|| resources.cpuset_cpus.clone()))?;
    set("cpuset.mems", (!resources.cpuset_mems.is_empty()).then(|| resources.cpuset_mems.clone()))?;
    set("memory.max", resources.memory_limit.map(limit))?;
    set("memory.swap.max", swap(resources).filter(|_| dir.join("memory.swap.max").exists()))?;
    set("pids.max", resources.pids_limit.map(limit))?;
    for (size, bytes) in &resources.hugepages {
        set(&format!("hugetlb.{size}.max"), Some(bytes.to_string()))?;
    }
    for (file, value) in &resources.unified {
        write(&dir.join(file.replace('/', "")), value)?;
    }
    Ok(())
}

/// Shares 2..=262144 onto weights 1..=10000.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn cpu_max(resources: &Resources) -> Option<String> {
    let quota = resources.cpu_quota?;
    Some(format!("{} {}", limit(quota), resources.cpu_period.unwrap_or(100_000)))
}

/// Version 2 counts swap alone.
fn swap(resources: &Resources) -> Option<String> {
    match (resources.memory_swap_limit?, resources.memory_limit?) {
        (-1, _) => Some("max".to_owned()),
        (sum, memory) => Some((sum - memory).max(0).to_string()),
    }
}

/// How often the waiting is taken up again: each change of the file ends one wait, whatever it was.
const WAITS: u32 = 8;

/// The kernel wakes pollers of cgroup.events when the last process leaves.
pub(super) fn wait_unpopulated(events: &Path, timeout: Duration) -> bool {
    let Ok(file) = File::open(events) else { return true };
    let timeout = PollTimeout::try_from(timeout / WAITS).unwrap_or(PollTimeout::MAX);
    for _ in 0..WAITS {
        if is_unpopulated(&file) {
            return true;
        }
        // An interrupted wait counts as one that ended: the state is read again either way.
        let _ = poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], timeout);
    }
    is_unpopulated(&file)
}

/// Read through the polled descriptor itself: what was read last is what the kernel compares with.
fn is_unpopulated(file: &File) -> bool {
    let mut text = [0u8; 128];
    match file.read_at(&mut text, 0) {
        Ok(count) => text[..count].windows(11).any(|part| part == b"populated 0"),
        // The cgroup is gone.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quotas_are_translated() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
        let resources = Resources { cpu_quota: Some(50_000), ..Resources::default() };
        assert_eq!(cpu_max(&resources).as_deref(), Some("50000 100000"));
    }
}
