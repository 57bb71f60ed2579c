//! Nobody grants a permission that he does not hold, unless he may `escalate` the role or `bind` it.
//!
//! Upstream does this in the storage of roles and bindings (pkg/registry/rbac/*/policybased); here it is an admission
//! plugin of its own that stands last, so that it sees what will be stored.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::rule::{compact, missing};
use super::{GROUP, Rbac, Rule};
use crate::admission::{Admission, Operation, Request};
use crate::auth::{Attributes, Authorizer, UserInfo, fields, group};
use crate::{ApiError, GroupResource};

/// The check.
pub struct Escalation {
    rbac: Rbac,
    authorizer: Arc<dyn Authorizer>,
}

impl Escalation {
    pub fn new(rbac: Rbac, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { rbac, authorizer }
    }

    async fn may(&self, request: &Request, verb: &str, resource: &str, name: &str) -> bool {
        let attributes = Attributes {
            namespace: request.namespace.clone(),
            name: name.to_owned(),
            ..Attributes::resource(&request.user, verb, GROUP, resource)
        };
        self.authorizer.authorize(&attributes).await.is_allowed()
    }

    async fn check_role(&self, request: &Request, role: &Value) -> Result<(), ApiError> {
        let unchanged =
            |old: &Value| old["rules"] == role["rules"] && old["aggregationRule"] == role["aggregationRule"];
        if request.old.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        let resource = request.resource.resource.as_str();
        if self.may(request, "escalate", resource, fields::name(role)).await {
            return Ok(());
        }
        let mut wanted = Rule::of(role);
        if !role["aggregationRule"].is_null() {
            // Whoever aggregates may gain anything later, so must hold everything now.
            wanted.extend(Rule::everything());
        }
        self.confirm(request, &wanted)
    }

    async fn check_binding(&self, request: &Request, binding: &Value) -> Result<(), ApiError> {
        let unchanged =
            |old: &Value| old["roleRef"] == binding["roleRef"] && old["subjects"] == binding["subjects"];
        if request.old.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        let (kind, name) = (fields::text(binding, "/roleRef/kind"), fields::text(binding, "/roleRef/name"));
        let (resource, namespace) = match kind {
            "ClusterRole" => ("clusterroles", ""),
            _ => ("roles", request.namespace.as_str()),
        };
        if self.may(request, "bind", resource, name).await {
            return Ok(());
        }
        let Some(rules) = self.rbac.index().role(namespace, name) else {
            return Err(ApiError::not_found(&GroupResource::new(GROUP, resource), name));
        };
        self.confirm(request, &rules)
    }

    fn confirm(&self, request: &Request, wanted: &[Rule]) -> Result<(), ApiError> {
        let held = self.rbac.rules(&request.user, &request.namespace);
        let missing = compact(missing(&held, wanted));
        if missing.is_empty() {
            return Ok(());
        }
        let mut texts: Vec<String> = missing.iter().map(Rule::to_string).collect();
        texts.sort();
        texts.dedup();
        let UserInfo { name, groups, .. } = &request.user;
        let groups: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
        Err(request.forbidden(format!(
            "user {name:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            groups.join(" "),
            texts.join("\n")
        )))
    }
}

#[async_trait]
impl Admission for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let (true, Some(object)) = (writes && request.resource.group == GROUP, &request.object) else {
            return Ok(());
        };
        if request.user.is_in(group::MASTERS) {
            return Ok(());
        }
        match request.resource.resource.as_str() {
            "roles" | "clusterroles" => self.check_role(request, object).await,
            "rolebindings" | "clusterrolebindings" => self.check_binding(request, object).await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;
    use stdx::{Shutdown, Tasks};

    use super::*;
    use crate::auth::{Memory, Objects};

    /// `bob` may read pods everywhere, and write roles and bindings of namespace a.
    async fn plugin() -> Escalation {
        let memory = Memory::default();
        let rules = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
        memory.put(GROUP, "clusterroles", json!({"metadata": {"name": "reader"}, "rules": rules}));
        let rules = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        memory.put(GROUP, "clusterroles", json!({"metadata": {"name": "all"}, "rules": rules}));
        memory.put(
            GROUP,
            "clusterrolebindings",
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "reader"},
                   "subjects": [{"kind": "User", "name": "bob"}]}),
        );
        let objects: Arc<dyn Objects> = Arc::new(memory);
        let (_trigger, shutdown) = Shutdown::new();
        let rbac = Rbac::start(&objects, &Tasks::new(), &shutdown);
        rbac.synced().await;
        Escalation::new(rbac.clone(), Arc::new(rbac))
    }

    async fn check(resource: &str, object: Value, expected: Expect) {
        let request = Request {
            operation: Operation::Create,
            resource: GroupResource::new(GROUP, resource),
            version: "v1".into(),
            kind: String::new(),
            subresource: String::new(),
            namespace: "a".into(),
            name: "r".into(),
            object: Some(object),
            old: None,
            options: Value::Null,
            user: UserInfo::new("bob", &["team"]),
            dry_run: false,
            warnings: crate::admission::Warnings::default(),
            rounds: crate::admission::Rounds::default(),
        };
        let outcome = plugin().await.validate(&request).await;
        expected.assert_eq(&outcome.map_or_else(|error| error.to_string(), |()| "granted".to_owned()));
    }

    #[tokio::test]
    async fn only_what_is_held_is_granted() {
        let rules =
            |verbs: Value| json!({"rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]});
        check("roles", rules(json!(["get"])), expect!["granted"]).await;
        check("roles", rules(json!(["get", "delete"])), expect![[r#"
            roles.rbac.authorization.k8s.io "r" is forbidden: user "bob" (groups=["team"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["delete"]}"#]])
        .await;
        let bind = |role: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": []});
        check("rolebindings", bind("reader"), expect!["granted"]).await;
        check("rolebindings", bind("all"), expect![[r#"
            rolebindings.rbac.authorization.k8s.io "r" is forbidden: user "bob" (groups=["team"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#]])
        .await;
        check(
            "rolebindings",
            bind("none"),
            expect![[r#"clusterroles.rbac.authorization.k8s.io "none" not found"#]],
        )
        .await;
    }
}
