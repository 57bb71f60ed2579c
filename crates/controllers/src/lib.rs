//! The controllers: each brings one kind of object to what its spec asks for.
//!
//! Ordinary clients of the API server. Never polls, never reads the store, never talks to a node. Every controller
//! is a module with a pure `plan` and a `carry_out` that is safe to repeat.
//!
//! Reading order: [`manager`], then the pieces that all share ([`context`], [`selector`], [`pods`], [`owners`],
//! [`slow_start`]), then one module per controller.

mod autoscaler;
mod bootstrap_signer;
mod certificates;
mod cluster_roles;
mod context;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod freshness;
mod garbage_collector;
mod history;
mod job;
mod manager;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod owners;
mod percent;
mod pod_control;
mod pod_gc;
mod pods;
mod replicaset;
mod replicated;
mod resource_quota;
mod root_ca;
mod selector;
mod service_account;
mod service_cidrs;
mod service_pods;
mod slow_start;
mod statefulset;
mod taint_eviction;
mod token_cleaner;
mod ttl_after_finished;
mod volumes;

pub use context::ClientFor;
pub use manager::{Config, Manager};
pub use node_ipam::{ClusterRanges, RangeError};
