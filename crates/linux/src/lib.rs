//! Linux through safe wrappers: processes, mounts, cgroups, capabilities, seccomp, network, descriptors over sockets.
//!
//! The only home of `unsafe`. Decides nothing, knows nothing of Kubernetes or containers, never sleeps.
//! Reading order: [`process`], [`mount`], [`cgroup`], [`caps`], [`seccomp`], [`frames`], [`net`].

pub mod caps;
pub mod cgroup;
pub mod frames;
pub mod mount;
pub mod net;
pub mod process;
pub mod seccomp;
