//! What server and shim say to each other: one JSON document per frame, descriptors beside it.
//!
//! A connection carries one request. `Watch`, `Exec` and `Attach` keep it open for what follows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A sandbox: what its namespaces and its pause process are made from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SandboxSpec {
    pub id: String,
    pub hostname: String,
    pub host_network: bool,
    pub host_ipc: bool,
    /// The pause process gets a PID namespace that containers may share.
    pub pod_pid: bool,
    pub sysctls: BTreeMap<String, String>,
    /// The pause process's cgroup.
    pub cgroup: String,
}

/// A container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub id: String,
    pub cgroup: String,
    pub rootfs: PathBuf,
    pub readonly_rootfs: bool,
    pub privileged: bool,
    pub pid: PidMode,
    pub mounts: Vec<BindMount>,
    pub devices: Vec<Device>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub resources: Resources,
    pub process: Process,
    pub stdin: bool,
    pub stdin_once: bool,
    pub log: Option<PathBuf>,
    /// Where the end of the container is written down.
    pub exit_file: PathBuf,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    #[default]
    Own,
    Pod,
    Host,
    /// That of another container of the pod.
    Container(String),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BindMount {
    pub source: PathBuf,
    /// Absolute, inside the container.
    pub target: PathBuf,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: Propagation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    /// Of r, w, m.
    pub permissions: String,
}

/// Limits as they travel; see [`linux::cgroup::Resources`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    pub cpu_shares: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub memory_limit: Option<i64>,
    pub memory_swap_limit: Option<i64>,
    pub unified: BTreeMap<String, String>,
    pub hugepages: Vec<(String, u64)>,
    pub oom_score_adj: i64,
}

impl From<&Resources> for linux::cgroup::Resources {
    fn from(from: &Resources) -> Self {
        let from = from.clone();
        Self {
            cpu_shares: from.cpu_shares,
            cpu_quota: from.cpu_quota,
            cpu_period: from.cpu_period,
            cpuset_cpus: from.cpuset_cpus,
            cpuset_mems: from.cpuset_mems,
            memory_limit: from.memory_limit,
            memory_swap_limit: from.memory_swap_limit,
            pids_limit: None,
            unified: from.unified,
            hugepages: from.hugepages,
        }
    }
}

/// A program and the rights that it runs with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    pub args: Vec<String>,
    /// `KEY=value`.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: UserSpec,
    pub tty: bool,
    pub capabilities: Vec<String>,
    pub ambient: Vec<String>,
    pub no_new_privs: bool,
    /// Under the default system call filter.
    pub seccomp: bool,
    pub oom_score_adj: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UserSpec {
    /// `user` or `user:group`, by name or number; empty for root.
    pub user: String,
    pub gid: Option<u32>,
    pub supplemental: Vec<u32>,
    /// Leave out the groups that the image's /etc/group gives.
    pub strict: bool,
}

/// The ids that a process was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Answers [`Reply::Snapshot`], then a [`Reply::Event`] for each container or sandbox that ends.
    Watch,
    Start(Box<ContainerSpec>),
    /// To the container's first process.
    Signal {
        id: String,
        signal: i32,
    },
    /// Kills every process of a container.
    Kill {
        id: String,
    },
    /// Descriptors: stdin, stdout, stderr (with a terminal none, and the answer carries it). Answers
    /// [`Reply::Started`] and in the end [`Reply::Exited`]. Closing the connection kills the process.
    Exec {
        id: String,
        process: Box<Process>,
    },
    /// Descriptors in the order of the flags that are set.
    Attach {
        id: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    Resize {
        id: String,
        rows: u16,
        columns: u16,
    },
    ReopenLog {
        id: String,
    },
    /// Answers with a socket made in the pod's network namespace.
    Socket {
        ipv6: bool,
    },
    /// Forgets a container that has ended.
    Forget {
        id: String,
    },
    /// Kills everything and ends the shim; answered once all is dead.
    Shutdown,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Failed { message: String },
    Started { pid: i32, user: User },
    Exited { code: i32 },
    Snapshot { pause: Option<i32>, containers: BTreeMap<String, ContainerState> },
    Event(Event),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ContainerState {
    Running { pid: i32, started_at: i64, user: User },
    Exited(Exit),
}

/// How a container ended. Also the content of its exit file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + signal for a process that was killed.
    pub code: i32,
    pub oom_killed: bool,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    pub finished_at: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    ContainerExited { id: String, exit: Exit },
    SandboxExited,
}

/// The line that a shim prints once it can be spoken to.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ready {
    Pause { pid: i32 },
    Failed { message: String },
}
