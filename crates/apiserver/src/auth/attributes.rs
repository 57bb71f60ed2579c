//! What a request wants to do, as authorizers see it.

use super::UserInfo;

/// One action of one user. Empty strings mean "not given", as upstream's attributes do.
///
/// Upstream: k8s.io/apiserver/pkg/authorization/authorizer, `Attributes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: UserInfo,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `bind`, … ; for paths, the
    /// HTTP method in lower case.
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub path: String,
    /// Whether `resource` or `path` names the target.
    pub is_resource: bool,
}

impl Attributes {
    /// `verb` on a resource; the rest is set with struct update syntax.
    pub fn resource(user: &UserInfo, verb: &str, group: &str, resource: &str) -> Self {
        Self {
            user: user.clone(),
            verb: verb.to_owned(),
            group: group.to_owned(),
            version: "*".to_owned(),
            resource: resource.to_owned(),
            is_resource: true,
            ..Self::default()
        }
    }

    /// `verb` on a path that is no resource.
    pub fn path(user: &UserInfo, verb: &str, path: &str) -> Self {
        Self { user: user.clone(), verb: verb.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// `resource` or `resource/subresource`.
    pub fn combined_resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// What a refused client reads after `… is forbidden: `.
    ///
    /// Upstream: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters, `forbiddenMessage`.
    pub fn forbidden_message(&self) -> String {
        let (user, verb) = (&self.user.name, &self.verb);
        if !self.is_resource {
            return format!("User {user:?} cannot {verb} path {:?}", self.path);
        }
        let resource = self.combined_resource();
        let place = match self.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}", self.group)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(attributes: Attributes, expected: Expect) {
        expected.assert_eq(&attributes.forbidden_message());
    }

    #[test]
    fn forbidden_messages() {
        let user = UserInfo::new("x", &[]);
        let secrets = Attributes::resource(&user, "list", "", "secrets");
        check(
            Attributes { namespace: "y".into(), ..secrets.clone() },
            expect![[r#"User "x" cannot list resource "secrets" in API group "" in the namespace "y""#]],
        );
        check(
            secrets,
            expect![[r#"User "x" cannot list resource "secrets" in API group "" at the cluster scope"#]],
        );
        check(
            Attributes {
                subresource: "scale".into(),
                ..Attributes::resource(&user, "update", "apps", "deployments")
            },
            expect![[
                r#"User "x" cannot update resource "deployments/scale" in API group "apps" at the cluster scope"#
            ]],
        );
        check(
            Attributes::path(&user, "get", "/metrics"),
            expect![[r#"User "x" cannot get path "/metrics""#]],
        );
    }
}
