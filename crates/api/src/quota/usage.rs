//! What one object takes.

use serde_json::Value;

use super::{Amounts, amounts, pods};
use crate::access::Access;
use crate::quantity::{Format, Quantity};

/// Resources that are also counted by their bare name, as before `count/` was.
const BARE: [&str; 8] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "resourceclaims",
];
const NODE_PORTS: &str = "services.nodeports";
const LOAD_BALANCERS: &str = "services.loadbalancers";
const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";

/// `count/pods`, `count/jobs.batch`.
pub fn counted(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("count/{resource}") } else { format!("count/{resource}.{group}") }
}

fn count(number: usize) -> Quantity {
    Quantity::from_integer(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

/// Everything that `object` takes.
pub fn usage(group: &str, resource: &str, object: &Value) -> Amounts {
    let mut taken = Amounts::new();
    taken.insert(counted(group, resource), count(1));
    match (group, resource) {
        ("", "pods") => pods::usage(object, &mut taken),
        ("", "services") => {
            taken.insert(resource.into(), count(1));
            service(object, &mut taken);
        }
        ("", "persistentvolumeclaims") => {
            taken.insert(resource.into(), count(1));
            claim(object, &mut taken);
        }
        ("", bare) if BARE.contains(&bare) => {
            taken.insert(resource.into(), count(1));
        }
        _ => {}
    }
    taken
}

fn service(service: &Value, taken: &mut Amounts) {
    let ports = service.items("spec.ports");
    match service.text("spec.type") {
        "NodePort" => {
            taken.insert(NODE_PORTS.into(), count(ports.len()));
        }
        "LoadBalancer" => {
            let allocates = service.at("spec.allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
            let own = ports.iter().filter(|port| port.int("nodePort") != 0).count();
            taken.insert(NODE_PORTS.into(), count(if allocates { ports.len() } else { own }));
            taken.insert(LOAD_BALANCERS.into(), count(1));
        }
        _ => {}
    }
}

fn claim(claim: &Value, taken: &mut Amounts) {
    let class = match claim.text("spec.storageClassName") {
        "" => claim
            .map("metadata.annotations")
            .get("volume.beta.kubernetes.io/storage-class")
            .and_then(Value::as_str)
            .unwrap_or(""),
        class => class,
    };
    if !class.is_empty() {
        taken.insert(format!("{class}{STORAGE_CLASS}persistentvolumeclaims"), count(1));
    }
    let requests = claim.at("spec.resources.requests").map(amounts).unwrap_or_default();
    let Some(asked) = requests.get("storage").copied() else { return };
    let allocated = claim.at("status.allocatedResources").map(amounts).unwrap_or_default();
    let size = allocated.get("storage").copied().unwrap_or(asked).max(asked);
    taken.insert("requests.storage".into(), size);
    if !class.is_empty() {
        taken.insert(format!("{class}{STORAGE_CLASS}requests.storage"), size);
    }
}
