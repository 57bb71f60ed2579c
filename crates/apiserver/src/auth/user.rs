//! An identity: what authentication finds out and everything after it asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Groups with a meaning of their own.
pub mod group {
    pub const MASTERS: &str = "system:masters";
    pub const AUTHENTICATED: &str = "system:authenticated";
    pub const UNAUTHENTICATED: &str = "system:unauthenticated";
    pub const NODES: &str = "system:nodes";
    pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
}

/// User names with a meaning of their own.
pub mod name {
    pub const ANONYMOUS: &str = "system:anonymous";
    pub const APISERVER: &str = "system:apiserver";
    pub const SCHEDULER: &str = "system:kube-scheduler";
    pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
    pub const NODE_PREFIX: &str = "system:node:";
    pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
}

/// The extra keys that upstream's service-account and client-certificate authenticators set.
pub mod extra {
    pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
    pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
    pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
    pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
    pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
}

/// A user as `authentication.k8s.io/v1` describes it. Travels as a request extension.
///
/// Upstream: k8s.io/apiserver/pkg/authentication/user, `Info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    #[serde(rename = "username")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// `name` in `groups`, without uid or extra.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { name: name.into(), groups, ..Self::default() }
    }

    pub fn anonymous() -> Self {
        Self::new(name::ANONYMOUS, &[group::UNAUTHENTICATED])
    }

    /// The server's own identity: above authorization, never above admission.
    pub fn apiserver() -> Self {
        Self::new(name::APISERVER, &[group::MASTERS, group::AUTHENTICATED])
    }

    pub fn node(node: &str) -> Self {
        Self::new(format!("{}{node}", name::NODE_PREFIX), &[group::NODES, group::AUTHENTICATED])
    }

    /// A component or controller that authenticates without a certificate, in process.
    pub fn component(name: &str) -> Self {
        Self::new(name, &[group::AUTHENTICATED])
    }

    /// The service account `account` of `namespace`, as its tokens identify it.
    pub fn service_account(namespace: &str, account: &str, uid: &str) -> Self {
        let groups = [
            group::SERVICE_ACCOUNTS.to_owned(),
            format!("{}:{namespace}", group::SERVICE_ACCOUNTS),
            group::AUTHENTICATED.to_owned(),
        ];
        Self {
            name: format!("{}{namespace}:{account}", name::SERVICE_ACCOUNT_PREFIX),
            uid: uid.to_owned(),
            groups: groups.into(),
            extra: BTreeMap::new(),
        }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node that this identity is, if it is a node's.
    ///
    /// Upstream: pkg/auth/nodeidentifier.
    pub fn as_node(&self) -> Option<&str> {
        let node = self.name.strip_prefix(name::NODE_PREFIX)?;
        self.is_in(group::NODES).then_some(node).filter(|node| !node.is_empty())
    }

    /// Namespace and name of the service account that this identity is, if it is one's.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        let (namespace, account) = self.name.strip_prefix(name::SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (!namespace.is_empty() && !account.is_empty() && !account.contains(':'))
            .then_some((namespace, account))
    }

    pub fn extra_value(&self, key: &str) -> Option<&str> {
        self.extra.get(key)?.first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_of_system_nodes_is_a_node() {
        assert_eq!(UserInfo::node("a").as_node(), Some("a"));
        assert_eq!(UserInfo::new("system:node:a", &[]).as_node(), None);
        assert_eq!(UserInfo::new("system:node:", &[group::NODES]).as_node(), None);
    }

    #[test]
    fn service_account_names_have_two_parts() {
        assert_eq!(UserInfo::service_account("a", "b", "1").as_service_account(), Some(("a", "b")));
        assert_eq!(UserInfo::new("system:serviceaccount:a:b:c", &[]).as_service_account(), None);
    }
}
