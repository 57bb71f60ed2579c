//! The Node authorizer: a kubelet reaches its own node and what the pods on it refer to.
//!
//! Upstream: plugin/pkg/auth/authorizer/node. Differs: upstream keeps a graph of all references; here the pods are
//! kept by node, and the few of one node are searched when its kubelet asks, which costs memory for pods only.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use stdx::{Shutdown, Tasks};

use super::rbac::{Policy, Rule};
use super::{Attributes, Authorizer, Change, Decision, Objects, fields};

mod pods;
mod references;

pub use pods::NodePods;
use references::Reference;

/// Allows nodes what is theirs; never denies.
pub struct NodeAuthorizer {
    pods: NodePods,
    objects: Arc<dyn Objects>,
    /// What every node may do beside: the rules of the ClusterRole `system:node`.
    rules: Vec<Rule>,
}

impl NodeAuthorizer {
    /// Follows the pods until `shutdown`.
    pub fn start(objects: &Arc<dyn Objects>, tasks: &Tasks, shutdown: &Shutdown) -> Self {
        let (pods, mut changes) = (NodePods::default(), objects.watch("", "pods"));
        let (index, shutdown) = (pods.clone(), shutdown.clone());
        tasks.spawn("node authorizer", async move {
            while let Some(change) = tokio::select! {
                change = changes.next() => change,
                () = shutdown.wait() => None,
            } {
                match change {
                    Change::Put(pod) => index.put(&pod),
                    Change::Delete(pod) => index.delete(&pod),
                    Change::Synced => {}
                }
            }
        });
        Self::new(pods, objects.clone())
    }

    fn new(pods: NodePods, objects: Arc<dyn Objects>) -> Self {
        let policy = Policy::builtin();
        let role = policy.roles.iter().find(|role| fields::name(&role.object) == "system:node");
        Self { pods, objects, rules: role.map_or_else(Vec::new, |role| Rule::of(&role.object)) }
    }

    async fn decide(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        let Attributes { group, resource, subresource, .. } = attributes;
        match (group.as_str(), resource.as_str(), subresource.as_str()) {
            ("", "secrets" | "configmaps", _) => self.readable(node, attributes).await,
            ("", "persistentvolumeclaims", "status") => self.claim_status(node, attributes).await,
            ("", "persistentvolumeclaims" | "persistentvolumes", _) => self.gettable(node, attributes).await,
            ("storage.k8s.io", "volumeattachments", _) => self.gettable(node, attributes).await,
            ("resource.k8s.io", "resourceclaims", _) => self.gettable(node, attributes).await,
            ("", "serviceaccounts", "token") => self.token(node, attributes).await,
            ("coordination.k8s.io", "leases", _) => lease(node, attributes),
            ("storage.k8s.io", "csinodes", _) => csi_node(node, attributes),
            ("", "nodes", _) if is_read_of_other(node, attributes) => other_node(node, attributes),
            ("", "pods", _) if matches!(attributes.verb.as_str(), "list" | "watch") => {
                self.by_rules(attributes)
            }
            _ => self.by_rules(attributes),
        }
    }

    fn by_rules(&self, attributes: &Attributes) -> Result<(), String> {
        match self.rules.iter().any(|rule| rule.allows(attributes)) {
            true => Ok(()),
            false => Err(String::new()),
        }
    }

    /// get, list and watch of single objects.
    async fn readable(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        if !attributes.is_read_only() {
            return Err("can only read resources of this type".to_owned());
        }
        self.referenced(node, attributes).await
    }

    async fn gettable(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        if attributes.verb != "get" || !attributes.subresource.is_empty() {
            return Err("can only get individual resources of this type".to_owned());
        }
        self.referenced(node, attributes).await
    }

    async fn claim_status(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        match attributes.verb.as_str() {
            "get" | "update" | "patch" => self.referenced(node, attributes).await,
            _ => Err("can only get/update/patch this type".to_owned()),
        }
    }

    async fn token(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        if attributes.verb != "create" {
            return Err("can only create tokens for individual service accounts".to_owned());
        }
        self.referenced(node, attributes).await
    }

    async fn referenced(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        if attributes.name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        let wanted = Reference::new(&attributes.resource, &attributes.namespace, &attributes.name);
        let found = match attributes.resource.as_str() {
            "persistentvolumes" => self.has_volume(node, &attributes.name).await,
            "volumeattachments" => self.has_attachment(node, &attributes.name).await,
            _ => {
                self.pods.refer_to(node, &wanted)
                    || self.live_reference(node, &wanted, &attributes.namespace).await
            }
        };
        match found {
            true => Ok(()),
            false => Err(format!("no relationship found between node '{node}' and this object")),
        }
    }

    /// The kubelet may have seen a pod that the index has not: before a refusal, the pods themselves are asked.
    async fn live_reference(&self, node: &str, wanted: &Reference, namespace: &str) -> bool {
        let pods = self.objects.list("", "pods", namespace).await;
        let mut here = pods.iter().filter(|pod| fields::text(pod, "/spec/nodeName") == node);
        here.any(|pod| references::of(pod).contains(wanted))
    }

    /// A volume is reached through a claim that a pod of the node names.
    async fn has_volume(&self, node: &str, volume: &str) -> bool {
        let Some(volume) = self.objects.get("", "persistentvolumes", "", volume).await else { return false };
        let claim = &volume["spec"]["claimRef"];
        let (namespace, name) = (fields::text(claim, "/namespace"), fields::text(claim, "/name"));
        self.pods.refer_to(node, &Reference::new("persistentvolumeclaims", namespace, name))
    }

    async fn has_attachment(&self, node: &str, name: &str) -> bool {
        let attachment = self.objects.get("storage.k8s.io", "volumeattachments", "", name).await;
        attachment.is_some_and(|attachment| fields::text(&attachment, "/spec/nodeName") == node)
    }
}

#[async_trait]
impl Authorizer for NodeAuthorizer {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let Some(node) = attributes.user.as_node().filter(|_| attributes.is_resource) else {
            return Decision::NoOpinion(String::new());
        };
        match self.decide(node, attributes).await {
            Ok(()) => Decision::Allow(String::new()),
            Err(reason) => Decision::NoOpinion(reason),
        }
    }
}

fn is_read_of_other(node: &str, attributes: &Attributes) -> bool {
    attributes.verb == "get" && !attributes.name.is_empty() && attributes.name != node
}

/// Since v1.32 a node reads only itself by name; listing and watching stay open to rules.
fn other_node(node: &str, attributes: &Attributes) -> Result<(), String> {
    Err(format!("node '{node}' cannot read '{}', only its own Node object", attributes.name))
}

/// The heartbeat: the lease of the node's name in kube-node-lease.
fn lease(node: &str, attributes: &Attributes) -> Result<(), String> {
    if !matches!(attributes.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return Err("can only get, create, update, patch, or delete a node lease".to_owned());
    }
    if attributes.namespace != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".to_owned());
    }
    // A create carries its name in the object; NodeRestriction looks at that.
    match attributes.verb == "create" || attributes.name == node {
        true => Ok(()),
        false => Err("can only access node lease with the same name as the requesting node".to_owned()),
    }
}

fn csi_node(node: &str, attributes: &Attributes) -> Result<(), String> {
    if !attributes.subresource.is_empty()
        || !matches!(attributes.verb.as_str(), "get" | "create" | "update" | "patch" | "delete")
    {
        return Err("can only get, create, update, patch, or delete a CSINode".to_owned());
    }
    match attributes.verb == "create" || attributes.name == node {
        true => Ok(()),
        false => Err("can only access CSINode with the same name as the requesting node".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::auth::{Memory, UserInfo};

    fn authorizer() -> NodeAuthorizer {
        let (pods, memory) = (NodePods::default(), Memory::default());
        pods.put(&json!({
            "metadata": {"namespace": "a", "name": "p", "uid": "1"},
            "spec": {
                "nodeName": "n1",
                "serviceAccountName": "bot",
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}],
                                "envFrom": [{"configMapRef": {"name": "all"}}]}],
                "volumes": [{"projected": {"sources": [{"secret": {"name": "projected"}}]}},
                            {"persistentVolumeClaim": {"claimName": "claim"}}]}}));
        let volume =
            json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "claim"}}});
        memory.put("", "persistentvolumes", volume);
        NodeAuthorizer::new(pods, Arc::new(memory))
    }

    /// `verb group/resource[/sub] namespace name`
    async fn check(node: &str, request: &str, expected: Expect) {
        let [verb, resource, namespace, name] = request.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{request}")
        };
        let mut parts = resource.split('/').map(|part| part.replace("core", ""));
        let given = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
        let mut part = || parts.next().unwrap_or_default();
        let attributes = Attributes {
            namespace: given(namespace),
            name: given(name),
            ..Attributes::resource(&UserInfo::node(node), verb, &part(), &part())
        };
        let attributes = Attributes { subresource: part(), ..attributes };
        expected.assert_eq(&format!("{:?}", authorizer().authorize(&attributes).await));
    }

    #[tokio::test]
    async fn what_pods_refer_to_is_open() {
        for name in ["pull", "env", "projected"] {
            check("n1", &format!("get core/secrets a {name}"), expect![[r#"Allow("")"#]]).await;
        }
        check("n1", "watch core/configmaps a all", expect![[r#"Allow("")"#]]).await;
        check("n1", "get core/persistentvolumes - pv", expect![[r#"Allow("")"#]]).await;
        check("n1", "create core/serviceaccounts/token a bot", expect![[r#"Allow("")"#]]).await;
    }

    #[tokio::test]
    async fn what_is_anothers_is_not() {
        check(
            "n2",
            "get core/secrets a pull",
            expect![[r#"NoOpinion("no relationship found between node 'n2' and this object")"#]],
        )
        .await;
        check("n1", "list core/secrets a -", expect![[r#"NoOpinion("No Object name found")"#]]).await;
        check(
            "n1",
            "delete core/secrets a pull",
            expect![[r#"NoOpinion("can only read resources of this type")"#]],
        )
        .await;
        check(
            "n1",
            "update coordination.k8s.io/leases kube-node-lease n2",
            expect![[r#"NoOpinion("can only access node lease with the same name as the requesting node")"#]],
        )
        .await;
        check("n1", "update coordination.k8s.io/leases kube-node-lease n1", expect![[r#"Allow("")"#]]).await;
        check("n1", "update apps/deployments a d", expect![[r#"NoOpinion("")"#]]).await;
        check("n1", "list core/pods - -", expect![[r#"Allow("")"#]]).await;
    }
}
