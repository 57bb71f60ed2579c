//! LimitRanger: a namespace's LimitRanges fill in what containers do not ask for, and bound what they do.
//!
//! Upstream: plugin/pkg/admission/limitranger.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Quantity;
use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::pod::containers_mut;
use super::{Admission, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) struct LimitRanger {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if !request.creates("", "pods") {
            return Ok(());
        }
        let ranges = self.ranges(request).await;
        if let Some(pod) = &mut request.object {
            for limits in &ranges {
                fill_in(pod, limits);
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        let (pod, claim) = (request.creates("", "pods"), request.creates("", "persistentvolumeclaims"));
        let (true, Some(object)) = (pod || claim, &request.object) else { return Ok(()) };
        let mut errors = Vec::new();
        for range in self.ranges(request).await {
            for limit in fields::list(&range, "/spec/limits") {
                errors.extend(if pod { pod_errors(limit, object) } else { claim_errors(limit, object) });
            }
        }
        match errors.as_slice() {
            [] => Ok(()),
            [one] => Err(request.forbidden(one)),
            several => Err(request.forbidden(format!("[{}]", several.join(", ")))),
        }
    }
}

impl LimitRanger {
    async fn ranges(&self, request: &Request) -> Vec<Arc<Value>> {
        self.objects.list("", "limitranges", &request.namespace).await
    }
}

/// Gives each container the defaults of the range's `Container` items, and notes it in an annotation.
fn fill_in(pod: &mut Value, range: &Value) {
    let of_containers =
        fields::list(range, "/spec/limits").iter().filter(|limit| limit["type"] == "Container");
    let (mut limits, mut requests) = (Map::new(), Map::new());
    for limit in of_containers {
        limits.extend(limit["default"].as_object().cloned().unwrap_or_default());
        requests.extend(limit["defaultRequest"].as_object().cloned().unwrap_or_default());
    }
    let mut notes = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        for container in containers_mut(&mut pod["spec"], &[list]) {
            let name = fields::text(container, "/name").to_owned();
            for (part, defaults, verb) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                let added = merge(container, part, defaults);
                if !added.is_empty() {
                    notes.push(format!("{} {verb} for {what} {name}", added.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        pod["metadata"]["annotations"][ANNOTATION] =
            json!(format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// Sets what is not set; answers the names, sorted.
fn merge(container: &mut Value, part: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let absent = |name: &&String| container["resources"][part].get(name.as_str()).is_none();
    let added: Vec<String> = defaults.keys().filter(absent).cloned().collect();
    for name in &added {
        container["resources"][part][name] = defaults[name].clone();
    }
    added
}

type Amounts = BTreeMap<String, Quantity>;

/// The amounts at `pointer`. What is no quantity has been refused by validation before.
fn amounts(object: &Value, pointer: &str) -> Amounts {
    let all = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.parse().ok()?))).collect()
}

fn pod_errors(limit: &Value, pod: &Value) -> Vec<String> {
    let containers =
        || ["/spec/containers", "/spec/initContainers"].into_iter().flat_map(|at| fields::list(pod, at));
    match fields::text(limit, "/type") {
        "Container" => containers()
            .flat_map(|container| {
                let requests = amounts(container, "/resources/requests");
                check(limit, "Container", &requests, &amounts(container, "/resources/limits"))
            })
            .collect(),
        "Pod" => check(limit, "Pod", &total(pod, "/resources/requests"), &total(pod, "/resources/limits")),
        _ => Vec::new(),
    }
}

fn claim_errors(limit: &Value, claim: &Value) -> Vec<String> {
    if fields::text(limit, "/type") != "PersistentVolumeClaim" {
        return Vec::new();
    }
    let requests = amounts(claim, "/spec/resources/requests");
    let (mut errors, none) = (Vec::new(), Amounts::new());
    let kind = "PersistentVolumeClaim";
    errors.extend(
        amounts(limit, "/min").iter().filter_map(|(name, min)| below(name, kind, *min, &requests, &none)),
    );
    // Claims have no limits of their own: the request counts.
    errors.extend(
        amounts(limit, "/max").iter().filter_map(|(name, max)| above(name, kind, *max, &requests, &requests)),
    );
    errors
}

/// Containers run together, init containers one after the other: the sum, or the largest of the latter.
fn total(pod: &Value, pointer: &str) -> Amounts {
    let mut sum = Amounts::new();
    for container in fields::list(pod, "/spec/containers") {
        for (name, amount) in amounts(container, pointer) {
            let entry = sum.entry(name).or_insert(Quantity::ZERO);
            *entry = *entry + amount;
        }
    }
    for container in fields::list(pod, "/spec/initContainers") {
        for (name, amount) in amounts(container, pointer) {
            let entry = sum.entry(name).or_insert(Quantity::ZERO);
            *entry = (*entry).max(amount);
        }
    }
    sum
}

fn check(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut errors = Vec::new();
    errors.extend(
        amounts(limit, "/min").iter().filter_map(|(name, min)| below(name, kind, *min, requests, limits)),
    );
    errors.extend(
        amounts(limit, "/max").iter().filter_map(|(name, max)| above(name, kind, *max, requests, limits)),
    );
    let ratios = amounts(limit, "/maxLimitRequestRatio");
    errors.extend(ratios.iter().filter_map(|(name, ratio)| steep(name, kind, *ratio, requests, limits)));
    errors
}

fn below(name: &str, kind: &str, min: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let start = format!("minimum {name} usage per {kind} is {min}");
    match (requests.get(name), limits.get(name)) {
        (None, _) => Some(format!("{start}.  No request is specified")),
        (Some(request), _) if *request < min => Some(format!("{start}, but request is {request}")),
        (_, Some(limit)) if *limit < min => Some(format!("{start}, but limit is {limit}")),
        _ => None,
    }
}

fn above(name: &str, kind: &str, max: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let start = format!("maximum {name} usage per {kind} is {max}");
    match (limits.get(name), requests.get(name)) {
        (None, _) => Some(format!("{start}.  No limit is specified")),
        (Some(limit), _) if *limit > max => Some(format!("{start}, but limit is {limit}")),
        (_, Some(request)) if *request > max => Some(format!("{start}, but request is {request}")),
        _ => None,
    }
}

fn steep(name: &str, kind: &str, ratio: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {ratio}");
    let given = |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
    let Some(request) = given(requests) else {
        return Some(format!("{start}, but no request is specified or request is 0"));
    };
    let Some(limit) = given(limits) else {
        return Some(format!("{start}, but no limit is specified or limit is 0"));
    };
    let provided = limit.milli_value() as f64 / request.milli_value() as f64;
    let allowed = ratio.milli_value() as f64 / 1000.0;
    (provided > allowed).then(|| format!("{start}, but provided ratio is {provided:.6}"))
}
