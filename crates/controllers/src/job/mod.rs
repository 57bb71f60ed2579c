//! Runs the pods of each Job until enough of them have succeeded, or too many failed.
//!
//! Every pod carries a finalizer until its end is counted in the Job's status, so that none is lost or counted twice,
//! whatever restarts. Upstream: pkg/controller/job. Differs: what happens is planned first (see [`assess`] and
//! [`plan`]); changes of pods are looked at when they happen, not once a second.

mod assess;
mod backoff;
mod intervals;
mod orphans;
mod plan;
mod pod;
mod policy;
mod reconciler;
mod template;
mod track;

pub(crate) use assess::is_finished;
pub(crate) use reconciler::start;
