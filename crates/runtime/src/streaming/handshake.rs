//! From an HTTP request to an upgraded connection: which protocol the two sides speak.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::requests::Request;
use super::server::Context;

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn answer(request: http::Request<Incoming>, context: Arc<Context>) -> Answer {
    let mut path = request.uri().path().trim_start_matches('/').splitn(2, '/');
    let token = path.nth(1).unwrap_or_default();
    match context.requests.take(token) {
        Some(granted) => upgrade(request, granted, context),
        None => refuse(StatusCode::NOT_FOUND, "the streaming URL is unknown, used or expired"),
    }
}

fn upgrade(request: http::Request<Incoming>, _granted: Request, _context: Arc<Context>) -> Answer {
    let _ = tokens(request.headers(), "upgrade");
    refuse(StatusCode::BAD_REQUEST, "unable to upgrade: the request asks for no protocol known here")
}

/// The comma-separated values of a header, over all of its lines.
fn tokens(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|token| token.trim().to_owned()).collect()
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{why}\n"))));
    *answer.status_mut() = status;
    answer
}
