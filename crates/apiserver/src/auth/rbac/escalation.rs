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
            wanted.extend(everything());
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

fn everything() -> [Rule; 2] {
    let star = || vec!["*".to_owned()];
    [
        Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() },
    ]
}
