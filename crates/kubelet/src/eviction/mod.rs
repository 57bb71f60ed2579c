//! Keeps the node alive: when memory, disk or process numbers run out, what can be spared goes.
//!
//! Upstream: pkg/kubelet/eviction. Differs: images and pods lie on one file system here, so there is one disk signal;
//! thresholds are hard ones.
//! Reading order: [`signals`] (what is left), [`thresholds`] (what must be left), [`usage`] (who uses it), [`rank`]
//! (who goes first), [`local`] (limits of a pod's own), [`run`].

mod local;
mod rank;
mod run;
pub(crate) mod signals;
pub(crate) mod thresholds;
mod usage;

pub(crate) use run::run;

/// Whether the node is short of something. Shared with its status and with admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pid: bool,
}

impl Pressure {
    /// The conditions that are true, as upstream names them.
    pub fn names(self) -> Vec<&'static str> {
        let all = [("MemoryPressure", self.memory), ("DiskPressure", self.disk), ("PIDPressure", self.pid)];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
    }
}
