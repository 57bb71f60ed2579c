//! What a pod takes: its requests and limits, while it is not over.

use serde_json::Value;

use super::{Amounts, add, amounts};
use crate::access::Access;
use crate::quantity::{Format, Quantity};

const PLAIN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn usage(pod: &Value, taken: &mut Amounts) {
    if matches!(pod.text("status.phase"), "Succeeded" | "Failed") {
        return;
    }
    taken.insert("pods".into(), Quantity::from_integer(1, Format::DecimalSi));
    for (name, amount) in total(pod, "requests") {
        if PLAIN.contains(&name.as_str()) || name.starts_with("hugepages-") {
            taken.insert(name.clone(), amount);
        }
        if is_counted(&name) {
            taken.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in total(pod, "limits") {
        if PLAIN.contains(&name.as_str()) {
            taken.insert(format!("limits.{name}"), amount);
        }
    }
}

/// Extended resources have a domain of their own.
fn is_counted(name: &str) -> bool {
    let extended = name.contains('/') && !name.contains("kubernetes.io/");
    PLAIN.contains(&name) || name.starts_with("hugepages-") || extended
}

/// Requests or limits of the whole pod: all that runs at once, or what the start takes if that is more.
pub(super) fn total(pod: &Value, part: &str) -> Amounts {
    let of = |container: &Value| container.at(&format!("resources.{part}")).map(amounts).unwrap_or_default();
    let mut running = Amounts::new();
    for container in pod.items("spec.containers") {
        add(&mut running, &of(container));
    }
    let (mut sidecars, mut start) = (Amounts::new(), Amounts::new());
    for container in pod.items("spec.initContainers") {
        let mut here = sidecars.clone();
        add(&mut here, &of(container));
        if container.text("restartPolicy") == "Always" {
            sidecars = here.clone();
        }
        larger(&mut start, &here);
    }
    add(&mut running, &sidecars);
    larger(&mut running, &start);
    // What is said for the pod as a whole counts instead.
    running.extend(pod.at(&format!("spec.resources.{part}")).map(amounts).unwrap_or_default());
    let overhead = pod.at("spec.overhead").map(amounts).unwrap_or_default();
    if part == "requests" {
        add(&mut running, &overhead);
    } else {
        for (name, amount) in overhead {
            running.entry(name).and_modify(|limit| *limit = *limit + amount);
        }
    }
    running
}

fn larger(into: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let own = into.entry(name.clone()).or_insert(Quantity::ZERO);
        *own = (*own).max(*amount);
    }
}

/// What a quota with `hard` makes every container say and some do not: `limits.cpu for: c1; requests.memory for: c2`.
pub fn missing(hard: &Amounts, pod: &Value) -> Option<String> {
    if pod.at("spec.resources").is_some() {
        return missing_of_pod(hard, pod);
    }
    let containers = || pod.items("spec.containers").iter().chain(pod.items("spec.initContainers"));
    let lines = required(hard).filter_map(|(name, part, resource)| {
        let says = |container: &&Value| !container.map(&format!("resources.{part}")).contains_key(resource);
        let silent: Vec<&str> = containers().filter(says).map(|container| container.text("name")).collect();
        (!silent.is_empty()).then(|| format!("{name} for: {}", silent.join(",")))
    });
    joined(lines.collect())
}

fn missing_of_pod(hard: &Amounts, pod: &Value) -> Option<String> {
    let silent = required(hard).filter(|(_, part, resource)| !total(pod, part).contains_key(*resource));
    let names: Vec<String> = silent.map(|(name, ..)| format!("{name} for: pod")).collect();
    joined(names)
}

fn joined(lines: Vec<String>) -> Option<String> {
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// The names of `hard` that each container has to speak of: name, `requests` or `limits`, resource.
fn required(hard: &Amounts) -> impl Iterator<Item = (&str, &'static str, &str)> {
    hard.keys().filter_map(|name| match name.as_str() {
        "cpu" | "memory" => Some((name.as_str(), "requests", name.as_str())),
        "requests.cpu" | "requests.memory" => Some((name.as_str(), "requests", &name["requests.".len()..])),
        "limits.cpu" | "limits.memory" => Some((name.as_str(), "limits", &name["limits.".len()..])),
        _ => None,
    })
}
