//! The defaults that depend on other fields: one function each, named in the `.rules` files.
//!
//! Upstream: pkg/apis/*/v*/defaults.go.

use crate::access::Access;
use serde_json::{Map, Value, json};

/// The object's fields. A value that is no object has none to default.
fn fields(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()
}

/// Sets a field that is absent or null.
fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(map) = fields(object) {
        let slot = map.entry(field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    }
}

fn each(object: &mut Value, list: &str, mut act: impl FnMut(&mut Value)) {
    if let Some(items) = object.get_mut(list).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(&mut act);
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`: each follows the other.
pub(crate) fn service_account_names(spec: &mut Value) {
    let (new, old) = (spec.text("serviceAccountName").to_owned(), spec.text("serviceAccount").to_owned());
    let name = if new.is_empty() { old } else { new };
    if !name.is_empty()
        && let Some(map) = fields(spec)
    {
        map.insert("serviceAccountName".into(), name.clone().into());
        map.insert("serviceAccount".into(), name.into());
    }
}

/// What only Pods get, and templates do not.
pub(crate) fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    set(spec, "enableServiceLinks", json!(true));
    let host = spec.flag("hostNetwork");
    for list in ["containers", "initContainers"] {
        each(spec, list, |container| {
            requests_from_limits(container);
            if host {
                each(container, "ports", |port| {
                    if port.int("hostPort") == 0 {
                        let number = port.int("containerPort");
                        if let Some(map) = fields(port) {
                            map.insert("hostPort".into(), number.into());
                        }
                    }
                });
            }
        });
    }
    requests_from_limits(spec);
}

/// A limit without a request is the request as well.
fn requests_from_limits(object: &mut Value) {
    let limits = object.map("resources.limits").clone();
    if limits.is_empty() {
        return;
    }
    let Some(resources) = object.get_mut("resources") else { return };
    set(resources, "requests", json!({}));
    if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
        for (name, value) in limits {
            requests.entry(name).or_insert(value);
        }
    }
}

/// A volume without a source is an empty folder.
pub(crate) fn volume_source(volume: &mut Value) {
    let Some(map) = fields(volume) else { return };
    let has_source = map.iter().any(|(name, value)| name != "name" && !value.is_null());
    if !has_source {
        map.insert("emptyDir".into(), json!({}));
    }
}

pub(crate) fn image_volume_pull_policy(volume: &mut Value) {
    policy_for(volume, "reference", "pullPolicy");
}

pub(crate) fn pull_policy(container: &mut Value) {
    policy_for(container, "image", "imagePullPolicy");
}

/// `latest`, said or meant, may be another image tomorrow.
fn policy_for(object: &mut Value, image: &str, field: &str) {
    if !object.text(field).is_empty() {
        return;
    }
    let policy = if is_latest(object.text(image)) { "Always" } else { "IfNotPresent" };
    if let Some(map) = fields(object) {
        map.insert(field.into(), policy.into());
    }
}

fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

pub(crate) fn target_port(port: &mut Value) {
    let unset = match port.get("targetPort") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(number) => number.as_i64() == Some(0),
    };
    if unset {
        let own = port.int("port");
        if let Some(map) = fields(port) {
            map.insert("targetPort".into(), own.into());
        }
    }
}

pub(crate) fn service(spec: &mut Value) {
    let kind = spec.text("type").to_owned();
    match spec.text("sessionAffinity") {
        "ClientIP" => {
            if !spec.has("sessionAffinityConfig.clientIP.timeoutSeconds")
                && let Some(map) = fields(spec)
            {
                map.insert("sessionAffinityConfig".into(), json!({"clientIP": {"timeoutSeconds": 10800}}));
            }
        }
        "None" => {
            if let Some(map) = fields(spec) {
                map.remove("sessionAffinityConfig");
            }
        }
        _ => {}
    }
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !spec.items("externalIPs").is_empty());
    if external && spec.text("externalTrafficPolicy").is_empty() {
        set_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        set(spec, "internalTrafficPolicy", "Cluster".into());
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

fn set_text(object: &mut Value, field: &str, text: &str) {
    if let Some(map) = fields(object) {
        map.insert(field.into(), text.into());
    }
}

pub(crate) fn load_balancer_mode(ingress: &mut Value) {
    if !ingress.text("ip").is_empty() {
        set(ingress, "ipMode", "VIP".into());
    }
}

/// The oldest controller takes selector and labels from its template.
pub(crate) fn template_labels_legacy(object: &mut Value) {
    let labels = object.map("spec.template.metadata.labels").clone();
    if labels.is_empty() {
        return;
    }
    if object.map("spec.selector").is_empty()
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("selector".into(), Value::Object(labels.clone()));
    }
    if object.map("metadata.labels").is_empty() {
        own_labels(object, labels);
    }
}

fn own_labels(object: &mut Value, labels: Map<String, Value>) {
    set(object, "metadata", json!({}));
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("labels".into(), Value::Object(labels));
    }
}

pub(crate) fn node_allocatable(status: &mut Value) {
    if let Some(capacity) = status.at("capacity").cloned() {
        set(status, "allocatable", capacity);
    }
}

/// Namespaces can be selected by name.
pub(crate) fn namespace_label(namespace: &mut Value) {
    let name = namespace.text("metadata.name").to_owned();
    let Some(metadata) = namespace.get_mut("metadata").filter(|_| !name.is_empty()) else { return };
    set(metadata, "labels", json!({}));
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

/// Of a container: no default is the maximum, no default request is the default, or the minimum.
pub(crate) fn limit_range(item: &mut Value) {
    if item.text("type") != "Container" {
        return;
    }
    for (field, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let source = item.map(from).clone();
        if source.is_empty() {
            continue;
        }
        set(item, field, json!({}));
        if let Some(target) = item.get_mut(field).and_then(Value::as_object_mut) {
            for (name, value) in source {
                target.entry(name).or_insert(value);
            }
        }
    }
}

pub(crate) fn rolling_update(strategy: &mut Value) {
    if strategy.text("type") == "RollingUpdate" {
        set(strategy, "rollingUpdate", json!({}));
        if let Some(rolling) = strategy.get_mut("rollingUpdate") {
            set(rolling, "maxUnavailable", "25%".into());
            set(rolling, "maxSurge", "25%".into());
        }
    }
}

pub(crate) fn daemon_rolling_update(strategy: &mut Value) {
    if strategy.text("type") == "RollingUpdate" {
        set(strategy, "rollingUpdate", json!({}));
        if let Some(rolling) = strategy.get_mut("rollingUpdate") {
            set(rolling, "maxUnavailable", json!(1));
            set(rolling, "maxSurge", json!(0));
        }
    }
}

pub(crate) fn stateful_rolling_update(strategy: &mut Value) {
    if strategy.text("type") == "RollingUpdate" {
        set(strategy, "rollingUpdate", json!({}));
        if let Some(rolling) = strategy.get_mut("rollingUpdate") {
            set(rolling, "partition", json!(0));
        }
    }
}

/// The claims of a StatefulSet say what they are.
pub(crate) fn claim_templates(spec: &mut Value) {
    each(spec, "volumeClaimTemplates", |claim| {
        set_text(claim, "apiVersion", "v1");
        set_text(claim, "kind", "PersistentVolumeClaim");
    });
}

pub(crate) fn job(job: &mut Value) {
    let labels = job.map("spec.template.metadata.labels").clone();
    if !labels.is_empty() && job.map("metadata.labels").is_empty() {
        own_labels(job, labels);
    }
    set(job, "spec", json!({}));
    let Some(spec) = job.get_mut("spec") else { return };
    if !spec.has("completions") && !spec.has("parallelism") {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    // with a limit for each index there is none for all
    let backoff = if spec.has("backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    set(spec, "backoffLimit", json!(backoff));
    set(spec, "completionMode", "NonIndexed".into());
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set(spec, "podReplacementPolicy", replacement.into());
}

pub(crate) fn hpa(spec: &mut Value) {
    if spec.items("metrics").is_empty()
        && let Some(map) = fields(spec)
    {
        map.insert("metrics".into(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|behavior| !behavior.is_null()) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    for (direction, policies) in [
        ("scaleUp", json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent])),
        ("scaleDown", json!([percent])),
    ] {
        set(behavior, direction, json!({}));
        let Some(rules) = behavior.get_mut(direction) else { continue };
        if direction == "scaleUp" {
            set(rules, "stabilizationWindowSeconds", json!(0));
        }
        set(rules, "selectPolicy", "Max".into());
        set(rules, "policies", policies);
    }
}

/// A policy is about ingress, and about egress where it says something of it.
pub(crate) fn policy_types(spec: &mut Value) {
    if spec.items("policyTypes").is_empty() {
        let types =
            if spec.items("egress").is_empty() { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        if let Some(map) = fields(spec) {
            map.insert("policyTypes".into(), types);
        }
    }
}

pub(crate) fn subject_group(subject: &mut Value) {
    if matches!(subject.text("kind"), "User" | "Group") && subject.text("apiGroup").is_empty() {
        set_text(subject, "apiGroup", "rbac.authorization.k8s.io");
    }
}

pub(crate) fn crd_names(spec: &mut Value) {
    let Some(names) = spec.get_mut("names") else { return };
    let kind = names.text("kind").to_owned();
    if names.text("singular").is_empty() {
        set_text(names, "singular", &kind.to_lowercase());
    }
    if names.text("listKind").is_empty() && !kind.is_empty() {
        set_text(names, "listKind", &format!("{kind}List"));
    }
}

pub(crate) fn device_request(request: &mut Value) {
    // a request that only lists alternatives has no mode of its own
    if request.has("firstAvailable") {
        return;
    }
    if request.text("allocationMode").is_empty() && request.has("deviceClassName") {
        set_text(request, "allocationMode", "ExactCount");
    }
    if request.text("allocationMode") == "ExactCount"
        && request.int("count") == 0
        && let Some(map) = fields(request)
    {
        map.insert("count".into(), json!(1));
    }
}
