//! Counters, in the names that CoreDNS gave them: dashboards for it work.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::wire::packed::Transport;
use crate::wire::{Code, Packed, kind};

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Count = Counter<u64, AtomicU64>;

/// The kinds that are counted by name.
const KINDS: [(u16, &str); 8] = [
    (kind::A, "A"),
    (kind::AAAA, "AAAA"),
    (kind::SRV, "SRV"),
    (kind::PTR, "PTR"),
    (kind::CNAME, "CNAME"),
    (kind::TXT, "TXT"),
    (kind::SOA, "SOA"),
    (kind::NS, "NS"),
];
const CODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
const OTHER: &str = "other";

/// What a DNS server has done so far.
pub struct Metrics {
    registry: Registry,
    /// By transport, then as [`KINDS`], then any other.
    requests: [Vec<Count>; 2],
    /// As [`CODES`], then any other.
    responses: Vec<Count>,
    hits: [Count; 2],
    misses: Count,
    forwards: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Labels<2>, Count>::default();
        let responses = Family::<Labels<1>, Count>::default();
        let hits = Family::<Labels<1>, Count>::default();
        let misses = Count::default();
        let forwards = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        registry.register("coredns_dns_requests", "Queries by transport and type", requests.clone());
        registry.register("coredns_dns_responses", "Answers by code", responses.clone());
        registry.register("coredns_cache_hits", "Answers from the cache", hits.clone());
        registry.register("coredns_cache_misses", "Queries that the cache did not answer", misses.clone());
        registry.register(
            "coredns_proxy_request_duration_seconds",
            "Time that other servers took",
            forwards.clone(),
        );
        let kinds = |proto| {
            let names = KINDS.iter().map(|(_, name)| *name).chain([OTHER]);
            names.map(|name| requests.get_or_create_owned(&[("proto", proto), ("type", name)])).collect()
        };
        let codes = CODES.iter().copied().chain([OTHER]);
        Self {
            requests: [kinds("udp"), kinds("tcp")],
            responses: codes.map(|code| responses.get_or_create_owned(&[("rcode", code)])).collect(),
            hits: ["success", "denial"].map(|kind| hits.get_or_create_owned(&[("type", kind)])),
            misses,
            forwards,
            registry,
        }
    }
}

impl Metrics {
    /// All counters in the Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    pub(crate) fn asked(&self, transport: Transport, kind: u16) {
        let known = KINDS.iter().position(|(number, _)| *number == kind);
        self.requests[transport as usize][known.unwrap_or(KINDS.len())].inc();
    }

    pub(crate) fn answered(&self, code: u8) {
        self.responses[usize::from(code).min(CODES.len())].inc();
    }

    pub(crate) fn hit(&self, answer: &Packed) {
        let denied = answer.answers() == 0 || !answer.is(Code::NoError);
        self.hits[usize::from(denied)].inc();
    }

    pub(crate) fn missed(&self) {
        self.misses.inc();
    }

    pub(crate) fn forwarded(&self, took: Duration) {
        self.forwards.observe(took.as_secs_f64());
    }
}
