//! Makes a Job of each CronJob when its schedule says so.
//!
//! Upstream: pkg/controller/cronjob/cronjob_controllerv2.go. [`schedule`] reads expressions, [`due`] says which
//! moment is to be met, [`history`] what becomes of the jobs that there are.

mod due;
mod history;
mod reconciler;
mod schedule;

pub(crate) use reconciler::start;
