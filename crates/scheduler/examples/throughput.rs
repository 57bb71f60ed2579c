//! How many pods a second the scheduling cycle places on 5,000 nodes in memory, without an API server.
//!
//! `cargo run --release -p scheduler --example throughput [nodes] [pods]`

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::cache::Cache;
use scheduler::cycle::Cycle;
use scheduler::pod_info::PodInfo;
use scheduler::{Nominator, Profile, plugins};
use serde_json::json;
use stdx::{Clock, Random};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let nodes = args.next().transpose()?.unwrap_or(5_000);
    let pods = args.next().transpose()?.unwrap_or(20_000);
    let framework = plugins::framework(&Profile::default(), None, &scheduler::Sources::none());
    let mut cache = Cache::default();
    for at in 0..nodes {
        cache.set_node(Arc::new(node(at)?));
    }
    let waiting = (0..pods).map(pod).collect::<Result<Vec<_>, _>>()?;
    let mut cycle = Cycle::new(Random::seeded(1), None);
    let nominator = Nominator::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let clock = runtime.block_on(async { Clock::system() });
    let (start, mut placed) = (clock.monotonic(), 0);
    for pod in waiting {
        let info = Arc::new(PodInfo::new(Arc::new(pod)));
        if let Ok(chosen) = cycle.schedule(&framework, &info, cache.snapshot(), &nominator) {
            cache.assume(info, &chosen.node);
            placed += 1;
        }
    }
    let seconds = (clock.monotonic() - start).as_secs_f64();
    println!(
        "{placed} of {pods} pods on {nodes} nodes in {seconds:.2} s: {:.0} pods/s",
        pods as f64 / seconds
    );
    Ok(())
}

fn node(at: usize) -> serde_json::Result<Node> {
    let name = format!("node-{at}");
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"}},
    }))
}

fn pod(at: usize) -> serde_json::Result<Pod> {
    let name = format!("pod-{at}");
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "web:1",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
    }))
}
