//! Outermost: an error becomes a response here and nowhere else, in the encoding that the client accepts.

use http::{HeaderValue, StatusCode, header};

use super::Stages;
use crate::error::ApiError;
use crate::media::{self, Encoding, Forms};
use crate::{Request, Response, body};

pub(super) async fn answer(stages: &Stages, request: Request) -> Response {
    let headers = request.headers().clone();
    let query = request.uri().query().unwrap_or("").to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    match stages.run(request).await {
        Ok(response) => response,
        Err(error) => {
            if error.code() >= 500 {
                tracing::error!(%method, path, code = error.code(), error = error.log(), "request failed");
            }
            let pretty = media::wants_pretty(&headers, &query);
            // Who accepts nothing that can be made still gets the reason, as JSON.
            let encoding =
                media::accept(&headers, Forms::All).map_or(Encoding::Json, |accepted| accepted.encoding);
            failure(&error, encoding, pretty)
        }
    }
}

/// The response that tells `error`.
pub fn failure(error: &ApiError, encoding: Encoding, pretty: bool) -> Response {
    let (bytes, media_type) = crate::encode::status(&error.status(), encoding, pretty);
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if error.retry_after_seconds() > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(error.retry_after_seconds()));
    }
    response
}
