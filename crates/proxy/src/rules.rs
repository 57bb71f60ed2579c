//! What one Service wants of the maps. Pure.
//!
//! Upstream: pkg/proxy/nftables/proxier.go, `syncProxyRules`.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use linux::net::nft::{Family, Key, Value, Verdict};

use crate::endpoints::{Endpoint, choose, endpoints};
use crate::frontends::{Port, ports};
use crate::layout::{
    CLUSTER_IPS, ENDPOINTS, HAIRPIN, INSIDE, INSIDE_ENDPOINTS, LIMITED, MASQUERADE, MASQUERADE_ALL,
    MASQUERADE_NODE, MASQUERADE_OUTSIDERS, Method, REFUSED, REJECT, SERVICES, SOURCES,
};
use crate::network::family_of;
use crate::node::Facts;

/// One element of one map.
pub(crate) type Claim = (&'static str, Key, Value);

/// What a Service wants.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub claims: Vec<Claim>,
    pub datagrams: Vec<Datagrams>,
    pub health: Option<Health>,
}

/// Where datagrams may go: others' connections are forgotten, since nothing ends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagrams {
    pub frontends: Vec<(IpAddr, u16)>,
    pub endpoints: Vec<(IpAddr, u16)>,
}

/// What a balancer outside is told on the Service's own health port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub port: u16,
    pub local_endpoints: usize,
}

const UDP: u8 = 17;
/// A Service with more than these is balanced over the first of them: each is an element of the map.
const MOST_ENDPOINTS: usize = 16_384;

struct Writer<'a> {
    family: Family,
    facts: &'a Facts,
    wanted: Wanted,
}

/// Everything that the Service wants of one family's table.
pub(crate) fn wanted(
    family: Family,
    facts: &Facts,
    service: &Service,
    slices: &[Arc<EndpointSlice>],
) -> Wanted {
    let mut writer = Writer { family, facts, wanted: Wanted::default() };
    let mut local = std::collections::BTreeSet::new();
    for port in ports(service) {
        let all = endpoints(&port, slices, facts);
        let all: Vec<_> = all.into_iter().filter(|e| family_of(e.address) == family).collect();
        local.extend(writer.port(&port, &all));
    }
    writer.wanted.health = health_port(service).map(|port| Health { port, local_endpoints: local.len() });
    writer.wanted
}

fn health_port(service: &Service) -> Option<u16> {
    let spec = service.spec.as_ref()?;
    let asked = spec.type_.as_deref() == Some("LoadBalancer")
        && spec.external_traffic_policy.as_deref() == Some("Local");
    spec.health_check_node_port.filter(|port| asked && *port > 0).and_then(|port| u16::try_from(port).ok())
}

impl Writer<'_> {
    fn claim(&mut self, set: &'static str, key: Key, value: Value) {
        self.wanted.claims.push((set, key, value));
    }

    /// Answers the local endpoints' addresses, if there is a local policy.
    fn port(&mut self, port: &Port, all: &[Endpoint]) -> Vec<IpAddr> {
        let chosen = choose(port, all, self.facts);
        let inner = if port.internal_local { &chosen.local } else { &chosen.cluster };
        let outer = if port.external_local { &chosen.local } else { &chosen.cluster };
        for address in &port.cluster_ips {
            if family_of(*address) == self.family {
                self.claim(CLUSTER_IPS, Key::new().address(*address), Value::None);
                let frontend = (*address, port.port);
                if is_itself(frontend, inner) {
                    self.let_through(port, frontend);
                    continue;
                }
                self.answer(port, frontend, inner, chosen.any);
                self.masquerade(port, frontend, MASQUERADE_OUTSIDERS);
            }
        }
        for frontend in self.outside(port) {
            self.answer(port, frontend, outer, chosen.any);
            if port.external_local {
                self.lead(INSIDE, port, frontend, &chosen.cluster);
                self.masquerade(port, frontend, MASQUERADE_NODE);
            } else {
                self.masquerade(port, frontend, MASQUERADE_ALL);
            }
        }
        self.limits(port);
        self.hairpins(chosen.cluster.iter().chain(&chosen.local));
        if port.protocol == UDP {
            self.datagrams(port, chosen.cluster.iter().chain(&chosen.local));
        }
        chosen.local.iter().map(|endpoint| endpoint.address).collect()
    }

    fn outside(&self, port: &Port) -> Vec<(IpAddr, u16)> {
        let all = port.outside(self.facts).into_iter();
        all.filter(|(address, _)| family_of(*address) == self.family).collect()
    }

    /// Something on this node listens at the ClusterIP: nothing to translate, nothing to refuse.
    fn let_through(&mut self, port: &Port, frontend: (IpAddr, u16)) {
        self.claim(REFUSED, key(port, frontend), Value::Verdict(Verdict::Accept));
    }

    fn answer(&mut self, port: &Port, frontend: (IpAddr, u16), endpoints: &[Endpoint], any: bool) {
        self.lead(SERVICES, port, frontend, endpoints);
        if endpoints.is_empty() {
            // Endpoints elsewhere: the client's next try may reach another node.
            let verdict = if any { Verdict::Drop } else { Verdict::Goto(REJECT.into()) };
            self.claim(REFUSED, key(port, frontend), Value::Verdict(verdict));
        }
    }

    /// Leads from a frontend to its endpoints, if there are any.
    fn lead(&mut self, map: &'static str, port: &Port, frontend: (IpAddr, u16), endpoints: &[Endpoint]) {
        let endpoints = &endpoints[..endpoints.len().min(MOST_ENDPOINTS)];
        if endpoints.is_empty() {
            return;
        }
        let key = key(port, frontend);
        let numbered = if map == INSIDE { INSIDE_ENDPOINTS } else { ENDPOINTS };
        for (number, endpoint) in (0..).zip(endpoints) {
            let value = Key::new().address(endpoint.address).port(endpoint.port).value();
            self.claim(numbered, key.clone().number(number), value);
        }
        let method = Method { count: endpoints.len() as u32, affinity_s: port.affinity_s.unwrap_or(0) };
        self.claim(map, key, Value::Verdict(Verdict::Goto(method.chain(map))));
    }

    fn masquerade(&mut self, port: &Port, frontend: (IpAddr, u16), chain: &str) {
        self.claim(MASQUERADE, key(port, frontend), Value::Verdict(Verdict::Goto(chain.into())));
    }

    fn limits(&mut self, port: &Port) {
        let Some(ranges) = &port.source_ranges else { return };
        let family = self.family;
        for address in port.balancer_ips.iter().filter(|address| family_of(**address) == family) {
            let limited = key(port, (*address, port.port));
            self.claim(LIMITED, limited.clone(), Value::None);
            for range in ranges.iter().filter(|range| range.family() == family) {
                let (first, last) = range.ends();
                self.claim(SOURCES, limited.clone().addresses(first, last), Value::None);
            }
        }
    }

    fn hairpins<'e>(&mut self, endpoints: impl Iterator<Item = &'e Endpoint>) {
        for endpoint in endpoints.filter(|endpoint| endpoint.local) {
            let key = Key::new().address(endpoint.address).address(endpoint.address);
            self.claim(HAIRPIN, key, Value::None);
        }
    }

    fn datagrams<'e>(&mut self, port: &Port, endpoints: impl Iterator<Item = &'e Endpoint>) {
        let cluster = port.cluster_ips.iter().filter(|address| family_of(**address) == self.family);
        let mut frontends: Vec<_> = cluster.map(|address| (*address, port.port)).collect();
        frontends.extend(self.outside(port));
        let mut endpoints: Vec<_> = endpoints.map(|endpoint| (endpoint.address, endpoint.port)).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        self.wanted.datagrams.push(Datagrams { frontends, endpoints });
    }
}

/// Whether the Service's only endpoint is its own address, as with the cluster's DNS on every node.
fn is_itself(frontend: (IpAddr, u16), endpoints: &[Endpoint]) -> bool {
    matches!(endpoints, [only] if (only.address, only.port) == frontend)
}

fn key(port: &Port, (address, number): (IpAddr, u16)) -> Key {
    Key::new().address(address).protocol(port.protocol).port(number)
}
