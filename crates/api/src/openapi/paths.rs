//! The paths of a resource and the operations on each.

use super::definitions::Definitions;
use super::group_version_path;
use super::operations::{Action, Target, operation, parameter};
use crate::schema::{Resource, Subresource};
use serde_json::{Map, Value, json};

/// `/apis/apps/v1/`: the list of its resources.
pub(super) fn of_version(
    found: &mut Definitions<'_>,
    group: &str,
    version: &str,
    paths: &mut Map<String, Value>,
) {
    let list = found.meta("APIResourceList");
    let target =
        Target { group: "", version: "v1", kind: "APIResourceList", id: String::new(), object: Some(list) };
    let mut get = operation(found, Action::Get, &target);
    get["operationId"] = format!("get{}{}APIResources", group_words(group), first_upper(version)).into();
    if let Some(map) = get.as_object_mut() {
        map.retain(|name, _| !name.starts_with("x-kubernetes"));
    }
    paths.insert(format!("/{}/", group_version_path(group, version)), json!({"get": get}));
}

/// `apps` → `Apps`, `rbac.authorization.k8s.io` → `RbacAuthorization`, the core group → `Core`.
pub(super) fn group_words(group: &str) -> String {
    if group.is_empty() {
        return "Core".into();
    }
    group.trim_end_matches(".k8s.io").split(['.', '-']).map(first_upper).collect()
}

fn first_upper(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

pub(super) fn of_resource(found: &mut Definitions<'_>, resource: &Resource, paths: &mut Map<String, Value>) {
    let base = format!("/{}", group_version_path(&resource.group, &resource.version));
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{base}{scope}/{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let object = found.reference(resource.type_id);
    let list = found.list_of(resource.type_id, &resource.group, &resource.version, &resource.kind);
    let names = Names { resource, words: group_words(&resource.group) };

    let on_collection = [
        (Action::List, "list", &list),
        (Action::Create, "create", &object),
        (Action::DeleteCollection, "deletecollection", &list),
    ];
    let on_item = [
        (Action::Get, "get", &object),
        (Action::Replace, "update", &object),
        (Action::Patch, "patch", &object),
        (Action::Delete, "delete", &object),
    ];
    add(found, paths, &collection, &names, &on_collection);
    add(found, paths, &item, &names, &on_item);
    if resource.namespaced && resource.has_verb("list") {
        let target = names.target(&list, "", false);
        let mut get = operation(found, Action::List, &target);
        get["operationId"] = format!("{}ForAllNamespaces", get["operationId"].as_str().unwrap_or("")).into();
        paths.insert(format!("{base}/{}", resource.plural), json!({"get": get}));
    }
    for sub in resource.subresources.iter() {
        add_subresource(found, paths, &item, &names, sub);
    }
}

struct Names<'a> {
    resource: &'a Resource,
    words: String,
}

impl<'a> Names<'a> {
    fn target(&self, object: &Value, sub: &str, namespaced: bool) -> Target<'a> {
        let resource = self.resource;
        let scope = if namespaced { "Namespaced" } else { "" };
        let id = format!(
            "{}{}{scope}{}{}",
            self.words,
            first_upper(&resource.version),
            resource.kind,
            first_upper(sub)
        );
        Target {
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
            id,
            object: Some(object.clone()),
        }
    }
}

fn add(
    found: &mut Definitions<'_>,
    paths: &mut Map<String, Value>,
    path: &str,
    names: &Names<'_>,
    actions: &[(Action, &str, &Value)],
) {
    let resource = names.resource;
    let mut entry = Map::new();
    for (action, verb, object) in actions {
        if resource.has_verb(verb) {
            let target = names.target(object, "", resource.namespaced);
            entry.insert(action.method().into(), operation(found, *action, &target));
        }
    }
    insert(found, paths, path, entry);
}

fn add_subresource(
    found: &mut Definitions<'_>,
    paths: &mut Map<String, Value>,
    item: &str,
    names: &Names<'_>,
    sub: &Subresource,
) {
    let schema = found.schema();
    let object = sub.kind.map(|kind| found.reference(kind));
    let mut entry = Map::new();
    for verb in sub.verbs.iter() {
        let actions: &[Action] = match &**verb {
            "get" => &[Action::Get],
            "update" => &[Action::Replace],
            "patch" => &[Action::Patch],
            "create" => &[Action::Create],
            "connect" => &[Action::Connect],
            _ => &[],
        };
        for action in actions {
            let mut target = names.target(&Value::Null, &sub.name, names.resource.namespaced);
            target.object = object.clone();
            if let Some(kind) = sub.kind.map(|kind| schema.type_ref(kind).get()) {
                (target.group, target.version, target.kind) = (&kind.group, &kind.version, &kind.name);
            }
            entry.insert(action.method().into(), operation(found, *action, &target));
        }
    }
    insert(found, paths, &format!("{item}/{}", sub.name), entry);
}

/// The entry with the parameters that stand in its path.
fn insert(
    found: &Definitions<'_>,
    paths: &mut Map<String, Value>,
    path: &str,
    mut entry: Map<String, Value>,
) {
    if entry.is_empty() {
        return;
    }
    let mut parameters: Vec<Value> = ["name", "namespace"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| parameter(found.form(), name, "path", "string"))
        .collect();
    parameters.push(parameter(found.form(), "pretty", "query", "string"));
    entry.insert("parameters".into(), Value::Array(parameters));
    paths.insert(path.to_owned(), Value::Object(entry));
}
