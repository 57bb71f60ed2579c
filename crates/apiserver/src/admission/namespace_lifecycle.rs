//! NamespaceLifecycle: nothing is created in a namespace that is missing or going away, and some never go.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Admission, Operation, Request};
use crate::auth::{Objects, fields, reviews::Reviews};
use crate::{ApiError, GroupResource};

const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

pub(super) struct NamespaceLifecycle {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        self.check(request).await
    }
}

impl NamespaceLifecycle {
    async fn check(&self, request: &Request) -> Result<(), ApiError> {
        let is_namespace = request.resource == GroupResource::new("", "namespaces");
        if is_namespace && request.operation == Operation::Delete && IMMORTAL.contains(&request.name.as_str())
        {
            return Err(request.forbidden("this namespace may not be deleted"));
        }
        let review = Reviews::is_review(&request.resource.group, &request.resource.resource);
        let concerned = !request.namespace.is_empty() && request.operation != Operation::Delete;
        if is_namespace || review || !concerned {
            return Ok(());
        }
        let namespace = request.namespace.as_str();
        let Some(found) = self.objects.get("", "namespaces", "", namespace).await else {
            return Err(ApiError::not_found(&GroupResource::new("", "namespaces"), namespace));
        };
        let terminating = fields::text(&found, "/status/phase") == "Terminating";
        match terminating && request.operation == Operation::Create {
            true => Err(terminating_error(request)),
            false => Ok(()),
        }
    }
}

fn terminating_error(request: &Request) -> ApiError {
    let namespace = &request.namespace;
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    request.forbidden(why).with_cause(
        "NamespaceTerminating",
        format!("namespace {namespace} is being terminated"),
        "metadata.namespace",
    )
}
