//! The roles and bindings that every cluster has, read from `policy.txt`.
//!
//! A line of the file is one of
//! - `clusterrole NAME [to=ROLE]…` (`to`: aggregated into that role), `role NAMESPACE NAME`;
//! - `aggregated NAME [to=ROLE]…`: a ClusterRole that is the union of those with `to=NAME`;
//! - a rule, indented: `VERBS GROUPS RESOURCES [names=NAMES]` (`core` for the group without name) or `VERBS url PATHS`;
//!   lists are separated by commas, `$name` stands for a list defined by `let name LIST`;
//! - `bind NAME SUBJECT…`: a ClusterRoleBinding to the ClusterRole of the same name;
//! - `bindin NAMESPACE NAME ROLE SUBJECT…`: a RoleBinding; subjects are `User:NAME`, `Group:NAME`, `Account:NS/NAME`;
//! - `controller NAME`: ClusterRole `system:controller:NAME`, bound to the account kube-system/NAME.
//!
//! Upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{GROUP, Rule};

const TEXT: &str = include_str!("policy.txt");
const LABEL: &str = "kubernetes.io/bootstrapping";
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// One object of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyObject {
    /// `clusterroles`, `roles`, `clusterrolebindings` or `rolebindings`.
    pub resource: &'static str,
    pub object: Value,
}

/// All objects of the policy, roles before bindings.
#[derive(Debug, Default)]
pub struct Policy {
    pub roles: Vec<PolicyObject>,
    pub bindings: Vec<PolicyObject>,
}

impl Policy {
    /// The policy that is compiled in.
    pub fn builtin() -> Self {
        let mut reader = Reader::default();
        for line in TEXT.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [comment, ..] if comment.starts_with('#') => {}
                words if line.starts_with(' ') => reader.rule(words),
                [keyword, rest @ ..] => reader.object(keyword, rest),
            }
        }
        reader.policy
    }
}

#[derive(Default)]
struct Reader {
    policy: Policy,
    lists: HashMap<&'static str, Vec<String>>,
}

impl Reader {
    fn object(&mut self, keyword: &str, words: &[&'static str]) {
        match (keyword, words) {
            ("let", [name, list]) => {
                let list = self.list(list);
                self.lists.insert(name, list);
            }
            ("clusterrole", [name, to @ ..]) => self.role("", name, to),
            ("role", [namespace, name]) => self.role(namespace, name, &[]),
            ("aggregated", [name, to @ ..]) => {
                self.role("", name, to);
                let selector = json!({"matchLabels": {aggregation_label(name): "true"}});
                self.last()["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
            }
            ("bind", [name, subjects @ ..]) => self.binding("", name, ("ClusterRole", name), subjects),
            ("bindin", [namespace, name, role, subjects @ ..]) => {
                self.binding(namespace, name, ("Role", role), subjects);
            }
            ("controller", [name]) => {
                let role = format!("system:controller:{name}");
                self.role("", &role, &[]);
                self.binding("", &role, ("ClusterRole", &role), &[&format!("Account:kube-system/{name}")]);
            }
            _ => unreachable!("policy.txt is part of the program, and a test reads it"),
        }
    }

    fn role(&mut self, namespace: &str, name: &str, to: &[&str]) {
        let (resource, kind) =
            if namespace.is_empty() { ("clusterroles", "ClusterRole") } else { ("roles", "Role") };
        let mut object = object(kind, namespace, name);
        for role in to.iter().filter_map(|word| word.strip_prefix("to=")) {
            object["metadata"]["labels"][aggregation_label(role)] = json!("true");
        }
        object["rules"] = json!([]);
        self.policy.roles.push(PolicyObject { resource, object });
    }

    fn last(&mut self) -> &mut Value {
        &mut self.policy.roles.last_mut().expect("a rule follows its role").object
    }

    fn rule(&mut self, words: &[&str]) {
        let (verbs, rest) = words.split_first().expect("the line is not empty");
        let mut rule = Rule { verbs: self.list(verbs), ..Rule::default() };
        match rest {
            ["url", urls] => rule.non_resource_urls = self.list(urls),
            [groups, resources, names @ ..] => {
                rule.api_groups = self.list(groups);
                rule.resources = self.list(resources);
                let names = names.first().and_then(|names| names.strip_prefix("names="));
                rule.resource_names = names.map_or_else(Vec::new, |names| self.list(names));
            }
            _ => unreachable!("policy.txt is part of the program, and a test reads it"),
        }
        let rule = serde_json::to_value(rule).expect("a rule is plain data");
        self.last()["rules"].as_array_mut().expect("roles begin with no rules").push(rule);
    }

    fn list(&self, text: &str) -> Vec<String> {
        let expand = |word: &str| match word.strip_prefix('$') {
            Some(name) => self.lists.get(name).cloned().expect("lists are defined before they are used"),
            None if word == "core" => vec![String::new()],
            None => vec![word.to_owned()],
        };
        text.split(',').flat_map(expand).collect()
    }

    fn binding(&mut self, namespace: &str, name: &str, role: (&str, &str), subjects: &[&str]) {
        let (resource, kind) = match namespace {
            "" => ("clusterrolebindings", "ClusterRoleBinding"),
            _ => ("rolebindings", "RoleBinding"),
        };
        let mut object = object(kind, namespace, name);
        object["roleRef"] = json!({"apiGroup": GROUP, "kind": role.0, "name": role.1});
        if !subjects.is_empty() {
            object["subjects"] = subjects.iter().map(|text| subject(text)).collect();
        }
        self.policy.bindings.push(PolicyObject { resource, object });
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name, "labels": {LABEL: "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"}},
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').expect("a subject has a kind");
    match (kind, name.split_once('/')) {
        ("Account", Some((namespace, name))) => {
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        _ => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
    }
}

fn aggregation_label(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_policy_reads_and_every_binding_has_its_role() {
        let policy = Policy::builtin();
        let name = |object: &PolicyObject| object.object["metadata"]["name"].as_str().unwrap().to_owned();
        let roles: BTreeSet<String> = policy.roles.iter().map(name).collect();
        assert_eq!(roles.len() + 1, policy.roles.len(), "only bootstrap-signer stands in two namespaces");
        for binding in &policy.bindings {
            let role = binding.object["roleRef"]["name"].as_str().unwrap();
            assert!(roles.contains(role), "{role}");
        }
        for role in &policy.roles {
            assert!(
                role.object.get("aggregationRule").is_some() || !Rule::of(&role.object).is_empty(),
                "{} has no rules",
                name(role)
            );
        }
    }
}
