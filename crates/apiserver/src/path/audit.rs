//! Gives each request an id that log, answer and later an audit trail share; before anything can refuse.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use stdx::Random;

use super::{Next, Stage};
use crate::error::Result;
use crate::{Request, Response};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

pub(super) struct Room {
    random: Random,
}

impl Room {
    pub fn new(random: Random) -> Self {
        Self { random }
    }

    fn id(&self, request: &Request) -> HeaderValue {
        let given = request.headers().get(AUDIT_ID).cloned();
        given.unwrap_or_else(|| HeaderValue::from_str(&self.random.uuid()).expect("a uuid is a header value"))
    }
}

#[async_trait]
impl Stage for Room {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response> {
        let id = self.id(&request);
        let mut response = next.run(request).await?;
        response.headers_mut().insert(AUDIT_ID, id);
        Ok(response)
    }
}
