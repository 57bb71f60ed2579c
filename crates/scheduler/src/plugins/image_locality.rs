//! ImageLocality: nodes that have the images already are liked.

use crate::cache::Snapshot;
use crate::framework::{CycleState, MAX_NODE_SCORE, Plugin, Score};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const MIB: i64 = 1024 * 1024;
/// Below this nothing is won.
const LEAST: i64 = 23 * MIB;
/// Above this, for each container, nothing more.
const MOST: i64 = 1000 * MIB;

pub(super) struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
}

impl Score for ImageLocality {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> i64 {
        if node.images.is_empty() {
            return 0;
        }
        let Some(spec) = pod.spec() else { return 0 };
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let (mut sum, mut count) = (0, 0);
        for container in containers {
            count += 1;
            let name = normalized(container.image.as_deref().unwrap_or_default());
            if let Some(size) = node.images.get(&name) {
                // An image that few nodes have counts less, or all its pods would crowd there.
                let spread = snapshot.nodes_with_image(&name) as f64 / snapshot.nodes().len() as f64;
                sum += (*size as f64 * spread) as i64;
            }
        }
        let most = MOST * count;
        if most <= LEAST {
            return 0;
        }
        MAX_NODE_SCORE * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
    }
}

/// Without a tag it is the latest.
fn normalized(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}
