//! First inside: a handler that panics costs one request, not the process.

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures::FutureExt;

use super::{Next, Stage};
use crate::error::{ApiError, Result};
use crate::{Request, Response};

pub(super) struct Recovery;

#[async_trait]
impl Stage for Recovery {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response> {
        let path = request.uri().path().to_string();
        AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            Err(ApiError::new(
                500,
                "InternalError",
                "This request caused apiserver to panic. Look in the logs for details.",
            )
            .with_log(format!("panic while serving {path}")))
        })
    }
}
