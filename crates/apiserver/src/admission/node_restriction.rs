//! NodeRestriction: a kubelet writes its own node, lease and mirror pods, and nothing of others.
//!
//! Upstream: plugin/pkg/admission/noderestriction.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::pod::{MIRROR_ANNOTATION, is_mirror};
use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

/// Labels in these domains are the cluster's to set …
const RESERVED: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// … but for these, and everything below [`KUBELET_DOMAINS`].
const KUBELET_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/windows-build",
];
const KUBELET_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(super) struct NodeRestriction {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let request: &Request = request;
        let Some(node) = request.user.as_node() else { return Ok(()) };
        let Request { resource, subresource, .. } = request;
        match (resource.group.as_str(), resource.resource.as_str(), subresource.as_str()) {
            ("", "pods", "") => self.pod(node, request).await,
            ("", "pods", "status") => pod_status(node, request),
            ("", "pods", "eviction") => self.eviction(node, request).await,
            ("", "nodes", _) => node_object(node, request),
            ("", "serviceaccounts", "token") => self.token(node, request).await,
            ("coordination.k8s.io", "leases", _) => same_name(node, request, "node lease"),
            ("storage.k8s.io", "csinodes", _) => same_name(node, request, "CSINode"),
            _ => Ok(()),
        }
    }
}

impl NodeRestriction {
    async fn pod(&self, node: &str, request: &Request) -> Result<(), ApiError> {
        match (request.operation, &request.object) {
            (Operation::Create, Some(pod)) => create_pod(node, request, pod),
            (Operation::Delete, _) => {
                let why = format!("node {node:?} can only delete pods with spec.nodeName set to itself");
                self.on_node(node, request, why).await
            }
            _ => Err(request.forbidden(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                request.operation
            ))),
        }
    }

    async fn eviction(&self, node: &str, request: &Request) -> Result<(), ApiError> {
        let why = format!("node {node} can only evict pods with spec.nodeName set to itself");
        self.on_node(node, request, why).await
    }

    async fn on_node(&self, node: &str, request: &Request, why: String) -> Result<(), ApiError> {
        let pod = match &request.old {
            Some(old) => Some(Arc::new(old.clone())),
            None => self.objects.get("", "pods", &request.namespace, &request.name).await,
        };
        match pod {
            // What is gone is the handler's to report.
            None => Ok(()),
            Some(pod) if fields::text(&pod, "/spec/nodeName") == node => Ok(()),
            Some(_) => Err(request.forbidden(why)),
        }
    }

    async fn token(&self, node: &str, request: &Request) -> Result<(), ApiError> {
        let Some(token) = &request.object else { return Ok(()) };
        let reference = &token["spec"]["boundObjectRef"];
        if fields::text(reference, "/kind") != "Pod" || fields::text(reference, "/name").is_empty() {
            return Err(request.forbidden("node requested token not bound to a pod"));
        }
        let (name, uid) = (fields::text(reference, "/name"), fields::text(reference, "/uid"));
        if uid.is_empty() {
            return Err(request.forbidden("node requested token with a pod binding without a uid"));
        }
        let Some(pod) = self.objects.get("", "pods", &request.namespace, name).await else {
            return Err(request.forbidden(format!("pod {name:?} not found")));
        };
        if fields::uid(&pod) != uid {
            return Err(request.forbidden(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record ({}). \
                 The object might have been deleted and then recreated",
                fields::uid(&pod)
            )));
        }
        match fields::text(&pod, "/spec/nodeName") == node {
            true => Ok(()),
            false => {
                Err(request.forbidden("node requested token bound to a pod scheduled on a different node"))
            }
        }
    }
}

fn create_pod(node: &str, request: &Request, pod: &Value) -> Result<(), ApiError> {
    if !is_mirror(pod) {
        return Err(request.forbidden(format!(
            "pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
        )));
    }
    if fields::text(pod, "/spec/nodeName") != node {
        let why = format!("node {node:?} can only create pods with spec.nodeName set to itself");
        return Err(request.forbidden(why));
    }
    let owners = fields::list(pod, "/metadata/ownerReferences");
    let own = |owner: &Value| owner["kind"] == "Node" && owner["apiVersion"] == "v1" && owner["name"] == node;
    if owners.len() > 1 || !owners.iter().all(own) {
        return Err(request
            .forbidden(format!("node {node:?} can only create pods with an owner reference set to itself")));
    }
    if !fields::text(pod, "/spec/serviceAccountName").is_empty() {
        return Err(
            request.forbidden(format!("node {node:?} can not create pods that reference a service account"))
        );
    }
    let volumes = fields::list(pod, "/spec/volumes");
    let uses = |kind: &str| volumes.iter().any(|volume| !volume[kind].is_null());
    for (kind, plural) in [
        ("secret", "secrets"),
        ("configMap", "configmaps"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
    ] {
        if uses(kind) {
            return Err(
                request.forbidden(format!("node {node:?} can not create pods that reference {plural}"))
            );
        }
    }
    Ok(())
}

fn pod_status(node: &str, request: &Request) -> Result<(), ApiError> {
    let (Some(new), Some(old)) = (&request.object, &request.old) else { return Ok(()) };
    if fields::text(old, "/spec/nodeName") != node {
        let why =
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        return Err(request.forbidden(why));
    }
    match new["metadata"]["labels"] == old["metadata"]["labels"] {
        true => Ok(()),
        false => Err(request.forbidden(format!("node {node:?} cannot update labels through pod status"))),
    }
}

fn node_object(node: &str, request: &Request) -> Result<(), ApiError> {
    let name = match (request.name.as_str(), &request.object) {
        ("", Some(object)) => fields::name(object),
        (name, _) => name,
    };
    if request.operation == Operation::Delete || name != node {
        return Err(request.forbidden(format!("node {node:?} is not allowed to modify node {name:?}")));
    }
    let Some(new) = &request.object else { return Ok(()) };
    let empty = Value::Null;
    let old = request.old.as_ref().unwrap_or(&empty);
    if request.operation == Operation::Update {
        if new["spec"]["taints"] != old["spec"]["taints"] {
            return Err(request.forbidden(format!("node {node:?} is not allowed to modify taints")));
        }
        if new["metadata"]["ownerReferences"] != old["metadata"]["ownerReferences"] {
            return Err(request.forbidden(format!("node {node:?} is not allowed to modify ownerReferences")));
        }
    }
    let forbidden = forbidden_labels(&new["metadata"]["labels"], &old["metadata"]["labels"]);
    match (forbidden.is_empty(), request.operation) {
        (true, _) => Ok(()),
        (false, Operation::Create) => Err(request.forbidden(format!(
            "node {node:?} is not allowed to set the following labels: {}",
            forbidden.join(", ")
        ))),
        (false, _) => {
            Err(request.forbidden(format!("is not allowed to modify labels: {}", forbidden.join(", "))))
        }
    }
}

/// Labels that changed and are not a kubelet's to change, sorted.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let keys = |labels: &Value| labels.as_object().map_or_else(Vec::new, |map| map.keys().cloned().collect());
    let mut changed: Vec<String> = keys(new);
    changed.extend(keys(old));
    changed.sort();
    changed.dedup();
    changed.retain(|key| new.get(key) != old.get(key) && !is_kubelets(key));
    changed
}

fn is_kubelets(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return true };
    let within = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    !RESERVED.iter().any(|parent| within(parent))
        || KUBELET_LABELS.contains(&label)
        || KUBELET_DOMAINS.iter().any(|parent| within(parent))
}

fn same_name(node: &str, request: &Request, what: &str) -> Result<(), ApiError> {
    let name = match (request.name.as_str(), &request.object) {
        ("", Some(object)) => fields::name(object),
        (name, _) => name,
    };
    match name == node {
        true => Ok(()),
        false => {
            Err(request
                .forbidden(format!("can only access {what} with the same name as the requesting node")))
        }
    }
}
