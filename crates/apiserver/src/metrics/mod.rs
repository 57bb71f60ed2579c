//! metrics.k8s.io: what nodes and pods use now, asked of the kubelets when somebody asks here.
//!
//! Upstream: sigs.k8s.io/metrics-server. Differs: nothing is scraped while nobody asks. A rate needs two looks; the
//! earlier one is the last answer's, the container's start, or, if both are too long ago, a look one second before.
//!
//! Reading order: [`text`] (what a kubelet says), [`rates`] (two looks become a rate), [`answer`] (objects).

mod answer;
mod rates;
mod text;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use serde_json::Value;

use crate::Response;
use crate::auth::fields;
use crate::error::{ApiError, Result};
use crate::server::Core;
use crate::verbs::Call;
use rates::{Enough, Looks, Usage};

pub use rates::Metrics;

pub(crate) const GROUP: &str = "metrics.k8s.io";
/// A kubelet that takes longer has nothing to say; metrics-server waits as long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks of one answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers a GET of one object or of a list.
pub(crate) async fn serve(call: &Call) -> Result<Response> {
    match call.served.resource.as_str() {
        "nodes" => answer::nodes(call).await,
        "pods" => answer::pods(call).await,
        _ => Err(ApiError::method_unknown()),
    }
}

/// What is used on each of `nodes`; those that do not answer are left out.
async fn usage(core: &Core, nodes: &[Arc<Value>]) -> Vec<(String, Usage)> {
    let found = join_all(nodes.iter().map(|node| one_node(core, node).boxed())).await;
    found.into_iter().flatten().collect()
}

async fn one_node(core: &Core, node: &Value) -> Option<(String, Usage)> {
    let name = fields::name(node).to_owned();
    match look_twice(core, node).await {
        Ok(usage) => Some((name, usage)),
        Err(error) => {
            tracing::warn!(node = name, error = error.log(), "no metrics from a kubelet");
            None
        }
    }
}

async fn look_twice(core: &Core, node: &Value) -> Result<Usage> {
    let looks: Arc<Looks> = core.metrics.of(fields::name(node));
    look(core, node, &looks).await?;
    if looks.enough() == Enough::No {
        core.clock.sleep(PAUSE).await;
        look(core, node, &looks).await?;
    }
    Ok(looks.usage())
}

async fn look(core: &Core, node: &Value, looks: &Looks) -> Result<()> {
    let asked = core.streaming.ask_kubelet(node, "/metrics/resource");
    let text = tokio::select! {
        text = asked => text?,
        () = core.clock.sleep(PATIENCE) => {
            return Err(ApiError::timeout("the kubelet did not answer in time".to_owned(), 1));
        }
    };
    looks.add(text::parse(&text, core.clock.now()));
    Ok(())
}
