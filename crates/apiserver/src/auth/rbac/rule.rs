//! One rule of a role: what it allows, and which other rules it covers.
//!
//! Upstream: pkg/apis/rbac/v1/evaluation_helpers.go; component-helpers/auth/rbac/validation.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Attributes;

/// `PolicyRule` of rbac.authorization.k8s.io/v1.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    pub verbs: Vec<String>,
}

impl Rule {
    /// The rules of a role. What is malformed allows nothing.
    pub fn of(role: &Value) -> Vec<Self> {
        let read = |rule: &Value| {
            Self::deserialize(rule).inspect_err(|error| {
            tracing::warn!(%error, role = %role["metadata"]["name"], "a rule that cannot be read allows nothing");
        })
        };
        role["rules"].as_array().map_or_else(Vec::new, |rules| rules.iter().flat_map(read).collect())
    }

    /// What cluster-admin holds.
    pub fn everything() -> [Self; 2] {
        let star = || vec!["*".to_owned()];
        [
            Self { verbs: star(), api_groups: star(), resources: star(), ..Self::default() },
            Self { verbs: star(), non_resource_urls: star(), ..Self::default() },
        ]
    }

    pub fn allows(&self, attributes: &Attributes) -> bool {
        has(&self.verbs, &attributes.verb)
            && match attributes.is_resource {
                true => {
                    has(&self.api_groups, &attributes.group)
                        && self.has_resource(&attributes.resource, &attributes.subresource)
                        && self.has_name(&attributes.name)
                }
                false => self.has_url(&attributes.path),
            }
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|allowed| match allowed.split_once('/') {
            _ if allowed == "*" => true,
            None => subresource.is_empty() && allowed == resource,
            Some((wanted, sub)) => {
                // A star stands for every resource only before a subresource, never after the slash.
                !subresource.is_empty() && sub == subresource && (wanted == "*" || wanted == resource)
            }
        })
    }

    fn has_name(&self, name: &str) -> bool {
        self.resource_names.is_empty() || self.resource_names.iter().any(|allowed| allowed == name)
    }

    fn has_url(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => allowed == path,
        })
    }

    /// Whether everything that `other`, an [atom](Self::atoms), allows is allowed by this rule.
    fn covers(&self, other: &Self) -> bool {
        let all = |ours: &[String], theirs: &[String]| theirs.iter().all(|wanted| has(ours, wanted));
        let resources = || {
            other.resources.iter().all(|wanted| {
                let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
                self.has_resource(resource, subresource)
            })
        };
        let names = || {
            self.resource_names.is_empty()
                || !other.resource_names.is_empty()
                    && other.resource_names.iter().all(|name| self.has_name(name))
        };
        all(&self.verbs, &other.verbs)
            && all(&self.api_groups, &other.api_groups)
            && resources()
            && names()
            && other.non_resource_urls.iter().all(|url| self.has_url(url))
            // A rule about resources says nothing about paths, and the other way round.
            && self.resources.is_empty() == other.resources.is_empty()
    }

    /// The same permission as rules of one verb, group, resource and name each.
    fn atoms(&self) -> Vec<Self> {
        let each = |texts: &[String]| texts.iter().map(|text| vec![text.clone()]).collect::<Vec<_>>();
        let names =
            if self.resource_names.is_empty() { vec![Vec::new()] } else { each(&self.resource_names) };
        let mut atoms = Vec::new();
        for verb in each(&self.verbs) {
            for group in each(&self.api_groups) {
                for resource in each(&self.resources) {
                    atoms.extend(names.iter().map(|name| Self {
                        verbs: verb.clone(),
                        api_groups: group.clone(),
                        resources: resource.clone(),
                        resource_names: name.clone(),
                        ..Self::default()
                    }));
                }
            }
            let urls = each(&self.non_resource_urls);
            atoms.extend(urls.into_iter().map(|url| Self {
                verbs: verb.clone(),
                non_resource_urls: url,
                ..Self::default()
            }));
        }
        atoms
    }
}

/// What of `wanted` is not covered by `held`, in atoms.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let atoms = wanted.iter().flat_map(Rule::atoms);
    atoms.filter(|atom| !held.iter().any(|rule| rule.covers(atom))).collect()
}

/// Atoms joined again where they differ by verb only.
///
/// Upstream: pkg/registry/rbac/validation/policy_compact.go.
pub fn compact(atoms: Vec<Rule>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for atom in atoms {
        let without_verbs = |rule: &Rule| Rule { verbs: Vec::new(), ..rule.clone() };
        let wanted = without_verbs(&atom);
        match rules.iter_mut().find(|rule| without_verbs(rule) == wanted && rule.non_resource_urls.is_empty())
        {
            Some(rule) => rule.verbs.extend(atom.verbs),
            None => rules.push(atom),
        }
    }
    rules
}

/// As upstream prints rules in messages: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let list =
            |texts: &[String]| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" ");
        let parts: Vec<String> = fields
            .iter()
            .filter(|(_, texts)| !texts.is_empty())
            .map(|(name, texts)| format!("{name}:[{}]", list(texts)))
            .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

fn has(allowed: &[String], wanted: &str) -> bool {
    allowed.iter().any(|text| text == "*" || text == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::UserInfo;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn rules_allow() {
        let pods = r#"{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}"#;
        let logs = r#"{"verbs":["get"],"apiGroups":["*"],"resources":["*/log"]}"#;
        let named = r#"{"verbs":["*"],"apiGroups":[""],"resources":["pods"],"resourceNames":["a"]}"#;
        let all = r#"{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}"#;
        let paths = r#"{"verbs":["get"],"nonResourceURLs":["/healthz","/api/*"]}"#;
        let cases = [
            (pods, "get", "pods", "", "a", true),
            (pods, "list", "pods", "", "", false),
            (pods, "get", "pods", "log", "a", false),
            (logs, "get", "pods", "log", "a", true),
            (logs, "get", "pods", "", "a", false),
            (named, "delete", "pods", "", "a", true),
            (named, "delete", "pods", "", "b", false),
            (named, "create", "pods", "", "", false),
            (all, "bind", "roles", "x", "y", true),
            (paths, "get", "/healthz", "", "", false),
        ];
        for (json, verb, resource, subresource, name, expected) in cases {
            let attributes = Attributes {
                subresource: subresource.into(),
                name: name.into(),
                ..Attributes::resource(&UserInfo::anonymous(), verb, "", resource)
            };
            assert_eq!(rule(json).allows(&attributes), expected, "{json} {attributes:?}");
        }
        for (path, expected) in
            [("/healthz", true), ("/healthz/x", false), ("/api/v1", true), ("/api", false)]
        {
            let attributes = Attributes::path(&UserInfo::anonymous(), "get", path);
            assert_eq!(rule(paths).allows(&attributes), expected, "{path}");
            assert!(!rule(all).allows(&attributes), "resources are no paths");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let held = [rule(r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","*/scale"]}"#)];
        let wanted = [
            rule(r#"{"verbs":["get","list","delete","patch"],"apiGroups":[""],"resources":["pods"]}"#),
            rule(r#"{"verbs":["get"],"apiGroups":[""],"resources":["a/scale"],"resourceNames":["n"]}"#),
            rule(r#"{"verbs":["get"],"nonResourceURLs":["/x"]}"#),
        ];
        let texts: Vec<String> = compact(missing(&held, &wanted)).iter().map(Rule::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}"#,
                r#"{NonResourceURLs:["/x"], Verbs:["get"]}"#
            ]
        );
    }
}
