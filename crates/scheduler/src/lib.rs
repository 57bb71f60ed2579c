//! The scheduler: upstream's scheduling framework over an incremental view of the nodes.
//!
//! An ordinary client of the API server: reads along informers, writes bindings, pod status and events. Never talks
//! to a node, never polls: every retry has an event or a timer of its own behind it.
//!
//! Reading order: [`framework`] (the traits, what flows between them), [`selector`], [`terms`], [`pod_info`],
//! [`node_info`], [`cache`] (what is known of the cluster, with what was assumed), [`queue`] (who waits for what),
//! [`cycle`] (one pod, one decision, no I/O), [`sources`] (what plugins read beside), [`plugins`] (one file each),
//! [`scheduler`] (the loop), [`binding`] (what is written).
//!
//! One task owns cache and queue, so that a decision sees them at rest and no lock is needed; what goes over the
//! network runs beside it and reports back.

mod binding;
pub mod cache;
mod changes;
mod config;
pub mod cycle;
#[cfg(test)]
mod cycle_tests;
#[cfg(test)]
mod equality;
mod fit_error;
pub mod framework;
#[cfg(test)]
mod group_tests;
mod labels;
pub mod node_info;
mod nominator;
pub mod plugins;
pub mod pod_info;
mod queue;
mod resources;
mod scheduler;
#[cfg(test)]
mod scheduler_tests;
mod selector;
mod sources;
mod terms;
#[cfg(test)]
mod testing;

pub use config::{Config, PluginArgs, Profile, ResourceWeight, ScoringStrategy, SpreadDefaults};
pub use fit_error::FitError;
pub use nominator::Nominator;
pub use resources::Resources;
pub use scheduler::{Error, Scheduler};
pub use sources::Sources;
