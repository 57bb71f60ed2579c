//! Which endpoints of a Service's port this node uses.
//!
//! Upstream: pkg/proxy/topology.go, pkg/proxy/endpointslicecache.go.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};

use crate::frontends::Port;
use crate::node::Facts;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub local: bool,
    zones: Vec<String>,
    nodes: Vec<String>,
}

/// The endpoints of one port, by who may use them.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub cluster: Vec<Endpoint>,
    pub local: Vec<Endpoint>,
    /// Whether any could be used, perhaps on another node.
    pub any: bool,
}

/// All endpoints of a port in its slices, each address and port once.
pub(crate) fn endpoints(port: &Port, slices: &[Arc<EndpointSlice>], facts: &Facts) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let number = ports
            .filter(|p| p.name.as_deref().unwrap_or_default() == port.name)
            .filter(|p| p.protocol.as_deref().unwrap_or("TCP") == port.protocol_name)
            .find_map(|p| u16::try_from(p.port?).ok());
        let Some(number) = number else { continue };
        found.extend(slice.endpoints.iter().flatten().filter_map(|e| endpoint(e, number, facts)));
    }
    // A ready one stands before one of the same address that is not.
    found.sort_by_key(|endpoint| (endpoint.address, endpoint.port, !endpoint.ready));
    found.dedup_by_key(|endpoint| (endpoint.address, endpoint.port));
    found
}

fn endpoint(of: &SliceEndpoint, port: u16, facts: &Facts) -> Option<Endpoint> {
    let conditions = of.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let hints = of.hints.clone().unwrap_or_default();
    Some(Endpoint {
        address: of.addresses.first()?.parse().ok()?,
        port,
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        local: of.node_name.as_deref() == Some(&facts.name),
        zones: hints.for_zones.into_iter().flatten().map(|zone| zone.name).collect(),
        nodes: hints.for_nodes.into_iter().flatten().map(|node| node.name).collect(),
    })
}

impl Endpoint {
    /// Still answers, though it goes: better than none.
    fn last_resort(&self) -> bool {
        self.serving && self.terminating
    }
}

pub(crate) fn choose(port: &Port, all: &[Endpoint], facts: &Facts) -> Chosen {
    let mut chosen = Chosen::default();
    if port.uses_cluster_endpoints() {
        let near = near(all, facts);
        chosen.cluster = or_last_resort(all, |endpoint| endpoint.ready && near(endpoint), |_| true);
        chosen.any = !chosen.cluster.is_empty();
    }
    if port.uses_local_endpoints() {
        chosen.any |= all.iter().any(|endpoint| endpoint.ready || endpoint.last_resort());
        chosen.local = or_last_resort(all, |endpoint| endpoint.ready && endpoint.local, |e| e.local);
    }
    chosen
}

/// The first kind, or if there are none those that go but still answer.
fn or_last_resort(
    all: &[Endpoint],
    first: impl Fn(&Endpoint) -> bool,
    fallback: impl Fn(&Endpoint) -> bool,
) -> Vec<Endpoint> {
    let chosen: Vec<_> = all.iter().filter(|endpoint| first(endpoint)).cloned().collect();
    if !chosen.is_empty() {
        return chosen;
    }
    all.iter().filter(|endpoint| endpoint.last_resort() && fallback(endpoint)).cloned().collect()
}

/// Follows the hints: to this node, else to this zone, if every ready endpoint has such hints and one names us.
fn near<'a>(all: &[Endpoint], facts: &'a Facts) -> Box<dyn Fn(&Endpoint) -> bool + 'a> {
    let ready = || all.iter().filter(|endpoint| endpoint.ready);
    let on_node = |endpoint: &Endpoint| endpoint.nodes.contains(&facts.name);
    if ready().all(|endpoint| !endpoint.nodes.is_empty()) && ready().any(on_node) {
        return Box::new(on_node);
    }
    let in_zone = |endpoint: &Endpoint| facts.zone.as_ref().is_some_and(|zone| endpoint.zones.contains(zone));
    if ready().all(|endpoint| !endpoint.zones.is_empty()) && ready().any(in_zone) {
        return Box::new(in_zone);
    }
    Box::new(|_| true)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;
    use crate::frontends;

    /// `node zone-hint node-hint state` per endpoint; state is `r`eady, `t`erminating and serving, or `-`.
    fn check(spec: Value, endpoints: &[&str], expect: Expect) {
        let service =
            serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec}))
                .expect("a Service");
        let facts = Facts { name: "here".into(), zone: Some("z1".into()), addresses: vec![] };
        let endpoints: Vec<_> = endpoints.iter().enumerate().map(|(i, text)| {
            let words: Vec<_> = text.split(' ').collect();
            let hint = |word: &str, field: &str| match word { "-" => json!({}), name => json!({field: [{"name": name}]}) };
            let mut hints = hint(words[1], "forZones");
            hints.as_object_mut().expect("an object").extend(hint(words[2], "forNodes").as_object().expect("an object").clone());
            json!({"addresses": [format!("10.0.0.{i}")], "nodeName": words[0], "hints": hints, "conditions": {
                "ready": words[3] == "r", "serving": words[3] != "-", "terminating": words[3] == "t"}})
        }).collect();
        let slice = json!({"metadata": {"name": "s-1"}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}]});
        let slices = [Arc::new(serde_json::from_value(slice).expect("a slice"))];
        let port = frontends::ports(&service).pop().expect("a port");
        let chosen = choose(&port, &super::endpoints(&port, &slices, &facts), &facts);
        let show = |list: Vec<Endpoint>| {
            list.iter().map(|e| e.address.to_string()[7..].to_owned()).collect::<Vec<_>>().join(" ")
        };
        expect.assert_eq(&format!(
            "cluster [{}] local [{}] any {}",
            show(chosen.cluster),
            show(chosen.local),
            chosen.any
        ));
    }

    fn cluster_ip() -> Value {
        json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]})
    }

    #[test]
    fn ready_ones_then_those_that_still_answer() {
        check(
            cluster_ip(),
            &["here - - r", "there - - t", "there - - -"],
            expect!["cluster [0] local [] any true"],
        );
        check(cluster_ip(), &["here - - -", "there - - t"], expect!["cluster [1] local [] any true"]);
        check(cluster_ip(), &["here - - -"], expect!["cluster [] local [] any false"]);
    }

    #[test]
    fn hints_count_only_if_all_have_them_and_one_is_for_us() {
        check(cluster_ip(), &["a z1 - r", "b z2 - r"], expect!["cluster [0] local [] any true"]);
        check(cluster_ip(), &["a z1 - r", "b - - r"], expect!["cluster [0 1] local [] any true"]);
        check(cluster_ip(), &["a z2 - r", "b z3 - r"], expect!["cluster [0 1] local [] any true"]);
        check(cluster_ip(), &["a z1 here r", "b z1 there r"], expect!["cluster [0] local [] any true"]);
        check(cluster_ip(), &["a z1 there r", "b z2 there r"], expect!["cluster [0] local [] any true"]);
    }

    #[test]
    fn local_policies() {
        let internal =
            json!({"clusterIP": "10.96.0.9", "internalTrafficPolicy": "Local", "ports": [{"port": 80}]});
        check(internal.clone(), &["here - - r", "there - - r"], expect!["cluster [] local [0] any true"]);
        check(internal.clone(), &["there - - r"], expect!["cluster [] local [] any true"]);
        check(internal, &["here - - t", "there - - r"], expect!["cluster [] local [0] any true"]);
        let external = json!({"clusterIP": "10.96.0.9", "type": "NodePort", "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "nodePort": 30080}]});
        check(external, &["here - - r", "there - - r"], expect!["cluster [0 1] local [0] any true"]);
    }
}
