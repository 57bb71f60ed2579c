//! How many pods a second the scheduling cycle places on 5,000 nodes in memory, without an API server.
//!
//! `cargo run --release -p scheduler --example throughput [nodes] [pods] [plain|spread|anti]`; without a shape, all.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::cache::Cache;
use scheduler::cycle::Cycle;
use scheduler::pod_info::PodInfo;
use scheduler::{Nominator, Profile, plugins};
use serde_json::json;
use stdx::{Clock, Random};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let nodes = args.next().map(|arg| arg.parse::<usize>()).transpose()?.unwrap_or(5_000);
    let pods = args.next().map(|arg| arg.parse::<usize>()).transpose()?.unwrap_or(20_000);
    match args.next() {
        Some(shape) => measure(nodes, pods, &shape),
        None => ["plain", "spread", "anti"].iter().try_for_each(|shape| measure(nodes, pods, shape)),
    }
}

fn measure(nodes: usize, pods: usize, shape: &str) -> Result<(), Box<dyn std::error::Error>> {
    let framework = plugins::framework(&Profile::default(), None, &scheduler::Sources::none());
    let mut cache = Cache::default();
    for at in 0..nodes {
        cache.set_node(Arc::new(node(at)?));
    }
    let waiting = (0..pods).map(|at| pod(at, shape)).collect::<Result<Vec<_>, _>>()?;
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
    let rate = pods as f64 / seconds;
    println!("{shape}: {placed} of {pods} pods on {nodes} nodes in {seconds:.2} s: {rate:.0} pods/s");
    Ok(())
}

fn node(at: usize) -> serde_json::Result<Node> {
    let name = format!("node-{at}");
    let zone = format!("z{}", at % 3);
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"}},
    }))
}

/// The shapes that upstream's scheduler_perf measures.
fn pod(at: usize, shape: &str) -> serde_json::Result<Pod> {
    let name = format!("pod-{at}");
    let color = format!("c{}", at % 10);
    let mut spec = json!({"containers": [{"name": "c", "image": "web:1",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]});
    match shape {
        "spread" => {
            spec["topologySpreadConstraints"] = json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "bench"}}}]);
        }
        "anti" => {
            let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"color": color}}});
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([term]);
        }
        _ => {}
    }
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "bench", "color": color}},
        "spec": spec,
    }))
}
