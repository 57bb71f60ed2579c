//! Amounts of cpu, memory and the rest, and what a pod asks for.
//!
//! Upstream: component-helpers/resource, `PodRequests`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a container without a cpu request counts for when nodes are ranked, in thousandths.
const DEFAULT_MILLI_CPU: i64 = 100;
/// The same for memory, in bytes.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts: cpu in thousandths, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended resources, huge pages, attachable volumes.
    pub scalar: BTreeMap<String, i64>,
}

type List = BTreeMap<String, Quantity>;

impl Resources {
    /// What is no quantity counts as nothing: the server lets none through.
    pub fn parse(list: &List) -> Self {
        let mut found = Self::default();
        for (name, quantity) in list {
            let amount: api::Quantity = quantity.0.parse().unwrap_or(api::Quantity::ZERO);
            match name.as_str() {
                "cpu" => found.milli_cpu = amount.milli_value(),
                "pods" => {}
                other => *found.slot(other) = amount.value(),
            }
        }
        found
    }

    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            other => self.scalar.get(other).copied().unwrap_or(0),
        }
    }

    fn slot(&mut self, name: &str) -> &mut i64 {
        match name {
            "cpu" => &mut self.milli_cpu,
            "memory" => &mut self.memory,
            "ephemeral-storage" => &mut self.ephemeral_storage,
            other => self.scalar.entry(other.to_owned()).or_default(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a - b);
    }

    /// The larger of each.
    pub fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, of: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = of(self.milli_cpu, other.milli_cpu);
        self.memory = of(self.memory, other.memory);
        self.ephemeral_storage = of(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let slot = self.scalar.entry(name.clone()).or_default();
            *slot = of(*slot, *amount);
        }
    }

    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.scalar.values().all(|amount| *amount == 0)
    }
}

/// What a pod asks for, and what it counts for when nodes are ranked.
pub(crate) fn of_pod(pod: &Pod) -> (Resources, Resources) {
    let Some(spec) = &pod.spec else { return Default::default() };
    let allocated = allocated(pod);
    let exact = total(spec, |container| {
        let mut request = requests(container.resources.as_ref());
        if let Some(allocated) = allocated.get(container.name.as_str()) {
            request.raise_to(allocated);
        }
        request
    });
    let counted = total(spec, |container| with_defaults(requests(container.resources.as_ref()), container));
    (exact, counted)
}

/// While a container is being resized, what it holds counts as long as it is the larger.
fn allocated(pod: &Pod) -> BTreeMap<&str, Resources> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter_map(|status| {
            Some((status.name.as_str(), Resources::parse(status.allocated_resources.as_ref()?)))
        })
        .collect()
}

fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    resources.and_then(|resources| resources.requests.as_ref()).map(Resources::parse).unwrap_or_default()
}

fn with_defaults(mut request: Resources, container: &Container) -> Resources {
    let asks = |name: &str| {
        container.resources.as_ref().and_then(|r| r.requests.as_ref()).is_some_and(|r| r.contains_key(name))
    };
    if !asks("cpu") {
        request.milli_cpu = DEFAULT_MILLI_CPU;
    }
    if !asks("memory") {
        request.memory = DEFAULT_MEMORY;
    }
    request
}

/// All containers together; init containers run one after the other, each beside the sidecars before it.
fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut sum = Resources::default();
    for container in &spec.containers {
        sum.add(&of(container));
    }
    let (mut sidecars, mut initial) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let mut request = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&request);
            request = Resources::default();
        }
        request.add(&sidecars);
        initial.raise_to(&request);
    }
    sum.add(&sidecars);
    sum.raise_to(&initial);
    override_by_pod_level(spec, &mut sum);
    if let Some(overhead) = &spec.overhead {
        sum.add(&Resources::parse(overhead));
    }
    sum
}

/// What the pod asks for as a whole stands above the sum of its containers.
fn override_by_pod_level(spec: &PodSpec, sum: &mut Resources) {
    let Some(list) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) else {
        return;
    };
    let pod_level = Resources::parse(list);
    for name in list.keys() {
        if name == "cpu" || name == "memory" || name.starts_with("hugepages-") {
            *sum.slot(name) = pod_level.get(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: serde_json::Value, expected: (i64, i64), counted: (i64, i64)) {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).expect("a pod");
        let (exact, ranked) = of_pod(&pod);
        assert_eq!((exact.milli_cpu, exact.memory), expected);
        assert_eq!((ranked.milli_cpu, ranked.memory), counted);
    }

    fn container(cpu: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Ki"}}})
    }

    #[test]
    fn requests_add_up_as_upstream() {
        check(json!({"containers": [{"name": "a"}]}), (0, 0), (100, DEFAULT_MEMORY));
        check(json!({"containers": [container("1"), container("500m")]}), (1500, 2048), (1500, 2048));
        let init = json!([container("2")]);
        check(json!({"containers": [container("1")], "initContainers": init}), (2000, 1024), (2000, 1024));
        let mut sidecar = container("1");
        sidecar["restartPolicy"] = json!("Always");
        let init = json!([sidecar, container("2")]);
        check(json!({"containers": [container("1")], "initContainers": init}), (3000, 2048), (3000, 2048));
        let overhead = json!({"cpu": "10m"});
        check(json!({"containers": [container("1")], "overhead": overhead}), (1010, 1024), (1010, 1024));
        let resources = json!({"requests": {"cpu": "4"}});
        check(json!({"containers": [container("1")], "resources": resources}), (4000, 1024), (4000, 1024));
    }
}
