//! Resources that are answered and never stored: reviews, tokens, bindings.

use http::StatusCode;
use serde_json::Value;

use super::{Call, WriteOptions, subresources};
use crate::auth::reviews::Reviews;
use crate::auth::token::Requests;
use crate::error::{ApiError, Result};
use crate::{Response, object};

/// Those who answer them.
pub struct Virtuals {
    reviews: Reviews,
    tokens: Requests,
}

impl Virtuals {
    pub fn new(reviews: Reviews, tokens: Requests) -> Self {
        Self { reviews, tokens }
    }

    pub async fn create(
        &self,
        call: &Call,
        object: Value,
        options: &WriteOptions,
        warnings: &[String],
    ) -> Result<Response> {
        let (group, resource) = (call.served.group.as_str(), call.served.resource.as_str());
        if Reviews::is_review(group, resource) {
            let answered = self.reviews.create(resource, call.namespace(), &call.user, object).await?;
            return call.answer_plain(StatusCode::CREATED, &answered, warnings);
        }
        if (group, resource) == ("", "bindings") {
            let name = object::name(&object).to_string();
            subresources::bind(call, &name, &object, options).await?;
            let done = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
            });
            return call.answer_plain(StatusCode::CREATED, &done, warnings);
        }
        Err(ApiError::method_unknown())
    }

    /// A token for a service account.
    pub async fn token(&self, namespace: &str, name: &str, request: Value) -> Result<Value> {
        self.tokens.create(namespace, name, request).await
    }
}
