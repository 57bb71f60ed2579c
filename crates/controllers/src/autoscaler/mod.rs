//! Sizes what each HorizontalPodAutoscaler points at by its metrics.
//!
//! Upstream: pkg/controller/podautoscaler. [`metrics`] reads, [`replicas`] is the arithmetic of one metric, [`limits`]
//! what slows a change down, [`reconciler`] ties them together. Metrics do not tell of their changes: they are read
//! every 15 s, as upstream does.

mod conditions;
mod evaluate;
mod limits;
mod metrics;
mod reconciler;
mod replicas;

pub(crate) use reconciler::start;
