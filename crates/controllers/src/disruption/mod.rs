//! Tells of each PodDisruptionBudget how many of its pods may go, and takes back disruptions that did not happen.
//!
//! Upstream: pkg/controller/disruption. [`count`] is the arithmetic, [`scale`] asks the pods' controllers how many
//! there should be, [`stale`] looks after pods that were to go and are still there.

mod count;
mod reconciler;
mod scale;
mod stale;

pub(crate) use reconciler::start;
