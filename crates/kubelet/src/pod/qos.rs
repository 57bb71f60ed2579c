//! The quality-of-service class of a pod.
//!
//! Upstream: pkg/apis/core/v1/helper/qos.

use std::fmt;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pods;
use crate::quantity::milli;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(crate) fn qos(pod: &Pod) -> Qos {
    let containers = || pods::containers(pod).iter().chain(pods::init_containers(pod));
    if !containers().any(asks_for_something) {
        Qos::BestEffort
    } else if containers().all(is_guaranteed) {
        Qos::Guaranteed
    } else {
        Qos::Burstable
    }
}

fn asks_for_something(container: &Container) -> bool {
    ["cpu", "memory"].iter().any(|r| request(container, r) > 0 || limit(container, r) > 0)
}

fn is_guaranteed(container: &Container) -> bool {
    ["cpu", "memory"].iter().all(|r| {
        let limit = limit(container, r);
        limit > 0 && [0, limit].contains(&request(container, r))
    })
}

/// Thousandths of what is requested; 0 if nothing.
pub(crate) fn request(container: &Container, resource: &str) -> i128 {
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    requests.and_then(|r| r.get(resource)).map_or(0, milli)
}

/// Thousandths of the limit; 0 if none.
pub(crate) fn limit(container: &Container, resource: &str) -> i128 {
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    limits.and_then(|l| l.get(resource)).map_or(0, milli)
}
