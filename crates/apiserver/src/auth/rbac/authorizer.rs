//! The authorizer over the index, kept current by watches.
//!
//! Upstream: plugin/pkg/auth/authorizer/rbac.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use stdx::{Shutdown, Tasks};
use tokio::sync::watch;

use super::index::Kind;
use super::{GROUP, Grant, Index, Rule};
use crate::auth::{Attributes, Authorizer, Change, Decision, Objects, UserInfo};

/// The four resources that hold the policy.
const RESOURCES: [(&str, Kind); 4] = [
    ("clusterroles", Kind::Role),
    ("roles", Kind::Role),
    ("clusterrolebindings", Kind::Binding),
    ("rolebindings", Kind::Binding),
];

/// Allows what some role of the user allows; never denies.
#[derive(Clone)]
pub struct Rbac {
    index: Index,
    synced: watch::Receiver<usize>,
}

impl Rbac {
    /// Follows `objects` until `shutdown`.
    pub fn start(objects: &Arc<dyn Objects>, tasks: &Tasks, shutdown: &Shutdown) -> Self {
        let (index, (sender, synced)) = (Index::default(), watch::channel(0));
        let sender = Arc::new(sender);
        for (resource, kind) in RESOURCES {
            let mut changes = objects.watch(GROUP, resource);
            let (index, sender, shutdown) = (index.clone(), sender.clone(), shutdown.clone());
            tasks.spawn("rbac index", async move {
                while let Some(change) = tokio::select! {
                    change = changes.next() => change,
                    () = shutdown.wait() => None,
                } {
                    index.apply(kind, &change);
                    if matches!(change, Change::Synced) {
                        sender.send_modify(|count| *count += 1);
                    }
                }
            });
        }
        Self { index, synced }
    }

    /// Returns once everything that existed at the start is known.
    pub async fn synced(&self) {
        // The sender lives as long as the watches; without them there is nothing to wait for.
        let _ = self.synced.clone().wait_for(|count| *count >= RESOURCES.len()).await;
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Everything that `user` may do in `namespace`.
    pub fn rules(&self, user: &UserInfo, namespace: &str) -> Vec<Rule> {
        let grants = self.index.grants(user, namespace);
        grants.iter().flat_map(|grant| grant.rules.iter().cloned()).collect()
    }

    fn decide(&self, attributes: &Attributes) -> Option<Grant> {
        let namespace = if attributes.is_resource { attributes.namespace.as_str() } else { "" };
        let grants = self.index.grants(&attributes.user, namespace);
        grants.into_iter().find(|grant| grant.rules.iter().any(|rule| rule.allows(attributes)))
    }
}

#[async_trait]
impl Authorizer for Rbac {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        match self.decide(attributes) {
            Some(grant) => Decision::Allow(format!("RBAC: allowed by {}", grant.origin)),
            None => Decision::NoOpinion(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::auth::Memory;

    async fn rbac(memory: &Memory) -> Rbac {
        let objects: Arc<dyn Objects> = Arc::new(memory.clone());
        let (trigger, shutdown) = Shutdown::new();
        let rbac = Rbac::start(&objects, &Tasks::new(), &shutdown);
        rbac.synced().await;
        std::mem::forget(trigger); // the index lives as long as the test
        rbac
    }

    fn policy() -> Memory {
        let memory = Memory::default();
        let rule = |resource: &str| json!([{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]);
        memory.put(GROUP, "clusterroles", json!({"metadata": {"name": "reader"}, "rules": rule("pods")}));
        memory.put(
            GROUP,
            "clusterroles",
            json!({"metadata": {"name": "part", "labels": {"to-sum": "true"}}, "rules": rule("secrets")}),
        );
        memory.put(
            GROUP,
            "clusterroles",
            json!({"metadata": {"name": "sum"},
                   "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-sum": "true"}}]}}),
        );
        let subject = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "namespace": "a"}]);
        let role = |name: &str| json!({"kind": "ClusterRole", "name": name});
        memory.put(
            GROUP,
            "clusterrolebindings",
            json!({"metadata": {"name": "everywhere"}, "roleRef": role("reader"), "subjects": subject("Group", "team")}),
        );
        memory.put(
            GROUP,
            "rolebindings",
            json!({"metadata": {"name": "here", "namespace": "a"}, "roleRef": role("sum"),
                   "subjects": subject("ServiceAccount", "bot")}),
        );
        memory
    }

    async fn check(rbac: &Rbac, user: &UserInfo, namespace: &str, resource: &str, expected: Expect) {
        let attributes =
            Attributes { namespace: namespace.into(), ..Attributes::resource(user, "get", "", resource) };
        expected.assert_eq(&format!("{:?}", rbac.authorize(&attributes).await));
    }

    #[tokio::test]
    async fn bindings_reach_as_far_as_they_say() {
        let memory = policy();
        let rbac = rbac(&memory).await;
        let (bob, bot) = (UserInfo::new("bob", &["team"]), UserInfo::service_account("a", "bot", ""));
        let everywhere = expect![[
            r#"Allow("RBAC: allowed by ClusterRoleBinding \"everywhere\" of ClusterRole \"reader\" to Group \"team\"")"#
        ]];
        check(&rbac, &bob, "b", "pods", everywhere).await;
        check(&rbac, &bob, "a", "secrets", expect![[r#"NoOpinion("")"#]]).await;
        let here = expect![[
            r#"Allow("RBAC: allowed by RoleBinding \"here/a\" of ClusterRole \"sum\" to ServiceAccount \"bot/a\"")"#
        ]];
        check(&rbac, &bot, "a", "secrets", here).await;
        check(&rbac, &bot, "b", "secrets", expect![[r#"NoOpinion("")"#]]).await;
    }

    #[tokio::test]
    async fn a_deleted_binding_grants_nothing() {
        let memory = policy();
        let rbac = rbac(&memory).await;
        let bob = UserInfo::new("bob", &["team"]);
        memory.delete(GROUP, "clusterrolebindings", "", "everywhere");
        tokio::task::yield_now().await;
        check(&rbac, &bob, "b", "pods", expect![[r#"NoOpinion("")"#]]).await;
    }
}
