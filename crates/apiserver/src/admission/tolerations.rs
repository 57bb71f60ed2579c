//! DefaultTolerationSeconds: a pod stays five minutes on a node that is lost, unless it says otherwise.
//!
//! Upstream: plugin/pkg/admission/defaulttolerationseconds.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::pod::push;
use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::fields;

const SECONDS: u32 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) struct DefaultTolerationSeconds;

#[async_trait]
impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if !(writes && request.is("", "pods")) {
            return Ok(());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        for taint in TAINTS {
            if !fields::list(pod, "/spec/tolerations").iter().any(|toleration| tolerates(toleration, taint)) {
                let toleration = json!({
                    "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
                });
                push(&mut pod["spec"], "tolerations", toleration);
            }
        }
        Ok(())
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (fields::text(toleration, "/key"), fields::text(toleration, "/effect"));
    (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
}
