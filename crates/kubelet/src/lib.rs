//! The kubelet: makes the pods of one node run, and tells the API server how they are.
//!
//! Never relists on a timer, never speaks to a container but through the CRI, never decides where a pod runs.
//! Reading order: [`config`], [`context`], [`pods`], [`runtime`], [`pod`], [`volumes`], [`env`], [`images`], [`probes`], [`eviction`],
//! [`status_manager`], [`pod_manager`], [`static_pods`], [`node`], [`logs`], [`server`].

mod admission;
mod config;
mod context;
mod dns;
mod env;
mod eviction;
mod images;
mod kubelet;
mod local_path;
mod logs;
mod node;
mod objects;
mod orphans;
mod pod;
mod pod_manager;
mod pods;
mod probes;
mod quantity;
mod runtime;
mod server;
mod static_pods;
mod status_manager;
#[cfg(test)]
mod testing;
mod tokens;
mod volumes;
mod watch;

pub use config::{Config, Reserved, Tls};
pub use eviction::thresholds::{Least, Thresholds};
pub use kubelet::{Error, Kubelet};
