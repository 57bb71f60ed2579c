//! The sandboxes and containers of one pod, as the runtime has them. Plain data.

use jiff::Timestamp;

/// What the runtime holds of one pod, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodRuntime {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<ContainerRecord>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sandbox {
    pub id: String,
    pub ready: bool,
    pub attempt: u32,
    pub created: i64,
    pub addresses: Vec<String>,
}

/// Whether a container's process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Run {
    Created,
    Running,
    Exited,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerRecord {
    pub id: String,
    pub name: String,
    pub sandbox: String,
    pub run: Run,
    pub created: i64,
    pub started: i64,
    pub finished: i64,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    /// As the spec wrote it.
    pub image: String,
    /// What the runtime resolved it to.
    pub image_ref: String,
    pub hash: String,
    pub restart_count: i32,
    pub log_path: String,
    pub user: Option<LinuxUser>,
    pub termination_message: Option<TerminationFile>,
    pub mounts: Vec<(String, bool)>,
    /// As the runtime applied them; `None` if it does not tell.
    pub resources: Option<cri::v1::LinuxContainerResources>,
}

/// Whom a container's first process runs as.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LinuxUser {
    pub uid: i64,
    pub gid: i64,
    pub groups: Vec<i64>,
}

/// Where a container leaves its last words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TerminationFile {
    pub host_path: String,
    pub fall_back_to_logs: bool,
}

impl PodRuntime {
    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest container of that name, whatever its sandbox.
    pub fn latest(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// All containers of that name, newest first.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ContainerRecord> {
        self.containers.iter().filter(move |c| c.name == name)
    }

    /// The newest container of that name in the newest sandbox.
    pub fn current(&self, name: &str) -> Option<&ContainerRecord> {
        let sandbox = &self.sandbox()?.id;
        self.containers.iter().find(|c| c.name == name && c.sandbox == *sandbox)
    }

    pub fn running(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.containers.iter().filter(|c| c.run == Run::Running)
    }

    pub fn is_running(&self) -> bool {
        self.running().next().is_some() || self.sandboxes.iter().any(|s| s.ready)
    }

    /// Puts the newest first, the order that everything else relies on.
    pub fn sort(&mut self) {
        self.sandboxes.sort_by_key(|s| std::cmp::Reverse((s.created, s.attempt)));
        self.containers.sort_by_key(|c| std::cmp::Reverse((c.created, c.restart_count)));
    }
}

/// Nanoseconds of the CRI as a time; zero is "never".
pub(crate) fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds == 0 {
        return None;
    }
    // Out of the range of years 0 to 9999 only by a broken runtime; then the field is left out.
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()
}
