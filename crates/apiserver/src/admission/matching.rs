//! Whether rules and selectors mean a write: of admission policies and their bindings (and of webhooks, whose rules are
//! the same).
//!
//! Upstream: apiserver/pkg/admission/plugin/policy/matching, plugin/webhook/predicates.

use api::selector::LabelSelector;
use serde_json::Value;

use super::{Operation, Request};

fn operation(request: &Request) -> &'static str {
    match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().into_iter().flatten().any(|item| item == "*" || item == wanted)
}

/// Whether one rule means the write. `namespaced`: the resource is.
pub fn rule_matches(rule: &Value, request: &Request, namespaced: bool) -> bool {
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => namespaced,
        Some("Cluster") => !namespaced,
        _ => true,
    };
    let names = &rule["resourceNames"];
    let named = names.as_array().is_none_or(Vec::is_empty) || has(names, &request.name);
    // Equivalent is the default: what one version means, all versions mean.
    scope
        && named
        && has(&rule["operations"], operation(request))
        && has(&rule["apiGroups"], &request.resource.group)
        && rule["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|own| resource(own, request))
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, `*`, `*/*`.
fn resource(pattern: &str, request: &Request) -> bool {
    let (resource, subresource) = match pattern.split_once('/') {
        Some((resource, subresource)) => (resource, subresource),
        None => (pattern, ""),
    };
    (resource == "*" || resource == request.resource.resource)
        && (subresource == "*" || subresource == request.subresource)
}

/// Whether a `MatchResources` means the write.
pub fn resources_match(matching: &Value, request: &Request, namespace: &Value, namespaced: bool) -> bool {
    let any = |rules: &Value| {
        rules.as_array().into_iter().flatten().any(|rule| rule_matches(rule, request, namespaced))
    };
    let rules = &matching["resourceRules"];
    let included = rules.as_array().is_none_or(Vec::is_empty) || any(rules);
    included
        && !any(&matching["excludeResourceRules"])
        && namespace_matches(&matching["namespaceSelector"], request, namespace)
        && object_matches(&matching["objectSelector"], request)
}

/// Whether the labels of the write's namespace are selected; cluster-scoped objects have none and always are.
pub fn namespace_matches(selector: &Value, request: &Request, namespace: &Value) -> bool {
    let is_namespace = request.is("", "namespaces");
    let labels = match is_namespace {
        true => request.object.as_ref().or(request.old.as_ref()).map(|own| &own["metadata"]["labels"]),
        false if request.namespace.is_empty() => return true,
        false => Some(&namespace["metadata"]["labels"]),
    };
    selects(selector, labels)
}

/// Whether the object's labels are selected, before or after the write.
pub fn object_matches(selector: &Value, request: &Request) -> bool {
    let labels = |object: &Option<Value>| object.as_ref().map(|object| object["metadata"]["labels"].clone());
    let states = [labels(&request.object), labels(&request.old)];
    is_empty(selector) || states.iter().flatten().any(|labels| selects(selector, Some(labels)))
}

fn is_empty(selector: &Value) -> bool {
    selector.as_object().is_none_or(serde_json::Map::is_empty)
}

fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    if is_empty(selector) {
        return true;
    }
    // A selector that makes no sense was refused when it was written.
    LabelSelector::from_value(selector).is_ok_and(|selector| selector.matches_value(labels))
}
