//! Where objects lie in the store: upstream's layout, so that both can follow each other on one store.
//!
//! Upstream: pkg/kubeapiserver/default_storage_factory_builder.go, `SpecialDefaultResourcePrefixes`.

use bytes::Bytes;

/// Groups whose servers put the group into the key.
const GROUPED: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// The prefix of a built-in resource's keys, ending in `/`.
pub fn prefix(group: &str, resource: &str) -> String {
    let place = match (group, resource) {
        ("", "replicationcontrollers") => "controllers",
        ("", "endpoints") => "services/endpoints",
        ("", "nodes") => "minions",
        ("", "services") => "services/specs",
        ("networking.k8s.io", "ingresses") => "ingress",
        _ if GROUPED.contains(&group) => return format!("/registry/{group}/{resource}/"),
        _ => resource,
    };
    format!("/registry/{place}/")
}

/// The key of one object.
pub fn object(prefix: &str, namespace: &str, name: &str) -> Bytes {
    if namespace.is_empty() { format!("{prefix}{name}") } else { format!("{prefix}{namespace}/{name}") }
        .into()
}

/// Splits a key into its resource's prefix, by asking `known` about ever longer ones, and the rest.
pub fn split<T>(key: &str, known: impl Fn(&str) -> Option<T>) -> Option<(T, &str)> {
    let mut end = crate::cache::ROOT.len();
    // `/registry/pods/…` or `/registry/services/specs/…`
    for _ in 0..2 {
        end += key.get(end..)?.find('/')? + 1;
        if let Some(found) = known(&key[..end]) {
            return Some((found, &key[end..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_upstreams() {
        let cases = [
            ("", "pods", "ns", "/registry/pods/ns/x"),
            ("", "nodes", "", "/registry/minions/x"),
            ("", "services", "ns", "/registry/services/specs/ns/x"),
            ("apps", "deployments", "ns", "/registry/deployments/ns/x"),
            (
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "",
                "/registry/apiextensions.k8s.io/customresourcedefinitions/x",
            ),
        ];
        for (group, resource, namespace, key) in cases {
            let prefix = prefix(group, resource);
            assert_eq!(object(&prefix, namespace, "x"), key);
            let known = |candidate: &str| (candidate == prefix).then_some(());
            let rest = if namespace.is_empty() { "x" } else { "ns/x" };
            assert_eq!(split(key, known), Some(((), rest)));
        }
    }
}
