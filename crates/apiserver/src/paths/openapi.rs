//! `/openapi/v2` and `/openapi/v3`.
//!
//! Upstream: kube-openapi/pkg/handler, handler3.

use http::{HeaderMap, header};

use super::documents::Document;
use crate::Response;
use crate::error::{ApiError, Result};
use crate::media::{self, header_text};
use crate::server::Core;

/// As clients ask for it, and as it is answered.
const PROTOBUF_V2: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// JSON, or gnostic's protobuf for those who name it.
pub fn v2(core: &Core, headers: &HeaderMap) -> Result<Response> {
    let accepted = header_text(headers, header::ACCEPT);
    let bare = |range: &str| range.split(';').next().unwrap_or(range).trim().to_owned();
    if accepted.split(',').any(|range| PROTOBUF_V2.contains(&&*bare(range))) {
        let make = || Document::new(crate::openapi::v2_protobuf(&core.registry), PROTOBUF_V2[1]);
        return Ok(core.documents.get("/openapi/v2 protobuf", make).answer(headers));
    }
    let make = || Document::new(crate::openapi::v2(&core.registry).to_string().into_bytes(), media::JSON);
    let document = core.documents.get("/openapi/v2", make);
    Ok(document.answer(headers))
}

/// The index: where each group and version is described, with the document's hash in the URL.
pub fn v3_index(core: &Core, headers: &HeaderMap) -> Result<Response> {
    let document = core.documents.get("/openapi/v3", || {
        let documents: Vec<(String, String)> = crate::openapi::v3_paths(&core.registry)
            .into_iter()
            .filter_map(|(path, ..)| v3_document(core, &path).map(|document| (path, document.etag)))
            .collect();
        let index = api::openapi::v3_index(documents.iter().map(|(path, etag)| (&**path, &**etag)));
        Document::new(index.to_string(), media::JSON)
    });
    Ok(document.answer(headers))
}

/// # Errors
/// 404 for groups and versions that are not served.
pub fn v3(core: &Core, headers: &HeaderMap, path: &str) -> Result<Response> {
    v3_document(core, path).map(|document| document.answer(headers)).ok_or_else(ApiError::no_such_path)
}

fn v3_document(core: &Core, path: &str) -> Option<Document> {
    let paths = crate::openapi::v3_paths(&core.registry);
    let (path, group, version) = paths.into_iter().find(|(known, ..)| known == path)?;
    let make = || Document::new(crate::openapi::v3(&core.registry, &group, &version), media::JSON);
    let name = format!("/openapi/v3/{path}");
    Some(match crate::openapi::has_custom(&core.registry, &group, &version) {
        true => core.documents.get(&name, make),
        false => core.documents.get_fixed(&name, make),
    })
}
