//! The node's lease: the sign of life that the node-lifecycle controller watches.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use stdx::{Backoff, error_chain};

use crate::context::Context;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 40;
/// A quarter of the duration.
const RENEW: Duration = Duration::from_secs(10);

pub(crate) async fn run(context: Arc<Context>) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
    let mut known: Option<Lease> = None;
    loop {
        match renew(&context, known.take()).await {
            Ok(lease) => {
                backoff.reset();
                // Until the node is there the lease has no owner: soon again.
                let owned = lease.metadata.owner_references.as_ref().is_some_and(|o| !o.is_empty());
                known = Some(lease);
                let pause = if owned { RENEW } else { Duration::from_secs(1) };
                context.config.clock.sleep(pause).await;
            }
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "node lease not renewed");
                context.config.clock.sleep(backoff.step()).await;
            }
        }
    }
}

async fn renew(context: &Context, known: Option<Lease>) -> kube::Result<Lease> {
    let api: Api<Lease> = Api::namespaced(context.config.client.clone(), NAMESPACE);
    let name = &context.config.node_name;
    let current = match known {
        Some(lease) => Some(lease),
        None => api.get_opt(name).await?,
    };
    match current {
        Some(lease) => api.replace(name, &PostParams::default(), &fill(context, lease)).await,
        None => api.create(&PostParams::default(), &fill(context, Lease::default())).await,
    }
}

fn fill(context: &Context, lease: Lease) -> Lease {
    let name = context.config.node_name.clone();
    let owner = context.node.list().first().map(|node| OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.clone(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    });
    Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(NAMESPACE.into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..lease.metadata
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(context.config.clock.now())),
            ..lease.spec.unwrap_or_default()
        }),
    }
}
