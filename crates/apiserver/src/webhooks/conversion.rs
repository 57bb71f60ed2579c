//! Conversion webhooks: custom objects of one version in, of another out.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Caller;
use crate::auth::fields;
use crate::custom::Converter;

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Conversions(pub Caller);

#[async_trait]
impl Converter for Conversions {
    async fn convert(
        &self,
        webhook: &Value,
        objects: Vec<Value>,
        wanted: &str,
    ) -> Result<Vec<Value>, String> {
        let versions = fields::texts(webhook, "/conversionReviewVersions");
        let version = versions.into_iter().find(|version| matches!(*version, "v1" | "v1beta1"));
        let Some(version) = version else {
            return Err("webhook does not accept known ConversionReview versions".into());
        };
        let uid = self.0.random.uuid();
        let question = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
        });
        let answer = self.0.client.ask(&webhook["clientConfig"], &question, TIMEOUT).await;
        let mut answer = answer.map_err(|error| error.to_string())?;
        converted(answer["response"].take(), &uid)
    }
}

fn converted(mut response: Value, uid: &str) -> Result<Vec<Value>, String> {
    if fields::text(&response, "/uid") != uid {
        let got = fields::text(&response, "/uid");
        return Err(format!("expected response.uid={uid:?}, got {got:?}"));
    }
    if response["result"]["status"] != "Success" {
        let message = fields::text(&response, "/result/message");
        return Err(if message.is_empty() { "no message provided".into() } else { message.to_owned() });
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}
