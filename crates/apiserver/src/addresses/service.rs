//! What a Service holds and what it needs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use stdx::Random;

use super::pool::{Pool, Refusal, Taken};
use crate::error::ApiError;
use crate::object;
use crate::registry::Storage;

/// A field that cannot be what it is.
pub struct Problem {
    field: String,
    value: Value,
    detail: String,
}

impl Problem {
    pub fn into_error(self, storage: &Storage, object: &Value) -> ApiError {
        let message = format!("Invalid value: {}: {}", self.value, self.detail);
        let error = ("FieldValueInvalid".to_string(), message, self.field);
        ApiError::invalid(&storage.resource.group, &storage.kind, object::name(object), &[error])
    }
}

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn has_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
        _ => false,
    }
}

fn cluster_ip(service: &Value) -> &str {
    service["spec"]["clusterIP"].as_str().unwrap_or("")
}

fn ports(service: &Value) -> &[Value] {
    service["spec"]["ports"].as_array().map_or(&[], Vec::as_slice)
}

fn port_number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0) // none is asked for
}

/// Addresses and ports that are in the Service.
pub fn held(service: &Value) -> Taken {
    let addresses = match kind(service) {
        "ExternalName" => BTreeSet::new(),
        _ => cluster_ip(service).parse().into_iter().collect(), // "None" is no address
    };
    let mut held: BTreeSet<u16> =
        ports(service).iter().filter_map(|port| port_number(&port["nodePort"])).collect();
    held.extend(port_number(&service["spec"]["healthCheckNodePort"]));
    Taken { addresses, ports: held }
}

/// What the client left out and the old state had.
///
/// Upstream: `patchAllocatedValues`.
pub fn carry_over(service: &mut Value, old: &Value) {
    if kind(service) != "ExternalName" && kind(old) != "ExternalName" && cluster_ip(service).is_empty() {
        object::carry_over(&mut service["spec"], &old["spec"], &["clusterIP", "clusterIPs"]);
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if service["spec"][field].is_null() {
            object::carry_over(&mut service["spec"], &old["spec"], &[field]);
        }
    }
    if !has_node_ports(service) || !has_node_ports(old) {
        return;
    }
    let before = ports(old).to_vec();
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port_number(&port["nodePort"]).is_some() {
            continue;
        }
        let same = |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if let Some(node_port) = before.iter().find(same).and_then(|other| port_number(&other["nodePort"])) {
            port["nodePort"] = json!(node_port);
        }
    }
}

/// Gives the Service everything it needs and does not have; `taken` collects what that was.
pub fn assign(
    service: &mut Value,
    old: Option<&Value>,
    pool: &mut Pool,
    random: &Random,
    taken: &mut Taken,
) -> Result<(), Problem> {
    let already = old.map(held).unwrap_or_default(); // a new one holds nothing
    if kind(service) == "ExternalName" {
        object::carry_over(
            &mut service["spec"],
            &Value::Null,
            &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
        );
        return Ok(());
    }
    families(service)?;
    address(service, &already, pool, random, taken)?;
    if has_node_ports(service) {
        node_ports(service, &already, pool, random, taken)?;
    }
    Ok(())
}

/// This cluster has one family of addresses.
fn families(service: &mut Value) -> Result<(), Problem> {
    let spec = &mut service["spec"];
    if spec["ipFamilyPolicy"] == "RequireDualStack" {
        return Err(Problem {
            field: "spec.ipFamilyPolicy".into(),
            value: spec["ipFamilyPolicy"].clone(),
            detail: "this cluster is not configured for dual-stack services".into(),
        });
    }
    let asked = spec["ipFamilies"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(at) = asked.iter().position(|family| family != "IPv4") {
        return Err(Problem {
            field: format!("spec.ipFamilies[{at}]"),
            value: asked[at].clone(),
            detail: "not configured on this cluster".into(),
        });
    }
    spec["ipFamilies"] = json!(["IPv4"]);
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    Ok(())
}

fn address(
    service: &mut Value,
    already: &Taken,
    pool: &mut Pool,
    random: &Random,
    taken: &mut Taken,
) -> Result<(), Problem> {
    let spec = &mut service["spec"];
    let listed = spec["clusterIPs"][0].as_str().unwrap_or("").to_string();
    let asked = match spec["clusterIP"].as_str() {
        Some(text) if !text.is_empty() => text.to_string(),
        _ => listed,
    };
    let problem = |value: &str, detail: String| Problem {
        field: "spec.clusterIPs".into(),
        value: json!([value]),
        detail,
    };
    let given = match asked.as_str() {
        "None" => asked,
        "" => {
            let address = pool
                .any_address(random)
                .map_err(|refusal| problem("", format!("failed to allocate a serviceIP: {refusal}")))?;
            taken.addresses.insert(address);
            address.to_string()
        }
        text => {
            let Ok(address) = text.parse::<Ipv4Addr>() else { return Ok(()) }; // validation says why
            if !already.addresses.contains(&address) {
                pool.take_address(address).map_err(|refusal| match refusal {
                    Refusal::AddressOutside { .. } => problem(
                        text,
                        format!("failed to allocate IP {text}: the provided network does not match the current range"),
                    ),
                    other => problem(text, format!("failed to allocate IP {text}: {other}")),
                })?;
                taken.addresses.insert(address);
            }
            asked
        }
    };
    spec["clusterIP"] = json!(given);
    spec["clusterIPs"] = json!([given]);
    Ok(())
}

fn node_ports(
    service: &mut Value,
    already: &Taken,
    pool: &mut Pool,
    random: &Random,
    taken: &mut Taken,
) -> Result<(), Problem> {
    let problem = |at: usize, value: Value, refusal: Refusal| Problem {
        field: format!("spec.ports[{at}].nodePort"),
        value,
        detail: refusal.to_string(),
    };
    for (at, port) in service["spec"]["ports"].as_array_mut().into_iter().flatten().enumerate() {
        match port_number(&port["nodePort"]) {
            // The same number for another protocol of the same Service is one and the same port.
            Some(number) if already.ports.contains(&number) || taken.ports.contains(&number) => {}
            Some(number) => {
                pool.take_port(number).map_err(|refusal| problem(at, json!(number), refusal))?;
                taken.ports.insert(number);
            }
            None => {
                let number = pool.any_port(random).map_err(|refusal| problem(at, json!(0), refusal))?;
                taken.ports.insert(number);
                port["nodePort"] = json!(number);
            }
        }
    }
    Ok(())
}
