//! Whether they may. Last before the handler, so that nothing is answered to those who may not ask.
//!
//! Upstream: apiserver/pkg/endpoints/filters/authorization.go.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Next, Stage};
use crate::auth::{Attributes, Authorizer, UserInfo};
use crate::error::{ApiError, GroupResource, Result};
use crate::{Request, RequestInfo, Response};

pub(super) struct Authorization {
    authorizer: Arc<dyn Authorizer>,
}

impl Authorization {
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Stage for Authorization {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response> {
        let extensions = request.extensions();
        let user = extensions.get::<UserInfo>().ok_or_else(ApiError::unauthorized)?;
        let info = extensions
            .get::<Arc<RequestInfo>>()
            .ok_or_else(|| ApiError::internal("no RequestInfo found in the context"))?;
        let attributes = attributes(user, info);
        let decision = self.authorizer.authorize(&attributes).await;
        if !decision.is_allowed() {
            return Err(refusal(&attributes, decision.reason()));
        }
        next.run(request).await
    }
}

/// What `user` wants, as authorizers see it.
pub(crate) fn attributes(user: &UserInfo, info: &RequestInfo) -> Attributes {
    if !info.is_resource_request {
        return Attributes::path(user, &info.verb, &info.path);
    }
    Attributes {
        namespace: info.namespace.clone(),
        version: info.api_version.clone(),
        subresource: info.subresource.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
        ..Attributes::resource(user, &info.verb, &info.api_group, &info.resource)
    }
}

/// The reason stays in the log unless it is the client's to know.
fn refusal(attributes: &Attributes, reason: &str) -> ApiError {
    let mut why = attributes.forbidden_message();
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    let about = GroupResource::new(attributes.group.clone(), attributes.resource.clone());
    ApiError::forbidden(&about, &attributes.name, &why)
}
