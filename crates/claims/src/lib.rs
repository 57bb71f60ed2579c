//! Which volume a claim may have: the rules that the scheduler, the volume controllers and the kubelet share.
//!
//! Upstream: component-helpers/storage/volume. Pure: no I/O, no clock, keeps nothing.
//!
//! Reading order: [`annotations`], [`class`], [`affinity`], [`matching`], [`local_path`].

mod affinity;
pub mod annotations;
mod class;
mod ephemeral;
pub mod local_path;
mod matching;

pub use affinity::{NodeLabels, admits, selects};
pub use class::{default_class, is_delayed, of_claim, of_volume};
pub use ephemeral::{claim_name, claim_names, is_owned_by};
pub use matching::{Ground, best, bound_to, capacity, is_bound_to, misfit, requested};
