//! Which webhooks are asked about a write, and in which version they want to see it.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook/{generic,predicates}.

use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use serde_json::Value;

use super::Caller;
use super::conditions::{self, Match};
use super::review::asked;
use crate::ApiError;
use crate::admission::{Operation, Request};
use crate::auth::fields;
use crate::registry::Served;

const GROUP: &str = "admissionregistration.k8s.io";
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// A webhook that is to be asked.
#[derive(Clone)]
pub(super) struct Hook {
    /// Configuration and name: unique.
    pub id: String,
    pub name: String,
    pub value: Value,
    /// The resource as the webhook's rules name it.
    pub served: Option<Arc<Served>>,
}

impl Hook {
    pub fn fails_open(&self) -> bool {
        self.value["failurePolicy"] == "Ignore"
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.value["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_SECONDS))
    }

    pub fn is_reinvoked(&self) -> bool {
        self.value["reinvocationPolicy"] == "IfNeeded"
    }

    pub fn has_side_effects(&self) -> bool {
        !matches!(fields::text(&self.value, "/sideEffects"), "None" | "NoneOnDryRun")
    }
}

impl Caller {
    /// The webhooks of `resource` (a kind of configuration) that `request` is for, in order.
    ///
    /// # Errors
    /// When a webhook's conditions cannot be judged and it must not be passed over.
    pub(super) async fn hooks(&self, resource: &str, request: &Request) -> Result<Vec<Hook>, ApiError> {
        let mut configurations = self.objects.list(GROUP, resource, "").await;
        // Webhooks cannot lock out the configurations that would remove them.
        if configurations.is_empty() || request.resource.group == GROUP {
            return Ok(Vec::new());
        }
        configurations.sort_by(|a, b| fields::name(a).cmp(fields::name(b)));
        let labels = self.namespace_labels(request).await;
        let mut found = Vec::new();
        for configuration in &configurations {
            for (index, hook) in fields::list(configuration, "/webhooks").iter().enumerate() {
                let id = format!("{}/{}/{index}", fields::name(configuration), fields::text(hook, "/name"));
                found.extend(self.matching(id, hook, request, labels.as_ref())?);
            }
        }
        Ok(found)
    }

    fn matching(
        &self,
        id: String,
        hook: &Value,
        request: &Request,
        namespace: Option<&Value>,
    ) -> Result<Option<Hook>, ApiError> {
        let Some(served) = self.by_rules(hook, request) else { return Ok(None) };
        if !selected(&hook["namespaceSelector"], namespace) || !is_object_selected(hook, request) {
            return Ok(None);
        }
        let hook =
            Hook { id, name: fields::text(hook, "/name").to_owned(), value: hook.clone(), served: served.0 };
        if fields::list(&hook.value, "/matchConditions").is_empty() {
            return Ok(Some(hook));
        }
        match conditions::evaluate(&hook.value, &asked(&hook, request, "")) {
            Match::Yes => Ok(Some(hook)),
            Match::No => Ok(None),
            Match::Failed(_) if hook.fails_open() => Ok(None),
            Match::Failed(why) => Err(request.forbidden(why)),
        }
    }

    /// The resource as the rules name it; none if they do not.
    fn by_rules(&self, hook: &Value, request: &Request) -> Option<Named> {
        let (group, resource) = (request.resource.group.as_str(), request.resource.resource.as_str());
        let rules = fields::list(hook, "/rules");
        let names = |group: &str, version: &str| {
            rules.iter().any(|rule| fits(rule, request, group, version, resource))
        };
        let found = |version: &str| Named(self.registry.find(group, version, resource));
        if names(group, &request.version) {
            return Some(found(&request.version));
        }
        if hook["matchPolicy"] == "Exact" {
            return None;
        }
        self.registry
            .equivalents(group, resource)
            .into_iter()
            .find(|served| names(&served.group, &served.version))
            .map(|served| Named(Some(served)))
    }

    /// The labels that a namespaceSelector looks at; none for what is in no namespace.
    async fn namespace_labels(&self, request: &Request) -> Option<Value> {
        if request.is("", "namespaces")
            || (request.resource.resource == "namespaces" && request.resource.group.is_empty())
        {
            let object = request.object.as_ref().or(request.old.as_ref());
            return Some(object.map(|object| object["metadata"]["labels"].clone()).unwrap_or_default());
        }
        if request.namespace.is_empty() {
            return None;
        }
        let namespace = self.objects.get("", "namespaces", "", &request.namespace).await;
        Some(namespace.map(|namespace| namespace["metadata"]["labels"].clone()).unwrap_or_default())
    }
}

struct Named(Option<Arc<Served>>);

fn fits(rule: &Value, request: &Request, group: &str, version: &str, resource: &str) -> bool {
    let among = |field: &str, wanted: &str| fields::texts(rule, field).any(|own| own == "*" || own == wanted);
    let operation = match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    };
    let scope = match fields::text(rule, "/scope") {
        "Namespaced" => !request.namespace.is_empty() && !request.is("", "namespaces"),
        "Cluster" => request.namespace.is_empty() || request.is("", "namespaces"),
        _ => true,
    };
    scope
        && among("/operations", operation)
        && among("/apiGroups", group)
        && among("/apiVersions", version)
        && fields::texts(rule, "/resources").any(|own| names_resource(own, resource, &request.subresource))
}

/// `pods`, `*`, `pods/status`, `pods/*`, `*/scale`, `*/*`.
fn names_resource(own: &str, resource: &str, subresource: &str) -> bool {
    let (own, own_sub) = own.split_once('/').unwrap_or((own, ""));
    (own == "*" || own == resource) && (own_sub == subresource || own_sub == "*")
}

/// A selector that cannot be read was refused when it was written, so it selects nothing.
fn selected(selector: &Value, labels: Option<&Value>) -> bool {
    match (selector.is_null(), labels) {
        (true, _) | (_, None) => true,
        (false, Some(labels)) => {
            LabelSelector::from_value(selector).is_ok_and(|selector| selector.matches_value(Some(labels)))
        }
    }
}

/// Either state is enough: a webhook also sees what leaves its selector.
fn is_object_selected(hook: &Value, request: &Request) -> bool {
    let selector = &hook["objectSelector"];
    if selector.is_null() || selector.as_object().is_some_and(serde_json::Map::is_empty) {
        return true;
    }
    let none = Value::Null;
    let states = [&request.object, &request.old];
    states
        .into_iter()
        .flatten()
        .any(|object| selected(selector, Some(object["metadata"].get("labels").unwrap_or(&none))))
}
