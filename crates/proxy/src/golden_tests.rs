//! Whole tables of small clusters, as text.

use expect_test::{Expect, expect};
use linux::net::nft::Family;
use serde_json::{Value, json};

use crate::desired::Desired;
use crate::node::Facts;
use client::Key;

fn facts() -> Facts {
    Facts { name: "here".into(), zone: None, addresses: vec!["192.0.2.1".parse().expect("an address")] }
}

/// A Service `n/s` with these endpoints: address and node.
fn desired(service: Value, endpoints: &[(&str, &str)]) -> Desired {
    let ranges = ["10.244.0.0/16".parse().expect("a range")];
    let mut desired = Desired::new(Family::Ipv4, &ranges);
    desired.set_facts(facts());
    set(&mut desired, service, endpoints);
    desired
}

fn set(desired: &mut Desired, mut service: Value, endpoints: &[(&str, &str)]) {
    service["metadata"] = json!({"namespace": "n", "name": "s"});
    let endpoints: Vec<_> =
        endpoints.iter().map(|(ip, node)| json!({"addresses": [ip], "nodeName": node})).collect();
    let ports = service["spec"]["ports"].as_array().expect("ports").iter();
    let ports: Vec<_> =
        ports.map(|p| json!({"name": p["name"], "protocol": p["protocol"], "port": 8080})).collect();
    let slice =
        json!({"metadata": {"name": "s-1"}, "addressType": "IPv4", "endpoints": endpoints, "ports": ports});
    let service = serde_json::from_value(service).expect("a Service");
    let slices = [std::sync::Arc::new(serde_json::from_value(slice).expect("a slice"))];
    desired.set(&Key::new("n", "s"), Some(&service), &slices);
}

/// The elements only: the chains are the same for all.
fn check(service: Value, endpoints: &[(&str, &str)], expected: Expect) {
    let text = desired(service, endpoints).ruleset().to_string();
    let (sets, _) = text.split_once("chain ").expect("chains follow the sets");
    let mut shown = String::new();
    let mut head = "";
    for line in sets.lines() {
        if line.starts_with(' ') {
            if !head.is_empty() {
                shown += head.split(" {").next().expect("a head");
                shown += "\n";
                head = "";
            }
            shown += line;
            shown += "\n";
        } else {
            head = line;
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_cluster_ip() {
    check(
        json!({"spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}),
        &[("10.244.0.2", "here"), ("10.244.1.2", "there")],
        expect![[r#"
            set cluster-ips
              10.96.0.9
            map endpoints
              10.96.0.9 . tcp . 80 . 0 : 10.244.0.2 . 8080
              10.96.0.9 . tcp . 80 . 1 : 10.244.1.2 . 8080
            set hairpin
              10.244.0.2 . 10.244.0.2
            map masquerade
              10.96.0.9 . tcp . 80 : goto masquerade-outsiders
            map services
              10.96.0.9 . tcp . 80 : goto services-2
        "#]],
    );
}

#[test]
fn local_outside() {
    check(
        json!({"spec": {"clusterIP": "10.96.0.9", "type": "LoadBalancer", "externalTrafficPolicy": "Local",
            "loadBalancerSourceRanges": ["198.51.100.0/24"], "ports": [{"port": 80, "nodePort": 30080}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}),
        &[("10.244.0.2", "here"), ("10.244.1.2", "there")],
        expect![[r#"
            set cluster-ips
              10.96.0.9
            map endpoints
              10.96.0.9 . tcp . 80 . 0 : 10.244.0.2 . 8080
              10.96.0.9 . tcp . 80 . 1 : 10.244.1.2 . 8080
              192.0.2.1 . tcp . 30080 . 0 : 10.244.0.2 . 8080
              203.0.113.7 . tcp . 80 . 0 : 10.244.0.2 . 8080
            set hairpin
              10.244.0.2 . 10.244.0.2
            map inside
              192.0.2.1 . tcp . 30080 : goto inside-2
              203.0.113.7 . tcp . 80 : goto inside-2
            map inside-endpoints
              192.0.2.1 . tcp . 30080 . 0 : 10.244.0.2 . 8080
              192.0.2.1 . tcp . 30080 . 1 : 10.244.1.2 . 8080
              203.0.113.7 . tcp . 80 . 0 : 10.244.0.2 . 8080
              203.0.113.7 . tcp . 80 . 1 : 10.244.1.2 . 8080
            set limited
              203.0.113.7 . tcp . 80
            map masquerade
              10.96.0.9 . tcp . 80 : goto masquerade-outsiders
              192.0.2.1 . tcp . 30080 : goto masquerade-node
              203.0.113.7 . tcp . 80 : goto masquerade-node
            map services
              10.96.0.9 . tcp . 80 : goto services-2
              192.0.2.1 . tcp . 30080 : goto services-1
              203.0.113.7 . tcp . 80 : goto services-1
            set sources
              203.0.113.7 . tcp . 80 . 198.51.100.0-198.51.100.255
        "#]],
    );
    check(
        json!({"spec": {"clusterIP": "10.96.0.9", "type": "NodePort", "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "nodePort": 30080}]}}),
        &[("10.244.1.2", "there")],
        expect![[r#"
            set cluster-ips
              10.96.0.9
            map endpoints
              10.96.0.9 . tcp . 80 . 0 : 10.244.1.2 . 8080
            map inside
              192.0.2.1 . tcp . 30080 : goto inside-1
            map inside-endpoints
              192.0.2.1 . tcp . 30080 . 0 : 10.244.1.2 . 8080
            map masquerade
              10.96.0.9 . tcp . 80 : goto masquerade-outsiders
              192.0.2.1 . tcp . 30080 : goto masquerade-node
            map refused
              192.0.2.1 . tcp . 30080 : drop
            map services
              10.96.0.9 . tcp . 80 : goto services-1
        "#]],
    );
}

#[test]
fn clients_that_stay() {
    check(
        json!({"spec": {"clusterIP": "10.96.0.9", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}}),
        &[("10.244.0.2", "here")],
        expect![[r#"
            set cluster-ips
              10.96.0.9
            map endpoints
              10.96.0.9 . tcp . 80 . 0 : 10.244.0.2 . 8080
            set hairpin
              10.244.0.2 . 10.244.0.2
            map masquerade
              10.96.0.9 . tcp . 80 : goto masquerade-outsiders
            map services
              10.96.0.9 . tcp . 80 : goto services-1-for-10800s
        "#]],
    );
}

#[test]
fn nobody_answers() {
    check(
        json!({"spec": {"clusterIP": "10.96.0.9", "externalIPs": ["198.51.100.1"], "ports": [{"port": 53, "protocol": "UDP"}]}}),
        &[],
        expect![[r#"
            set cluster-ips
              10.96.0.9
            map masquerade
              10.96.0.9 . udp . 53 : goto masquerade-outsiders
              198.51.100.1 . udp . 53 : goto masquerade-all
            map refused
              10.96.0.9 . udp . 53 : goto reject
              198.51.100.1 . udp . 53 : goto reject
        "#]],
    );
    check(
        json!({"spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
        &[("10.244.0.2", "here")],
        expect![[""]],
    );
}

#[test]
fn a_server_at_the_cluster_ip_itself() {
    check(
        json!({"spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 8080, "protocol": "UDP"}]}}),
        &[("10.96.0.10", "")],
        expect![[r#"
            set cluster-ips
              10.96.0.10
            map refused
              10.96.0.10 . udp . 8080 : accept
        "#]],
    );
}

#[test]
fn the_whole_table() {
    let desired = desired(
        json!({"spec": {"clusterIP": "10.96.0.9", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}}),
        &[("10.244.0.2", "here")],
    );
    expect![[r#"
        map affinity { ipv4 . ipv4 . protocol . port : ipv4 . port timed }
        set cluster-ips { ipv4 }
          10.96.0.9
        map endpoints { ipv4 . protocol . port . number : ipv4 . port }
          10.96.0.9 . tcp . 80 . 0 : 10.244.0.2 . 8080
        set hairpin { ipv4 . ipv4 }
          10.244.0.2 . 10.244.0.2
        map inside { ipv4 . protocol . port : verdict }
        map inside-endpoints { ipv4 . protocol . port . number : ipv4 . port }
        set limited { ipv4 . protocol . port }
        map masquerade { ipv4 . protocol . port : verdict }
          10.96.0.9 . tcp . 80 : goto masquerade-outsiders
        map refused { ipv4 . protocol . port : verdict }
        map services { ipv4 . protocol . port : verdict }
          10.96.0.9 . tcp . 80 : goto services-1-for-10800s
        set sources { ipv4 . protocol . port . ipv4 ranges }
        chain forward (filter Forward 0)
          r0 = ct State; r0 &= [08, 00, 00, 00]; r0 != [00, 00, 00, 00]; jump refusals
        chain input (filter Input 0)
          r0 = ct State; r0 &= [08, 00, 00, 00]; r0 != [00, 00, 00, 00]; jump refusals
        chain limits (filter Prerouting -110)
          r0 = ct State; r0 &= [08, 00, 00, 00]; r0 != [00, 00, 00, 00]; r0 = network 16+4; r1 = protocol; r2 = transport 2+2; r0 in @limited; r3 = network 12+4; r0 not in @sources; drop
        chain masquerade-all
          masquerade
        chain masquerade-node
          r0 = type of source; r0 == [02, 00, 00, 00]; masquerade
        chain masquerade-outsiders
          r0 = network 12+4; r0 &= [ff, ff, 00, 00]; r0 == [0a, f4, 00, 00]; return
          masquerade
        chain output (nat Output -100)
          jump services
        chain postrouting (nat Postrouting 100)
          r0 = ct Status; r0 &= [20, 00, 00, 00]; r0 != [00, 00, 00, 00]; r0 = network 12+4; r1 = network 16+4; r0 in @hairpin; masquerade
          r0 = ct Status; r0 &= [20, 00, 00, 00]; r0 != [00, 00, 00, 00]; r0 = ct OriginalDestination(Ipv4); r1 = ct Protocol; r2 = ct OriginalDestinationPort; do @masquerade[r0]
        chain prerouting (nat Prerouting -100)
          jump services
        chain refusals
          r0 = network 16+4; r1 = protocol; r2 = transport 2+2; do @refused[r0]
          r0 = network 16+4; r0 in @cluster-ips; goto reject
        chain refuse-output (filter Output 0)
          r0 = ct State; r0 &= [08, 00, 00, 00]; r0 != [00, 00, 00, 00]; jump refusals
        chain reject
          reject
        chain services
          r0 = network 12+4; r0 &= [ff, ff, 00, 00]; r0 == [0a, f4, 00, 00]; r0 = network 16+4; r1 = protocol; r2 = transport 2+2; do @inside[r0]
          r0 = type of source; r0 == [02, 00, 00, 00]; r0 = network 16+4; r1 = protocol; r2 = transport 2+2; do @inside[r0]
          r0 = network 16+4; r1 = protocol; r2 = transport 2+2; do @services[r0]
        chain services-1-for-10800s
          r0 = network 12+4; r1 = network 16+4; r2 = protocol; r3 = transport 2+2; r5 = @affinity[r0]; @affinity[r0] = r5 for 10800000 ms; dnat to r5:r6
          r0 = network 12+4; r1 = network 16+4; r2 = protocol; r3 = transport 2+2; r4 = random below 1; r5 = @endpoints[r1]; @affinity[r0] = r5 for 10800000 ms; dnat to r5:r6
          r0 = network 12+4; r1 = network 16+4; r2 = protocol; r3 = transport 2+2; r4 = [00, 00, 00, 00]; r5 = @endpoints[r1]; @affinity[r0] = r5 for 10800000 ms; dnat to r5:r6
    "#]].assert_eq(&desired.ruleset().to_string());
}

#[test]
fn one_endpoint_more_changes_only_what_it_must() {
    let service = || json!({"spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}});
    let mut desired = desired(service(), &[("10.244.1.2", "there")]);
    desired.take_change();
    set(&mut desired, service(), &[("10.244.1.2", "there"), ("10.244.1.3", "there")]);
    let change = desired.take_change();
    let (old, new) = desired.elements(&change);
    let count = |elements: &linux::net::nft::Elements| elements.values().map(|e| e.len()).sum::<usize>();
    assert_eq!((count(&old), count(&new)), (1, 2), "{old:?} {new:?}");
    set(&mut desired, service(), &[("10.244.1.2", "there"), ("10.244.1.3", "there")]);
    assert!(desired.take_change().is_empty());
}
