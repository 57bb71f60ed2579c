//! The answers of the cluster's own zone, and of the reverse names of its addresses.
//!
//! Upstream: the Kubernetes DNS specification 1.1; where it leaves a choice, CoreDNS, plugin/kubernetes.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use stdx::Random;

use crate::question::{Asked, Part, asked, reverse};
use crate::settings::Shared;
use crate::view::{Port, Target, View, cluster_ips};
use crate::wire::name::{is_sound, is_within};
use crate::wire::{Data, Record, kind};

/// The version of the specification that we keep.
const VERSION: &str = "1.1.0";

/// What the zone says to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The name is somebody else's.
    NotOurs,
    NoSuchName,
    /// The name is there, and has nothing of this kind.
    NoData,
    Records {
        answers: Vec<Record>,
        additional: Vec<Record>,
    },
    /// Another name for `target`.
    Alias {
        record: Record,
        target: String,
    },
    /// Zones are not handed out.
    Refused,
}

pub(crate) struct Zone {
    domain: String,
    service: IpAddr,
    view: View,
    settings: Shared,
    random: Random,
}

/// Where a name of a Service leads, at one port.
struct Found {
    address: IpAddr,
    port: Option<u16>,
    /// The full name of the address.
    name: String,
}

impl Zone {
    pub fn new(domain: String, service: IpAddr, view: View, settings: Shared, random: Random) -> Self {
        Self { domain: domain.to_ascii_lowercase(), service, view, settings, random }
    }

    /// `name` is in lower case.
    pub fn answer(&self, name: &str, kind: u16) -> Answer {
        if let Some(address) = reverse(name) {
            return self.pointers(name, kind, address);
        }
        if !is_within(name, &self.domain) {
            return Answer::NotOurs;
        }
        if matches!(kind, kind::AXFR | kind::IXFR) {
            return Answer::Refused;
        }
        let below = name[..name.len() - self.domain.len()].trim_end_matches('.');
        match asked(below) {
            Asked::Apex => self.apex(name, kind),
            Asked::Version => of_kind(kind, vec![self.record(name, Data::Txt(VERSION.into()))]),
            Asked::NameServer => of_kind(kind, vec![self.record(name, address(self.service))]),
            Asked::Between => Answer::NoData,
            Asked::Namespace(namespace) => self.in_namespace(namespace, Answer::NoData),
            Asked::Pod { namespace, pod } => self.in_namespace(namespace, self.pod(name, kind, pod)),
            Asked::Service { namespace, service, part } => self.service(name, kind, namespace, service, part),
            Asked::Nothing => Answer::NoSuchName,
        }
    }

    /// The record that goes with every denial.
    pub fn authority(&self) -> Record {
        let ttl = self.ttl();
        // Denials hold no longer than answers do. Nobody transfers the zone: its serial number means nothing.
        let data = Data::Soa {
            server: format!("ns.dns.{}", self.domain),
            mail: format!("hostmaster.{}", self.domain),
            serial: 1,
            minimum: ttl,
        };
        Record { owner: self.domain.clone(), ttl, data }
    }

    fn ttl(&self) -> u32 {
        self.settings.load().ttl
    }

    fn record(&self, owner: &str, data: Data) -> Record {
        Record { owner: owner.to_owned(), ttl: self.ttl(), data }
    }

    fn in_namespace(&self, namespace: &str, answer: Answer) -> Answer {
        if self.view.has_namespace(namespace) { answer } else { Answer::NoSuchName }
    }

    fn apex(&self, name: &str, kind: u16) -> Answer {
        let server = format!("ns.dns.{}", self.domain);
        match kind {
            kind::SOA => Answer::Records { answers: vec![self.authority()], additional: Vec::new() },
            kind::NS => Answer::Records {
                answers: vec![self.record(name, Data::Ns(server.clone()))],
                additional: vec![self.record(&server, address(self.service))],
            },
            _ => Answer::NoData,
        }
    }

    /// `1-2-3-4.NAMESPACE.pod`: the address that the name says, whoever has it.
    fn pod(&self, name: &str, kind: u16, pod: &str) -> Answer {
        let dotted =
            pod.replace('-', if pod.matches('-').count() == 3 && !pod.contains("--") { "." } else { ":" });
        match dotted.parse::<IpAddr>() {
            Ok(found) => of_kind(kind, vec![self.record(name, address(found))]),
            Err(_) => Answer::NoSuchName,
        }
    }

    fn pointers(&self, name: &str, kind: u16, address: IpAddr) -> Answer {
        let services = self.view.services_at(address);
        let mut names: Vec<String> =
            services.iter().map(|key| self.service_name(&key.namespace, &key.name)).collect();
        if names.is_empty() {
            let endpoints = self.view.endpoints_at(address);
            let named = endpoints
                .iter()
                .map(|(host, key)| format!("{host}.{}", self.service_name(&key.namespace, &key.name)));
            names = named.collect();
        }
        names.dedup();
        match (names.is_empty(), kind) {
            (true, _) => Answer::NotOurs,
            (false, kind::PTR) => Answer::Records {
                answers: names.into_iter().map(|target| self.record(name, Data::Ptr(target))).collect(),
                additional: Vec::new(),
            },
            (false, _) => Answer::NoData,
        }
    }

    fn service_name(&self, namespace: &str, service: &str) -> String {
        format!("{service}.{namespace}.svc.{}", self.domain)
    }

    fn service(&self, name: &str, kind: u16, namespace: &str, service: &str, part: Part<'_>) -> Answer {
        let Some(object) = self.view.service(namespace, service) else { return Answer::NoSuchName };
        if let Some(target) = external_name(&object) {
            return match part {
                Part::Whole if is_sound(&target) => self.alias(name, target),
                _ => Answer::NoSuchName,
            };
        }
        let found = self.find(&object, namespace, service, part);
        if found.is_empty() {
            return Answer::NoSuchName;
        }
        match kind {
            kind::SRV => self.locations(name, found),
            _ => self.addresses(name, kind, found),
        }
    }

    fn alias(&self, name: &str, target: String) -> Answer {
        Answer::Alias { record: self.record(name, Data::Cname(target.clone())), target }
    }

    fn find(&self, object: &Arc<Service>, namespace: &str, service: &str, part: Part<'_>) -> Vec<Found> {
        let own = self.service_name(namespace, service);
        let addresses: Vec<IpAddr> = cluster_ips(object).collect();
        if addresses.is_empty() || matches!(part, Part::Endpoint(_)) {
            let targets = self.view.targets(namespace, service);
            let chosen = targets.into_iter().filter(|target| is_meant(part, target));
            let found = chosen.map(|target| Found {
                address: target.address,
                port: target.port.map(|port| port.number),
                name: format!("{}.{own}", target.name.to_ascii_lowercase()),
            });
            return found.collect();
        }
        let ports = object.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let ports = ports.filter_map(|port| {
            let name = port.name.clone().unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some(Port { name, protocol, number: u16::try_from(port.port).ok()? })
        });
        let chosen = ports.filter(|port| is_port(part, Some(port)));
        let at_all = |port: Port| {
            let own = own.clone();
            addresses.iter().map(move |address| Found {
                address: *address,
                port: Some(port.number),
                name: own.clone(),
            })
        };
        chosen.flat_map(at_all).collect()
    }

    /// A and AAAA: each address once, in an order that changes, since clients like the first.
    fn addresses(&self, name: &str, kind: u16, found: Vec<Found>) -> Answer {
        let mut records: Vec<Record> = Vec::new();
        for data in found.into_iter().map(|found| address(found.address)) {
            if !records.iter().any(|record| record.data == data) {
                records.push(self.record(name, data));
            }
        }
        match of_kind(kind, records) {
            Answer::Records { mut answers, additional } => {
                let first = self.random.below(answers.len() as u64) as usize;
                answers.rotate_left(first);
                Answer::Records { answers, additional }
            }
            other => other,
        }
    }

    fn locations(&self, name: &str, found: Vec<Found>) -> Answer {
        let mut places: Vec<(u16, &str)> =
            found.iter().filter_map(|found| Some((found.port?, found.name.as_str()))).collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Answer::NoData;
        }
        // The weights of one priority add up to 100, as far as that goes.
        let weight = u16::try_from(100 / places.len()).unwrap_or(100).max(1);
        let location = |(port, target): (u16, &str)| Data::Srv { weight, port, target: target.to_owned() };
        let answers = places.into_iter().map(|place| self.record(name, location(place))).collect();
        let mut additional: Vec<Record> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for found in &found {
            if seen.insert((&found.name, found.address)) {
                additional.push(self.record(&found.name, address(found.address)));
            }
        }
        Answer::Records { answers, additional }
    }
}

fn address(address: IpAddr) -> Data {
    match address {
        IpAddr::V4(address) => Data::A(address),
        IpAddr::V6(address) => Data::Aaaa(address),
    }
}

fn of_kind(kind: u16, records: Vec<Record>) -> Answer {
    let answers: Vec<Record> =
        records.into_iter().filter(|record| kind == kind::ANY || record.data.kind() == kind).collect();
    if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additional: Vec::new() } }
}

/// The name that the Service stands for, in lower case.
fn external_name(service: &Service) -> Option<String> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"))?;
    let name = spec.external_name.as_deref().unwrap_or_default();
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

fn is_meant(part: Part<'_>, target: &Target) -> bool {
    match part {
        Part::Endpoint(name) => target.name.eq_ignore_ascii_case(name),
        _ => is_port(part, target.port.as_ref()),
    }
}

fn is_port(part: Part<'_>, port: Option<&Port>) -> bool {
    match (part, port) {
        (Part::Port { port: name, protocol }, Some(port)) => {
            port.name.eq_ignore_ascii_case(name) && port.protocol.eq_ignore_ascii_case(protocol)
        }
        (Part::Port { .. }, None) => false,
        _ => true,
    }
}
