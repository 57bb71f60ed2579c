//! `/openapi/v2` and `/openapi/v3`.
//!
//! Upstream: kube-openapi/pkg/handler, handler3.

use http::{HeaderMap, header};

use super::documents::Document;
use crate::Response;
use crate::error::{ApiError, Result};
use crate::media::{self, header_text};
use crate::server::Core;

pub fn v2(core: &Core, headers: &HeaderMap) -> Result<Response> {
    let document = core.documents.get("/openapi/v2", || Document::new(crate::openapi::v2(), media::JSON));
    let _ = header_text(headers, header::ACCEPT);
    Ok(document.answer(headers))
}

/// The index: where each group and version is described, with the document's hash in the URL.
pub fn v3_index(core: &Core, headers: &HeaderMap) -> Result<Response> {
    let document = core.documents.get("/openapi/v3", || {
        let mut paths = serde_json::Map::new();
        for path in crate::openapi::v3_paths() {
            let etag = v3_document(core, &path).map(|document| document.etag).unwrap_or_default(); // listed, so there
            let url = format!("/openapi/v3/{path}?hash={etag}");
            paths.insert(path, serde_json::json!({"serverRelativeURL": url}));
        }
        Document::new(serde_json::json!({ "paths": paths }).to_string(), media::JSON)
    });
    Ok(document.answer(headers))
}

pub fn v3(core: &Core, headers: &HeaderMap, path: &str) -> Result<Response> {
    v3_document(core, path).map(|document| document.answer(headers)).ok_or_else(ApiError::no_such_path)
}

fn v3_document(core: &Core, path: &str) -> Option<Document> {
    let name = format!("/openapi/v3/{path}");
    let known = crate::openapi::v3_paths().iter().any(|known| known == path);
    known.then(|| core.documents.get(&name, || Document::new(crate::openapi::v3(path), media::JSON)))
}
