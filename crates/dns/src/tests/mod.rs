//! From a query's bytes to an answer's bytes, over a cluster that stands still.

mod cluster;
mod forwarding;
mod print;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use client::Store;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stdx::{Clock, Random};

use crate::forward::Forwarder;
use crate::resolver::{Now, Resolver};
use crate::settings::{Settings, Shared};
use crate::upstreams::Upstreams;
use crate::view::View;
use crate::wire::packed::Transport;
use crate::wire::{Query, kind};
use crate::zone::Zone;

const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

fn store<K: client::Object + DeserializeOwned>(objects: Vec<Value>) -> Store<K> {
    Store::fixed(objects.into_iter().map(|object| serde_json::from_value(object).expect("a sound object")))
}

fn service(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec})
}

fn slice(name: &str, service: &str, ports: Value, endpoints: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "n", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    })
}

fn view() -> View {
    let http = json!({"name": "http", "port": 80, "protocol": "TCP"});
    let services = vec![
        service(
            "web",
            json!({"clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"], "ports": [http, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        service("dual", json!({"clusterIPs": ["10.96.1.2", "fd00::2"], "ports": [http]})),
        service("db", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [http]})),
        service("portless", json!({"clusterIP": "None"})),
        service("nobody", json!({"clusterIP": "None", "ports": [http]})),
        service("inside", json!({"type": "ExternalName", "externalName": "web.n.svc.cluster.local"})),
        service("chain", json!({"type": "ExternalName", "externalName": "Inside.n.svc.cluster.local."})),
        service("outside", json!({"type": "ExternalName", "externalName": "www.example.com"})),
        service("circle", json!({"type": "ExternalName", "externalName": "circle.n.svc.cluster.local"})),
        service("big", json!({"clusterIP": "None", "ports": [http]})),
    ];
    let many: Vec<Value> = (1..=100).map(|last| json!({"addresses": [format!("10.244.9.{last}")]})).collect();
    let slices = vec![
        slice(
            "db-1",
            "db",
            json!([{"name": "http", "port": 8080, "protocol": "TCP"}]),
            json!([
                {"addresses": ["10.244.0.7"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.244.0.8"], "conditions": {"ready": true}},
                {"addresses": ["10.244.0.9"], "conditions": {"ready": false}},
            ]),
        ),
        slice("portless-1", "portless", json!([]), json!([{"addresses": ["10.244.0.5"]}])),
        slice(
            "web-1",
            "web",
            json!([{"name": "http", "port": 8080}]),
            json!([{"addresses": ["10.244.0.6"]}]),
        ),
        slice("big-1", "big", json!([{"name": "http", "port": 80, "protocol": "TCP"}]), json!(many)),
    ];
    let namespaces = vec![json!({"metadata": {"name": "n"}})];
    View::over(store(services), store(slices), store(namespaces))
}

fn resolver(upstreams: Vec<SocketAddr>) -> Arc<Resolver> {
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let settings = Shared::default();
    settings.store(Arc::new(Settings { upstreams, ..Settings::default() }));
    let forward = Upstreams::new("/nowhere".into(), vec![SERVICE], settings.clone());
    Arc::new(Resolver::new(
        Zone::new("cluster.local".into(), SERVICE, view(), settings.clone(), random.clone()),
        Forwarder::new(forward, clock.clone(), random),
        settings,
        Arc::default(),
        clock,
    ))
}

/// Asks, and waits for others if it must.
async fn exchange(resolver: &Resolver, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    match resolver.answer_now(message, transport) {
        Now::Send(answer) => Some(answer),
        Now::Later => resolver.answer(message, transport).await,
        Now::Ignore => None,
    }
}

/// What `dig` would print of the answer.
async fn dig(resolver: &Resolver, name: &str, kind: u16) -> String {
    let message = Query::write(7, name, kind);
    match exchange(resolver, &message, Transport::Udp).await {
        Some(answer) => print::message(&answer),
        None => "no answer".into(),
    }
}

fn number_of(kind: &str) -> u16 {
    match kind {
        "A" => kind::A,
        "AAAA" => kind::AAAA,
        "CNAME" => kind::CNAME,
        "NS" => kind::NS,
        "PTR" => kind::PTR,
        "SOA" => kind::SOA,
        "SRV" => kind::SRV,
        "TXT" => kind::TXT,
        "AXFR" => kind::AXFR,
        "ANY" => kind::ANY,
        other => other.parse().expect("a kind's name or number"),
    }
}
