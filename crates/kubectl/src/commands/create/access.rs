//! `create role`, `rolebinding` and their cluster-wide kin.

use serde_json::{Value, json};

use super::generate::{flags, make, name};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};

const VERB: Flag = Flag::list("verb", "What may be done.");
const RESOURCE: Flag = Flag::list("resource", "With what (resource.group/subresource).");
const RESOURCE_NAME: Flag = Flag::each("resource-name", "With which objects alone.");
const USER: Flag = Flag::each("user", "A user to bind.");
const GROUP: Flag = Flag::each("group", "A group to bind.");
const ACCOUNT: Flag = Flag::each("serviceaccount", "A service account to bind (namespace:name).");

pub const ROLE: Command = Command::new(
    "role",
    "Create a role with single rule",
    "NAME --verb=verb --resource=resource.group/subresource",
)
.flags(flags![VERB, RESOURCE, RESOURCE_NAME])
.run(|cx| Box::pin(role(cx, "Role")));

pub const CLUSTER_ROLE: Command =
    Command::new("clusterrole", "Create a cluster role", "NAME --verb=verb --resource=resource.group")
        .flags(flags![
            VERB,
            RESOURCE,
            RESOURCE_NAME,
            Flag::list("non-resource-url", "Paths of the server that are no resources."),
            Flag::list("aggregation-rule", "Labels of the roles to combine."),
        ])
        .run(|cx| Box::pin(role(cx, "ClusterRole")));

pub const ROLE_BINDING: Command = Command::new(
    "rolebinding",
    "Create a role binding for a particular role or cluster role",
    "NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname]",
)
.flags(flags![Flag::text("clusterrole", "The cluster role."), Flag::text("role", "The role."), USER, GROUP, ACCOUNT])
.run(|cx| Box::pin(binding(cx, "RoleBinding")));

pub const CLUSTER_ROLE_BINDING: Command = Command::new(
    "clusterrolebinding",
    "Create a cluster role binding for a particular cluster role",
    "NAME --clusterrole=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname]",
)
.flags(flags![Flag::text("clusterrole", "The cluster role."), USER, GROUP, ACCOUNT])
.run(|cx| Box::pin(binding(cx, "ClusterRoleBinding")));

async fn role(cx: Context, kind: &str) -> Result {
    let name = name(&cx)?;
    let mut object =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}});
    let aggregation = cx.flags.list("aggregation-rule");
    if !aggregation.is_empty() {
        object["aggregationRule"] =
            json!({"clusterRoleSelectors": [{"matchLabels": super::generate::pairs(&aggregation)?}]});
        object["rules"] = Value::Null;
        return make(&cx, object).await;
    }
    object["rules"] = Value::Array(rules(&cx).await?);
    make(&cx, object).await
}

async fn rules(cx: &Context) -> Result<Vec<Value>> {
    let mut verbs = cx.flags.list("verb");
    if verbs.is_empty() {
        return Err(Error::said("at least one verb must be specified"));
    }
    if verbs.iter().any(|verb| verb == "*") {
        verbs = vec!["*".into()];
    }
    let (resources, urls) = (cx.flags.list("resource"), cx.flags.list("non-resource-url"));
    let names = cx.flags.list("resource-name");
    if resources.is_empty() && urls.is_empty() {
        return Err(Error::said(if cx.path.ends_with("clusterrole") {
            "one of resource or nonResourceURL must be specified"
        } else {
            "at least one resource must be specified"
        }));
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for resource in &resources {
        let (typed, sub) =
            resource.split_once('/').map_or((resource.as_str(), ""), |(typed, sub)| (typed, sub));
        let (group, plural) = if typed == "*" {
            (String::new(), "*".to_owned())
        } else {
            match cx.resource(typed).await {
                Ok(found) => (found.group, found.plural),
                Err(_) => {
                    let error = crate::discovery::no_such_type(typed);
                    return Err(Error::said(error.to_string()));
                }
            }
        };
        let full = if sub.is_empty() { plural } else { format!("{plural}/{sub}") };
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, list)) => list.push(full),
            None => groups.push((group, vec![full])),
        }
    }
    groups.sort();
    let mut rules: Vec<Value> = groups
        .into_iter()
        .map(|(group, resources)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        })
        .collect();
    if !urls.is_empty() {
        rules.push(json!({"nonResourceURLs": urls, "verbs": verbs}));
    }
    Ok(rules)
}

async fn binding(cx: Context, kind: &str) -> Result {
    let name = name(&cx)?;
    let (cluster_role, role) = (cx.flags.text("clusterrole"), cx.flags.text("role"));
    let reference = match (cluster_role.is_empty(), role.is_empty()) {
        (false, true) => {
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role})
        }
        (true, false) => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}),
        _ if kind == "ClusterRoleBinding" => {
            return Err(Error::said("required flag(s) \"clusterrole\" not set"));
        }
        _ => return Err(Error::said("exactly one of clusterrole or role must be specified")),
    };
    let subjects = subjects(&cx)?;
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "roleRef": reference,
    });
    if !subjects.is_empty() {
        object["subjects"] = Value::Array(subjects);
    }
    make(&cx, object).await
}

/// Who the flags name.
pub fn subjects(cx: &Context) -> Result<Vec<Value>> {
    let mut subjects = Vec::new();
    for (flag, kind) in [("user", "User"), ("group", "Group")] {
        let named = cx.flags.list(flag);
        subjects.extend(
            named
                .iter()
                .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})),
        );
    }
    for account in cx.flags.list("serviceaccount") {
        let (namespace, name) = account
            .split_once(':')
            .filter(|(a, b)| !a.is_empty() && !b.is_empty())
            .ok_or_else(|| Error::said("serviceaccount must be <namespace>:<name>"))?;
        subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
    }
    Ok(subjects)
}
