//! Acting as somebody else, for those who may.
//!
//! Upstream: k8s.io/apiserver/pkg/endpoints/filters/impersonation.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use super::{Attributes, Authorizer, UserInfo, group, name, stages};
use crate::path::{Next, Stage};
use crate::request_info::percent_decode;
use crate::{ApiError, Request, Response};

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// Replaces the user by whom the headers name. Stands between authentication and authorization.
pub struct Impersonation {
    authorizer: Arc<dyn Authorizer>,
}

impl Impersonation {
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Stage for Impersonation {
    async fn call(&self, mut request: Request, next: Next<'_>) -> Result<Response, ApiError> {
        let Some(wanted) = wanted(request.headers())? else { return next.run(request).await };
        let Some(actor) = request.extensions().get::<UserInfo>() else {
            return Err(ApiError::internal("the request has no user"));
        };
        for attributes in permissions(actor, &wanted) {
            stages::check(self.authorizer.as_ref(), &attributes).await?;
        }
        request.extensions_mut().insert(complete(wanted));
        let named: Vec<_> = request.headers().keys().filter(|key| is_ours(key.as_str())).cloned().collect();
        for key in named {
            request.headers_mut().remove(key);
        }
        next.run(request).await
    }
}

fn is_ours(header: &str) -> bool {
    matches!(header, USER | UID | GROUP) || header.starts_with(EXTRA_PREFIX)
}

/// Whom the headers name, as they name them. None without such headers.
fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, ApiError> {
    let first = |name: &str| values(headers, name).next().unwrap_or_default();
    let mut extra = BTreeMap::<String, Vec<String>>::new();
    for key in headers.keys().filter(|key| key.as_str().starts_with(EXTRA_PREFIX)) {
        let decoded = percent_decode(&key.as_str()[EXTRA_PREFIX.len()..]);
        extra.entry(decoded).or_default().extend(values(headers, key.as_str()));
    }
    let user =
        UserInfo { name: first(USER), uid: first(UID), groups: values(headers, GROUP).collect(), extra };
    if user == UserInfo::default() {
        return Ok(None);
    }
    match user.name.is_empty() {
        true => Err(ApiError::internal("requested groups, uid or extra without impersonating a user")),
        false => Ok(Some(user)),
    }
}

fn values(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    // A header that is no text names nobody; authorization then refuses what remains.
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned)
}

/// What `actor` must be allowed to become `wanted`.
fn permissions(actor: &UserInfo, wanted: &UserInfo) -> Vec<Attributes> {
    let may = |group: &str, resource: &str, name: &str| Attributes {
        name: name.to_owned(),
        ..Attributes::resource(actor, "impersonate", group, resource)
    };
    let mut needed = vec![match wanted.as_service_account() {
        Some((namespace, account)) => {
            Attributes { namespace: namespace.to_owned(), ..may("", "serviceaccounts", account) }
        }
        None => may("", "users", &wanted.name),
    }];
    needed.extend(wanted.groups.iter().map(|group| may("", "groups", group)));
    for (key, values) in &wanted.extra {
        needed.extend(values.iter().map(|value| Attributes {
            subresource: key.clone(),
            version: "v1".to_owned(),
            ..may("authentication.k8s.io", "userextras", value)
        }));
    }
    if !wanted.uid.is_empty() {
        needed.push(Attributes {
            version: "v1".to_owned(),
            ..may("authentication.k8s.io", "uids", &wanted.uid)
        });
    }
    needed
}

/// Adds the groups that such a user always has.
fn complete(mut user: UserInfo) -> UserInfo {
    if user.groups.is_empty()
        && let Some((namespace, _)) = user.as_service_account()
    {
        user.groups =
            vec![group::SERVICE_ACCOUNTS.to_owned(), format!("{}:{namespace}", group::SERVICE_ACCOUNTS)];
    }
    let own = if user.name == name::ANONYMOUS { group::UNAUTHENTICATED } else { group::AUTHENTICATED };
    if !user.is_in(group::AUTHENTICATED) && !user.is_in(group::UNAUTHENTICATED) {
        user.groups.push(own.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn headers_become_permissions_and_a_user() {
        let mut headers = HeaderMap::new();
        for (key, value) in [(USER, "bob"), (GROUP, "a"), (GROUP, "b"), ("impersonate-extra-x%2fy", "1")] {
            headers.append(key, value.parse().unwrap());
        }
        let wanted = wanted(&headers).unwrap().unwrap();
        let texts: Vec<String> = permissions(&UserInfo::new("root", &[]), &wanted)
            .iter()
            .map(Attributes::forbidden_message)
            .collect();
        expect![[r#"
            User "root" cannot impersonate resource "users" in API group "" at the cluster scope
            User "root" cannot impersonate resource "groups" in API group "" at the cluster scope
            User "root" cannot impersonate resource "groups" in API group "" at the cluster scope
            User "root" cannot impersonate resource "userextras/x/y" in API group "authentication.k8s.io" at the cluster scope"#]]
        .assert_eq(&texts.join("\n"));
        assert_eq!(complete(wanted).groups, ["a", "b", "system:authenticated"]);
    }

    #[test]
    fn a_group_without_a_user_is_refused() {
        let headers = HeaderMap::from_iter([(GROUP.parse().unwrap(), "a".parse().unwrap())]);
        assert_eq!(wanted(&headers).unwrap_err().code(), 500);
    }

    #[test]
    fn service_accounts_get_their_groups() {
        let user = complete(UserInfo::new("system:serviceaccount:ns:bot", &[]));
        assert_eq!(
            user.groups,
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
        );
    }
}
