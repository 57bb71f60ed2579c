//! Control groups of both versions, alone or side by side.
//!
//! A [`Cgroup`] is one path that is made in every mounted hierarchy. What a version lacks is left out, never
//! an error: a limit that cannot be set is.

mod devices;
mod stats;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use stats::Stats;

/// The hierarchies of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Controllers of version 1 with their mount points.
    v1: BTreeMap<String, PathBuf>,
    /// The unified hierarchy, alone or (hybrid) beside version 1.
    v2: Option<PathBuf>,
}

/// Version 1 controllers that containers are put into.
const USED: [&str; 8] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids", "blkio"];

/// Limits; `None` and empty leave the present value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_shares: Option<u64>,
    /// Microseconds per period; -1 for no limit.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    /// Bytes; -1 for no limit.
    pub memory_limit: Option<i64>,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap_limit: Option<i64>,
    pub pids_limit: Option<i64>,
    /// Files of version 2 by name.
    pub unified: BTreeMap<String, String>,
    /// Page size (`2MB`) and bytes.
    pub hugepages: Vec<(String, u64)>,
}

/// What was done to a cgroup, and what the kernel said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path:?}")]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

impl Hierarchies {
    /// Reads the mount table.
    pub fn discover() -> Result<Self, Error> {
        let table = Path::new("/proc/self/mountinfo");
        Ok(Self::from_table(&fs::read_to_string(table).map_err(Error::at("read", table))?))
    }

    fn from_table(table: &str) -> Self {
        let mut found = Self::default();
        for line in table.lines() {
            let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut fields = filesystem.split(' ');
            match (fields.next(), fields.nth(1)) {
                (Some("cgroup2"), _) => found.v2 = found.v2.or(Some(point)),
                (Some("cgroup"), Some(options)) => {
                    for controller in options.split(',').filter(|option| USED.contains(option)) {
                        found.v1.entry(controller.to_owned()).or_insert_with(|| point.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether version 2 carries the controllers.
    pub fn is_v2(&self) -> bool {
        self.v1.is_empty()
    }

    /// Version 1 controllers with their mount points; empty on a version 2 machine.
    pub fn v1(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.v1.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }

    pub fn v2(&self) -> Option<&Path> {
        self.v2.as_deref()
    }

    /// Distinct mount points, each once.
    fn roots(&self) -> Vec<&Path> {
        let mut roots: Vec<_> = self.v1.values().map(PathBuf::as_path).chain(self.v2.as_deref()).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// One path in every hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup {
    hierarchies: Arc<Hierarchies>,
    path: String,
}

impl Cgroup {
    /// `path` as in /proc/self/cgroup: absolute from the hierarchy's root.
    pub fn new(hierarchies: Arc<Hierarchies>, path: &str) -> Self {
        Self { hierarchies, path: path.trim_matches('/').to_owned() }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn child(&self, name: &str) -> Self {
        Self { hierarchies: self.hierarchies.clone(), path: format!("{}/{name}", self.path) }
    }

    fn dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies.roots().into_iter().map(|root| root.join(&self.path))
    }

    fn v1_dir(&self, controller: &str) -> Option<PathBuf> {
        self.hierarchies.v1.get(controller).map(|root| root.join(&self.path))
    }

    fn v2_dir(&self) -> Option<PathBuf> {
        self.hierarchies.v2.as_ref().map(|root| root.join(&self.path))
    }

    pub fn exists(&self) -> bool {
        self.dirs().any(|dir| dir.exists())
    }

    /// Makes the cgroup and its parents; existing ones are fine.
    pub fn create(&self) -> Result<(), Error> {
        if let Some(root) = &self.hierarchies.v2 {
            v2::create(root, &self.path, self.hierarchies.is_v2())?;
        }
        for (controller, root) in &self.hierarchies.v1 {
            let dir = root.join(&self.path);
            fs::create_dir_all(&dir).map_err(Error::at("create", &dir))?;
            if controller == "cpuset" {
                v1::inherit_cpuset(root, &self.path)?;
            }
        }
        Ok(())
    }

    /// Files to write a `0` into, each moving the writer into this cgroup.
    pub fn doors(&self) -> Result<Vec<File>, Error> {
        let open = |dir: PathBuf| {
            let file = dir.join("cgroup.procs");
            File::options().write(true).open(&file).map_err(Error::at("open", &file))
        };
        self.dirs().map(open).collect()
    }

    /// Sets limits.
    pub fn apply(&self, resources: &Resources) -> Result<(), Error> {
        if self.hierarchies.is_v2() {
            if let Some(dir) = self.v2_dir() {
                v2::apply(&dir, resources)?;
            }
            return Ok(());
        }
        v1::apply(self, resources)
    }

    /// Allows the usual devices and `extra` (version 1 lines as `c 1:3 rwm`) and no other.
    pub fn restrict_devices(&self, extra: &[String]) -> Result<(), Error> {
        let rules = v1::DEVICES.into_iter().chain(extra.iter().map(String::as_str));
        match (self.v1_dir("devices"), self.v2_dir()) {
            (Some(dir), _) => v1::restrict_devices(&dir, rules),
            (None, Some(dir)) => {
                devices::restrict(&dir, rules).map_err(Error::at("restrict devices of", &dir))
            }
            (None, None) => Ok(()),
        }
    }

    /// Processes in this cgroup and those below it.
    pub fn processes(&self) -> Vec<i32> {
        let Some(dir) = self.dirs().find(|dir| dir.exists()) else { return Vec::new() };
        let mut found = Vec::new();
        for dir in tree(&dir) {
            // A cgroup that goes away while we look has no processes.
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        found
    }

    /// Kills everything in it, at once where the kernel can.
    pub fn kill(&self) -> Result<(), Error> {
        if let Some(file) = self.v2_dir().map(|dir| dir.join("cgroup.kill"))
            && file.exists()
        {
            return write(&file, "1");
        }
        for pid in self.processes() {
            // A process that is gone already needs no signal.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        Ok(())
    }

    /// Waits until no process is left, at most `timeout`; false when some are.
    pub fn wait_empty(&self, timeout: Duration) -> bool {
        match self.v2_dir().map(|dir| dir.join("cgroup.events")) {
            Some(events) if events.exists() => v2::wait_unpopulated(&events, timeout),
            _ => self.processes().is_empty(),
        }
    }

    /// How often the kernel killed a process of this cgroup for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let file = match self.v1_dir("memory") {
            Some(dir) => dir.join("memory.oom_control"),
            None => match self.v2_dir() {
                Some(dir) => dir.join("memory.events"),
                None => return 0,
            },
        };
        // Without the file there is no count, hence no kill that we know of.
        let text = fs::read_to_string(file).unwrap_or_default();
        stats::keyed(&text, "oom_kill").unwrap_or(0)
    }

    pub fn stats(&self) -> Stats {
        stats::read(self)
    }

    /// Removes it with those below it; one that is not there is removed already.
    pub fn remove(&self) -> Result<(), Error> {
        for dir in self.dirs() {
            for dir in tree(&dir).into_iter().rev() {
                match fs::remove_dir(&dir) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::at("remove", &dir)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `dir` and all folders below it, parents first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while next < found.len() {
        // A folder that vanished has nothing below it.
        if let Ok(entries) = fs::read_dir(&found[next]) {
            found.extend(
                entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()),
            );
        }
        next += 1;
    }
    found
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(Error::at("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_tables_are_read() {
        let table = "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                     31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                     32 24 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let found = Hierarchies::from_table(table);
        assert!(!found.is_v2());
        assert_eq!(found.v1().map(|(name, _)| name).collect::<Vec<_>>(), ["cpu", "cpuacct"]);
        assert_eq!(found.roots().len(), 2);
    }
}
