//! Brings the live roles and bindings up to the built-in policy, at every start.
//!
//! Adds what is missing and takes nothing away; an object whose autoupdate annotation is "false" is left alone.
//! Upstream: pkg/registry/rbac/rest/storage_rbac.go; pkg/registry/rbac/reconciliation.

use bytes::Bytes;
use futures::stream::{self, TryStreamExt};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::policy::AUTOUPDATE;
use super::rule::missing;
use super::{GROUP, Policy, PolicyObject, Rule};
use crate::auth::{UserInfo, fields};
use crate::serve::Handler;
use crate::{BoxError, Request, body};

/// Writes at a time: the store commits them together.
const AT_ONCE: usize = 32;

/// Why the policy could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("{method} {path} answered {status}: {message}")]
    Refused { method: Method, path: String, status: StatusCode, message: String },
    #[error("cannot read the answer to {method} {path}")]
    Read { method: Method, path: String, source: BoxError },
}

/// Makes the policy true. Namespaces kube-system and kube-public must exist.
///
/// # Errors
/// When the server refuses a write.
pub async fn ensure(handler: &dyn Handler) -> Result<(), BootstrapError> {
    let mut policy = Policy::builtin();
    aggregate(&mut policy.roles);
    // Bindings come last: they name roles.
    for objects in [&policy.roles, &policy.bindings] {
        let present = present(handler, objects).await?;
        let writes = objects.iter().filter_map(|wanted| {
            let live = present.iter().find(|live| same(live, wanted));
            plan(live, wanted)
        });
        let writes: Vec<Write> = writes.collect();
        stream::iter(writes.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |write| write.carry_out(handler))
            .await?;
    }
    Ok(())
}

/// Writes the union into roles that aggregate, as upstream's controller would a moment later.
fn aggregate(roles: &mut [PolicyObject]) {
    // Backwards: the policy names `admin` before `edit` before `view`, and each takes in the next.
    for at in (0..roles.len()).rev() {
        let selectors = fields::list(&roles[at].object, "/aggregationRule/clusterRoleSelectors").to_vec();
        let selected = |role: &PolicyObject| {
            selectors.iter().filter_map(|selector| selector["matchLabels"].as_object()).any(|wanted| {
                wanted
                    .iter()
                    .all(|(label, value)| role.object["metadata"]["labels"].get(label) == Some(value))
            })
        };
        if selectors.is_empty() {
            continue;
        }
        let sources = roles.iter().filter(|role| selected(role));
        let union: Vec<Value> =
            sources.flat_map(|role| fields::list(&role.object, "/rules").to_vec()).collect();
        roles[at].object["rules"] = json!(union);
    }
}

/// One write that is due.
#[derive(Debug, PartialEq)]
enum Write {
    Create(PolicyObject),
    Update(PolicyObject),
    /// A binding's role cannot be changed.
    Replace(PolicyObject),
}

impl Write {
    async fn carry_out(self, handler: &dyn Handler) -> Result<(), BootstrapError> {
        match self {
            Self::Create(object) => create(handler, &object).await,
            Self::Update(object) => {
                call(handler, Method::PUT, item(&object), Some(&object.object)).await.map(drop)
            }
            Self::Replace(object) => {
                call(handler, Method::DELETE, item(&object), None).await?;
                create(handler, &object).await
            }
        }
    }
}

async fn create(handler: &dyn Handler, object: &PolicyObject) -> Result<(), BootstrapError> {
    let path = collection(object.resource, fields::namespace(&object.object));
    match call(handler, Method::POST, path, Some(&object.object)).await {
        // Another server of the same cluster was faster.
        Err(BootstrapError::Refused { status: StatusCode::CONFLICT, .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// What is missing from `live`. Pure.
fn plan(live: Option<&Value>, wanted: &PolicyObject) -> Option<Write> {
    let Some(live) = live else { return Some(Write::Create(wanted.clone())) };
    if live["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return None;
    }
    if wanted.object["roleRef"] != live["roleRef"] {
        return Some(Write::Replace(wanted.clone()));
    }
    let mut merged = live.clone();
    merge_metadata(&mut merged, &wanted.object);
    merge_rules(&mut merged, &wanted.object);
    merge_subjects(&mut merged, &wanted.object);
    let wanted_rule = &wanted.object["aggregationRule"];
    if !wanted_rule.is_null() && merged["aggregationRule"].is_null() {
        merged["aggregationRule"] = wanted_rule.clone();
    }
    (merged != *live).then_some(Write::Update(PolicyObject { resource: wanted.resource, object: merged }))
}

fn merge_metadata(live: &mut Value, wanted: &Value) {
    for part in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][part].as_object().into_iter().flatten() {
            live["metadata"][part][key] = value.clone();
        }
    }
}

fn merge_rules(live: &mut Value, wanted: &Value) {
    let held = Rule::of(live);
    let lacking = fields::list(wanted, "/rules").iter().filter(|rule| {
        let rule = Rule::of(&json!({"rules": [rule]}));
        !missing(&held, &rule).is_empty()
    });
    append(live, "rules", lacking.cloned().collect());
}

fn merge_subjects(live: &mut Value, wanted: &Value) {
    let lacking = fields::list(wanted, "/subjects").iter().filter(|wanted| {
        let same = |live: &&Value| ["kind", "name", "namespace"].iter().all(|key| live[*key] == wanted[*key]);
        !fields::list(live, "/subjects").iter().any(|live| same(&live))
    });
    let lacking = lacking.cloned().collect();
    append(live, "subjects", lacking);
}

fn append(object: &mut Value, field: &str, mut more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    match object[field].as_array_mut() {
        Some(list) => list.append(&mut more),
        None => object[field] = json!(more),
    }
}

fn same(live: &Value, wanted: &PolicyObject) -> bool {
    live["kind"] == wanted.object["kind"]
        && fields::name(live) == fields::name(&wanted.object)
        && fields::namespace(live) == fields::namespace(&wanted.object)
}

/// The live objects of the resources that `objects` are of, each with its kind.
async fn present(handler: &dyn Handler, objects: &[PolicyObject]) -> Result<Vec<Value>, BootstrapError> {
    let mut resources: Vec<&str> = objects.iter().map(|object| object.resource).collect();
    resources.sort_unstable();
    resources.dedup();
    let mut all = Vec::new();
    for resource in resources {
        let answer = call(handler, Method::GET, collection(resource, ""), None).await?;
        let kind = fields::text(&answer, "/kind").trim_end_matches("List");
        // Items of a list carry no kind of their own.
        all.extend(fields::list(&answer, "/items").iter().map(|item| {
            let mut item = item.clone();
            item["kind"] = json!(kind);
            item["apiVersion"] = json!(format!("{GROUP}/v1"));
            item
        }));
    }
    Ok(all)
}

fn collection(resource: &str, namespace: &str) -> String {
    match namespace {
        "" => format!("/apis/{GROUP}/v1/{resource}"),
        namespace => format!("/apis/{GROUP}/v1/namespaces/{namespace}/{resource}"),
    }
}

fn item(object: &PolicyObject) -> String {
    let collection = collection(object.resource, fields::namespace(&object.object));
    format!("{collection}/{}", fields::name(&object.object))
}

async fn call(
    handler: &dyn Handler,
    method: Method,
    path: String,
    object: Option<&Value>,
) -> Result<Value, BootstrapError> {
    let sent = object.map_or_else(Bytes::new, |object| object.to_string().into());
    let mut request = Request::new(body::full(sent));
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.parse().expect("names of the policy need no escaping");
    let json = header::HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::ACCEPT, json.clone());
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    request.extensions_mut().insert(UserInfo::apiserver());
    let response = handler.handle(request).await;
    let status = response.status();
    let bytes = match response.into_body().collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(source) => return Err(BootstrapError::Read { method, path, source }),
    };
    let answer: Value = match serde_json::from_slice(&bytes) {
        Ok(answer) => answer,
        Err(error) => return Err(BootstrapError::Read { method, path, source: error.into() }),
    };
    match status.is_success() {
        true => Ok(answer),
        false => {
            let message = fields::text(&answer, "/message").to_owned();
            Err(BootstrapError::Refused { method, path, status, message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_current_is_not_written() {
        let mut policy = Policy::builtin();
        aggregate(&mut policy.roles);
        for wanted in policy.roles.iter().chain(&policy.bindings) {
            assert_eq!(plan(Some(&wanted.object), wanted), None);
        }
    }

    #[test]
    fn admin_takes_in_edit_and_view() {
        let mut policy = Policy::builtin();
        aggregate(&mut policy.roles);
        let rules = |name: &str| {
            let role = policy.roles.iter().find(|role| fields::name(&role.object) == name).unwrap();
            Rule::of(&role.object)
        };
        let (admin, edit, view) = (rules("admin"), rules("edit"), rules("view"));
        assert!(missing(&admin, &edit).is_empty() && missing(&edit, &view).is_empty());
        assert!(!missing(&view, &edit).is_empty());
    }

    #[test]
    fn missing_rules_are_added_and_foreign_ones_stay() {
        let wanted = &Policy::builtin().roles[1];
        let mut live = wanted.object.clone();
        live["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["mine"]}]);
        let Some(Write::Update(updated)) = plan(Some(&live), wanted) else { panic!("an update is due") };
        assert_eq!(fields::list(&updated.object, "/rules").len(), 2);
        live["metadata"]["annotations"][AUTOUPDATE] = json!("false");
        assert_eq!(plan(Some(&live), wanted), None);
    }

    #[test]
    fn a_binding_to_another_role_is_replaced() {
        let wanted = &Policy::builtin().bindings[0];
        let mut live = wanted.object.clone();
        live["roleRef"]["name"] = json!("view");
        assert_eq!(plan(Some(&live), wanted), Some(Write::Replace(wanted.clone())));
    }
}
