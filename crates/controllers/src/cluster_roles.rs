//! Gives aggregated ClusterRoles the rules of the roles that they select.
//!
//! Upstream: pkg/controller/clusterroleaggregation.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;
use crate::selector;

struct Reconciler {
    context: Context,
    roles: Store<ClusterRole>,
}

pub(crate) async fn start(context: Context) {
    let roles = context.hub.store::<ClusterRole>();
    if !roles.synced().await {
        return;
    }
    let all = roles.clone();
    Controller::new("clusterrole-aggregation", &context.hub)
        .watches(&roles, move |_| {
            // Any role may be one that another selects.
            let aggregated = all.list().into_iter().filter(|role| role.aggregation_rule.is_some());
            aggregated.map(|role| Key::of(&*role)).collect()
        })
        .workers(1)
        .run(Arc::new(Reconciler { context, roles }));
}

/// The rules of all that `role` selects, each once, by the name of their role.
fn rules(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.clone());
    let selectors = selectors.unwrap_or_default();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for other in all.iter().filter(|other| other.metadata.name != role.metadata.name) {
        if !selectors.iter().any(|s| selector::matches(s, other.metadata.labels.as_ref())) {
            continue;
        }
        for rule in other.rules.iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(role) = self.roles.get(key).filter(|role| role.aggregation_rule.is_some()) else {
            return Ok(Next::AwaitChange);
        };
        let rules = rules(&role, &self.roles.list());
        if role.rules.clone().unwrap_or_default() == rules {
            return Ok(Next::AwaitChange);
        }
        let changed = ClusterRole { rules: Some(rules), ..(*role).clone() };
        let api: Api<ClusterRole> = Api::all(self.context.client.clone());
        match api.replace(&key.name, &PostParams::default(), &changed).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selected_roles_give_their_rules_once() {
        let role = |name: &str, label: &str, verbs: &[&str]| {
            let role = json!({"metadata": {"name": name, "labels": {"to": label}}, "rules": [{"verbs": verbs, "resources": ["pods"], "apiGroups": [""]}]});
            Arc::new(serde_json::from_value::<ClusterRole>(role).expect("a role"))
        };
        let view = json!({"metadata": {"name": "view", "labels": {"to": "view"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}});
        let view: ClusterRole = serde_json::from_value(view).expect("a role");
        let all = [
            role("a", "view", &["get"]),
            role("b", "view", &["get"]),
            role("c", "view", &["list"]),
            role("d", "edit", &["update"]),
        ];
        let verbs: Vec<_> = rules(&view, &all).into_iter().map(|rule| rule.verbs.join(",")).collect();
        assert_eq!(verbs, ["get", "list"]);
    }
}
