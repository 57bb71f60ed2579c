//! One handler per verb. Group, resource and subresource arrive as data in the [`Call`].
//!
//! Upstream: apiserver/pkg/endpoints/handlers.

mod apply;
mod body;
mod call;
pub mod continue_token;
mod create;
mod delete;
mod get;
mod list;
pub mod list_options;
mod ownership;
mod patch;
mod subresources;
mod update;
mod virtuals;
mod watch;
mod write;
mod write_options;

pub use call::{Call, respond};
pub use virtuals::Virtuals;
pub use write_options::WriteOptions;

use crate::error::{ApiError, Result};
use crate::{Body, Response, metrics};

/// Kinds whose users are told to move on.
const DEPRECATED: [(&str, &str, &str); 2] = [
    ("", "endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    ("", "componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"),
];

/// Answers a request for a resource.
///
/// # Errors
/// Whatever the client has to read.
pub async fn serve(call: &Call, body: Body) -> Result<Response> {
    let mut response = answer(call, body).await?;
    if let Some(warning) = call.served.custom.as_ref().and_then(|kind| kind.version().deprecation.as_ref()) {
        call::warn(&mut response, warning);
    }
    let (group, resource) = (call.served.group.as_str(), call.served.resource.as_str());
    if let Some((.., text)) = DEPRECATED.iter().find(|(g, r, _)| (*g, *r) == (group, resource)) {
        call::warn(&mut response, text);
    }
    call.warnings.take().iter().for_each(|text| call::warn(&mut response, text));
    Ok(response)
}

async fn answer(call: &Call, body: Body) -> Result<Response> {
    if !call.info.subresource.is_empty() {
        return subresources::serve(call, body).await;
    }
    call.check_verb(&call.served.verbs)?;
    if call.served.group == metrics::GROUP && call.served.storage.is_none() {
        return metrics::serve(call).await;
    }
    let is_object = !call.name().is_empty();
    if is_object && call.info.verb == "create" {
        return Err(ApiError::method_unknown());
    }
    match call.info.verb.as_str() {
        "get" => get::serve(call).await,
        "list" => list::serve(call).await,
        "watch" => watch::serve(call).await,
        "create" if call.served.custom.as_ref().is_some_and(|kind| kind.definition.terminating) => {
            let why = "create not allowed while custom resource definition is terminating";
            Err(ApiError::new(405, "MethodNotAllowed", why))
        }
        "create" => create::serve(call, body).await,
        "update" => update::serve(call, body).await,
        "patch" => patch::serve(call, body).await,
        "delete" => delete::serve(call, body).await,
        "deletecollection" => delete::serve_collection(call, body).await,
        _ => Err(ApiError::method_unknown()),
    }
}
