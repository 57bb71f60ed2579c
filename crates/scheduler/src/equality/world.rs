//! Random clusters, small and crowded, so that rules meet.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use stdx::Random;

use super::View;
use crate::cache::Cache;
use crate::pod_info::PodInfo;
use crate::testing::{node_from, pod_from};

pub(super) struct World {
    random: Random,
    pub cache: Cache,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
    namespaces: Vec<(String, Vec<(String, String)>)>,
    made: usize,
}

impl World {
    pub fn new(random: Random) -> Self {
        let namespaces =
            vec![("n1".to_owned(), vec![("team".to_owned(), "x".to_owned())]), ("n2".to_owned(), vec![])];
        let mut cache = Cache::default();
        for (name, labels) in &namespaces {
            let labels = labels.iter().cloned().collect();
            cache.snapshot_mut().namespaces.insert(name.clone(), labels);
        }
        let mut world = Self { random, cache, nodes: vec![], pods: vec![], namespaces, made: 0 };
        for _ in 0..1 + world.below(4) {
            world.add_node();
        }
        for _ in 0..world.below(6) {
            let pod = world.pod();
            world.place(&pod);
        }
        world
    }

    pub fn view(&self) -> View<'_> {
        View { nodes: &self.nodes, pods: &self.pods, namespaces: &self.namespaces }
    }

    /// A pod that is on a node and not on its way out.
    pub fn some_pod(&self) -> Option<Arc<PodInfo>> {
        let mut stays = self.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        stays.next_back().map(|pod| Arc::new(PodInfo::new(pod.clone())))
    }

    pub fn told(&self, pod: &PodInfo) -> String {
        let yaml = |value: serde_json::Result<Value>| value.expect("JSON").to_string();
        let nodes = self.nodes.iter().map(|node| yaml(serde_json::to_value(&**node)));
        let pods = self.pods.iter().map(|pod| yaml(serde_json::to_value(&**pod)));
        let all: Vec<_> = nodes.chain(pods).chain([yaml(serde_json::to_value(&*pod.pod))]).collect();
        all.join("\n")
    }

    /// Something happens in the cluster.
    pub fn change(&mut self, pod: &Arc<PodInfo>) {
        match self.below(8) {
            0 => self.add_node(),
            1 if self.nodes.len() > 1 => {
                let gone = self.nodes.remove(self.below(self.nodes.len()));
                let name = gone.metadata.name.clone().expect("named");
                self.cache.remove_node(&name);
                let (stay, leave) =
                    std::mem::take(&mut self.pods).into_iter().partition(|pod| on(pod) != name);
                self.pods = stay;
                leave.iter().for_each(|pod: &Arc<Pod>| self.forget(pod));
            }
            2 => {
                let at = self.below(self.nodes.len());
                let name = self.nodes[at].metadata.name.clone().expect("named");
                self.nodes[at] = self.node(&name);
                self.cache.set_node(self.nodes[at].clone());
            }
            3 if !self.pods.is_empty() => {
                let gone = self.pods.remove(self.below(self.pods.len()));
                self.forget(&gone);
            }
            _ => self.place(pod),
        }
    }

    fn forget(&mut self, pod: &Pod) {
        self.cache.remove_pod(pod.metadata.uid.as_deref().expect("has one"));
    }

    fn place(&mut self, pod: &PodInfo) {
        let node = self.nodes[self.below(self.nodes.len())].metadata.name.clone();
        let mut placed = (*pod.pod).clone();
        placed.spec.as_mut().expect("has one").node_name = node;
        let placed = Arc::new(placed);
        self.cache.set_pod(Arc::new(PodInfo::new(placed.clone())));
        self.pods.push(placed);
    }

    fn below(&self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn pick<'a>(&self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn maybe(&self, one_in: usize, value: impl FnOnce() -> Value) -> Value {
        if self.below(one_in) == 0 { value() } else { Value::Null }
    }

    fn add_node(&mut self) {
        self.made += 1;
        let node = self.node(&format!("node-{}", self.made));
        self.nodes.push(node.clone());
        self.cache.set_node(node);
    }

    fn node(&self, name: &str) -> Arc<Node> {
        let mut labels = json!({});
        if self.below(8) > 0 {
            labels["kubernetes.io/hostname"] = json!(name);
        }
        if self.below(5) > 0 {
            labels["zone"] = json!(self.pick(&["a", "b", "c"]));
        }
        let taints: Vec<Value> = (0..self.below(2))
            .map(|_| {
                json!({"key": self.pick(&["k", "l"]), "value": "v",
                "effect": self.pick(&["NoSchedule", "PreferNoSchedule", "NoExecute"])})
            })
            .collect();
        let unschedulable = self.below(8) == 0;
        node_from(json!({"metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints, "unschedulable": unschedulable},
            "status": {"allocatable": {"cpu": self.pick(&["1", "2", "4"]), "memory": self.pick(&["1Gi", "4Gi"]),
                "pods": self.pick(&["2", "10"])}}}))
    }

    /// A pod that waits.
    pub fn pod(&mut self) -> Arc<PodInfo> {
        self.made += 1;
        let name = format!("pod-{}", self.made);
        let mut metadata = json!({"name": name, "namespace": self.pick(&["n1", "n1", "n2"]), "uid": name,
            "labels": {"app": self.pick(&["a", "b"]), "tier": self.pick(&["x", "y"])}});
        if self.below(10) == 0 {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let requests = json!({"cpu": self.pick(&["0", "100m", "1"]), "memory": self.pick(&["0", "256Mi"])});
        let port = self.maybe(3, || {
            json!([{"containerPort": 80, "hostPort": 80, "hostIP": self.pick(&["", "10.0.0.1"]),
            "protocol": self.pick(&["TCP", "UDP"])}])
        });
        let spec = json!({
            "containers": [{"name": "c", "image": "i", "resources": {"requests": requests}, "ports": port}],
            "nodeName": self.maybe(20, || json!("node-1")),
            "nodeSelector": self.maybe(6, || json!({"zone": self.pick(&["a", "b"])})),
            "tolerations": self.maybe(2, || json!([{"key": self.pick(&["k", "l", ""]), "operator": "Exists",
                "effect": self.pick(&["NoSchedule", ""])}])),
            "affinity": {
                "nodeAffinity": self.maybe(5, || self.node_affinity()),
                "podAffinity": self.maybe(4, || self.neighbors()),
                "podAntiAffinity": self.maybe(4, || self.neighbors()),
            },
            "topologySpreadConstraints": self.maybe(2, || self.spread()),
        });
        pod_from(json!({"metadata": metadata, "spec": spec}))
    }

    fn node_affinity(&self) -> Value {
        let term = || {
            json!({"matchExpressions": [{"key": "zone", "operator": self.pick(&["In", "NotIn", "Exists"]),
            "values": [self.pick(&["a", "b"])]}]})
        };
        json!({"requiredDuringSchedulingIgnoredDuringExecution": self.maybe(2, || json!({"nodeSelectorTerms": [term()]})),
            "preferredDuringSchedulingIgnoredDuringExecution":
                self.maybe(2, || json!([{"weight": 1 + self.below(9), "preference": term()},
                    {"weight": 3, "preference": term()}]))})
    }

    fn selector(&self) -> Value {
        match self.below(5) {
            0 => json!({}),
            1 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
            2 => json!({"matchLabels": {"app": "a", "tier": "x"}}),
            _ => json!({"matchLabels": {"app": self.pick(&["a", "b"])}}),
        }
    }

    fn term(&self) -> Value {
        json!({"topologyKey": self.pick(&["zone", "kubernetes.io/hostname"]), "labelSelector": self.selector(),
        "namespaces": self.maybe(4, || json!(["n2"])),
        "namespaceSelector": self.maybe(4, || match self.below(2) {
            0 => json!({}),
            _ => json!({"matchLabels": {"team": "x"}}),
        })})
    }

    fn neighbors(&self) -> Value {
        let several =
            |of: &dyn Fn() -> Value| Value::from((0..1 + self.below(2)).map(|_| of()).collect::<Vec<_>>());
        json!({"requiredDuringSchedulingIgnoredDuringExecution": self.maybe(2, || several(&|| self.term())),
        "preferredDuringSchedulingIgnoredDuringExecution": self.maybe(2, || several(&|| {
            json!({"weight": 1 + self.below(100), "podAffinityTerm": self.term()})
        }))})
    }

    fn spread(&self) -> Value {
        let one = |_| {
            let hard = self.below(2) == 0;
            json!({"maxSkew": 1 + self.below(2), "topologyKey": self.pick(&["zone", "kubernetes.io/hostname"]),
                "whenUnsatisfiable": if hard { "DoNotSchedule" } else { "ScheduleAnyway" },
                "labelSelector": self.selector(),
                "minDomains": if hard { self.maybe(4, || json!(1 + self.below(4))) } else { Value::Null },
                "matchLabelKeys": self.maybe(4, || json!(["tier", "absent"])),
                "nodeAffinityPolicy": self.maybe(3, || json!("Ignore")),
                "nodeTaintsPolicy": self.maybe(3, || json!("Honor"))})
        };
        (0..1 + self.below(2)).map(one).collect()
    }
}

fn on(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}
