//! Lets those who may act as somebody else. Behind authentication, before authorization, which sees the new identity.
//!
//! Upstream: apiserver/pkg/endpoints/filters/impersonation.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use super::{Next, Stage};
use crate::auth::{Attributes, Authorizer, UserInfo, group, name};
use crate::error::{ApiError, GroupResource, Result};
use crate::request_info::percent_decode;
use crate::{Request, Response};

pub(super) struct Impersonation {
    authorizer: Arc<dyn Authorizer>,
}

/// Who the client wants to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    async fn check(&self, user: &UserInfo, wanted: &Wanted) -> Result<()> {
        for attributes in wanted.needed(user) {
            let decision = self.authorizer.authorize(&attributes).await;
            if !decision.is_allowed() {
                let about = GroupResource::new(attributes.group.clone(), attributes.resource.clone());
                let why = attributes.forbidden_message();
                return Err(ApiError::forbidden(&about, &attributes.name, &why)
                    .with_log(decision.reason().to_string()));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Stage for Impersonation {
    async fn call(&self, mut request: Request, next: Next<'_>) -> Result<Response> {
        let Some(wanted) = Wanted::of(request.headers())? else { return next.run(request).await };
        let user = request.extensions().get::<UserInfo>().cloned().ok_or_else(ApiError::unauthorized)?;
        self.check(&user, &wanted).await?;
        let names: Vec<_> =
            request.headers().keys().filter(|key| key.as_str().starts_with("impersonate-")).cloned().collect();
        for name in names {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(wanted.into_user());
        next.run(request).await
    }
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Option<Self>> {
        let mut wanted = Self::default();
        for (name, value) in headers {
            let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
            let value = value.to_str().map_err(|_| ApiError::bad_request("impersonation header is no text"))?;
            match what {
                "user" => wanted.user = value.into(),
                "uid" => wanted.uid = value.into(),
                "group" => wanted.groups.push(value.into()),
                _ => {
                    if let Some(key) = what.strip_prefix("extra-") {
                        wanted.extra.entry(percent_decode(key)).or_default().push(value.into());
                    }
                }
            }
        }
        if wanted == Self::default() {
            return Ok(None);
        }
        if wanted.user.is_empty() {
            return Err(ApiError::internal(format!(
                "requested [{}] without impersonating a user name",
                wanted.groups.join(" ")
            )));
        }
        Ok(Some(wanted))
    }

    /// Each part needs a permission of its own.
    fn needed(&self, user: &UserInfo) -> Vec<Attributes> {
        let attributes = |group: &str, resource: &str, name: &str| Attributes {
            name: name.into(),
            ..Attributes::resource(user, "impersonate", group, resource)
        };
        let mut needed = Vec::new();
        let account = self.user.strip_prefix(name::SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
        needed.push(match account {
            Some((namespace, account)) => Attributes {
                namespace: namespace.into(),
                ..attributes("", "serviceaccounts", account)
            },
            None => attributes("", "users", &self.user),
        });
        needed.extend(self.groups.iter().map(|group| attributes("", "groups", group)));
        if !self.uid.is_empty() {
            needed.push(attributes("authentication.k8s.io", "uids", &self.uid));
        }
        for (key, values) in &self.extra {
            needed.extend(values.iter().map(|value| Attributes {
                subresource: key.clone(),
                ..attributes("authentication.k8s.io", "userextras", value)
            }));
        }
        needed
    }

    fn into_user(self) -> UserInfo {
        let account = self.user.strip_prefix(name::SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
        let mut groups = self.groups;
        if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
            groups.push(group::SERVICE_ACCOUNTS.into());
            groups.push(format!("{}:{namespace}", group::SERVICE_ACCOUNTS));
        }
        let known = [group::AUTHENTICATED, group::UNAUTHENTICATED];
        let anonymous = self.user == name::ANONYMOUS;
        if !groups.iter().any(|group| known.contains(&group.as_str())) {
            groups.push(known[usize::from(anonymous)].into());
        }
        UserInfo { name: self.user, uid: self.uid, groups, extra: self.extra }
    }
}
