//! Before everything that decides by verb or resource: says what the request is about.

use async_trait::async_trait;

use super::{Next, Stage};
use crate::error::Result;
use crate::{Request, RequestInfo, Response};

pub(super) struct Resolver;

#[async_trait]
impl Stage for Resolver {
    async fn call(&self, mut request: Request, next: Next<'_>) -> Result<Response> {
        let info = RequestInfo::of(request.method(), request.uri().path(), request.uri().query());
        request.extensions_mut().insert(info);
        next.run(request).await
    }
}
