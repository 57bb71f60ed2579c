//! What a handler knows about its request.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::admission::Warnings;
use crate::auth::UserInfo;
use crate::encode::{View, Written};
use crate::error::{ApiError, GroupResource, Result};
use crate::media::{self, Accepted, Forms};
use crate::registry::{Served, Storage};
use crate::request_info::form_pairs;
use crate::server::Core;
use crate::strategy::Writer;
use crate::{RequestInfo, Response, body};

/// A request for a resource, without its body.
pub struct Call {
    pub core: Arc<Core>,
    pub info: RequestInfo,
    pub user: UserInfo,
    pub served: Arc<Served>,
    pub query: String,
    pub headers: HeaderMap,
    /// What admission has to tell.
    pub warnings: Warnings,
}

impl Call {
    /// Where the objects are.
    ///
    /// # Errors
    /// 405 for resources that are never stored.
    pub fn storage(&self) -> Result<&Arc<Storage>> {
        self.served.storage.as_ref().ok_or_else(ApiError::method_unknown)
    }

    pub fn resource(&self) -> GroupResource {
        GroupResource::new(self.served.group.as_str(), self.served.resource.as_str())
    }

    /// # Errors
    /// 405 when the resource does not have this verb.
    pub fn check_verb(&self, verbs: &[String]) -> Result<()> {
        let known = verbs.contains(&self.info.verb);
        if known { Ok(()) } else { Err(ApiError::method_unknown()) }
    }

    /// Cluster-scoped resources live in no namespace, whatever the path says.
    pub fn namespace(&self) -> &str {
        if self.served.namespaced { &self.info.namespace } else { "" }
    }

    /// The name in the path.
    pub fn name(&self) -> &str {
        self.info.path_name()
    }

    pub fn accepted(&self) -> Result<Accepted> {
        let forms = if self.served.custom.is_some() { Forms::Custom } else { Forms::All };
        media::accept(&self.headers, forms)
    }

    /// How the answer is to look.
    pub fn view(&self) -> Result<View> {
        let include = form_pairs(&self.query).into_iter().find(|(key, _)| key == "includeObject");
        Ok(View {
            served: self.served.clone(),
            accepted: self.accepted()?,
            include: include.map(|(_, value)| value).unwrap_or_default(),
            pretty: media::wants_pretty(&self.headers, &self.query),
            now: self.core.clock.now(),
        })
    }

    /// apiVersion and kind of the subresource's own object, if this is about one that has its own.
    pub fn scale_kind(&self) -> Option<(String, String)> {
        let subresource = self.served.subresource(&self.info.subresource)?;
        (subresource.name == "scale")
            .then(|| (api::api_version(&subresource.group, &subresource.version), subresource.kind.clone()))
    }

    pub fn writer(&self) -> Writer<'_> {
        Writer { user: &self.user, now: self.core.clock.now() }
    }

    /// Answers an object of the stored version.
    pub fn answer(&self, status: StatusCode, object: &Value, warnings: &[String]) -> Result<Response> {
        let written = self.view()?.stored_value(object)?;
        Ok(respond(status, written, warnings))
    }

    /// Answers an object that is no resource of its own: a Status, a Scale, a review.
    pub fn answer_plain(&self, status: StatusCode, object: &Value, warnings: &[String]) -> Result<Response> {
        let accepted = media::accept(&self.headers, Forms::ObjectOnly)?;
        let pretty = media::wants_pretty(&self.headers, &self.query);
        let (bytes, media_type) = crate::encode::plain(object, accepted.encoding, pretty)?;
        Ok(respond(status, Written { bytes: bytes.into(), media_type }, warnings))
    }
}

/// A response with a whole body.
pub fn respond(status: StatusCode, written: Written, warnings: &[String]) -> Response {
    let mut response = Response::new(body::full(written.bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(written.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for warning in warnings {
        warn(&mut response, warning);
    }
    response
}

/// Tells the client something that is no error.
pub fn warn(response: &mut Response, text: &str) {
    if let Some(value) = warning_header(text) {
        response.headers_mut().append(header::WARNING, value);
    }
}

/// `299 - "text"`; what no header can hold is left out.
///
/// Upstream: apimachinery/pkg/util/net/http.go, `NewWarningHeader`.
fn warning_header(text: &str) -> Option<HeaderValue> {
    let quoted: String = text
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            _ => vec![c],
        })
        .collect();
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}
