//! TaintNodesByCondition: a new node takes no pods until it is known to be ready.
//!
//! Upstream: plugin/pkg/admission/nodetaint.

use async_trait::async_trait;
use serde_json::json;

use super::pod::push;
use super::{Admission, Request};
use crate::ApiError;
use crate::auth::fields;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) struct TaintNodesByCondition;

#[async_trait]
impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if !request.creates("", "nodes") {
            return Ok(());
        }
        let Some(node) = &mut request.object else { return Ok(()) };
        let tainted = fields::list(node, "/spec/taints")
            .iter()
            .any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule");
        if !tainted {
            push(&mut node["spec"], "taints", json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}
