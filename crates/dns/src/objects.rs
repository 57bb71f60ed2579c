//! What stands in the API for the DNS server: Service kube-system/kube-dns, and its only endpoint.
//!
//! The endpoint is the Service's own address (see [`crate::listen`]). The Service has no selector, so that no
//! controller makes another one.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

/// The name of the Service, as everywhere.
pub const SERVICE: &str = "kube-dns";
const NAMESPACE: &str = "kube-system";

/// Makes the Service and its slice, unless they are there.
///
/// # Errors
/// If the server refuses, as when another Service has the address.
pub async fn ensure(client: kube::Client, address: IpAddr) -> kube::Result<()> {
    create::<Service>(client.clone(), service(address)).await?;
    create::<EndpointSlice>(client, slice(address)).await
}

async fn create<K>(client: kube::Client, object: Value) -> kube::Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: client::Object + serde::Serialize,
{
    let object: K = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let api = Api::<K>::namespaced(client, NAMESPACE);
    // Looked for first: a second Service with the address is refused for the address, before its name is seen.
    if api.get_metadata_opt(SERVICE).await?.is_some() {
        return Ok(());
    }
    match api.create(&PostParams::default(), &object).await {
        Err(error) if client::is_already_exists(&error) => Ok(()),
        created => created.map(drop),
    }
}

fn service(address: IpAddr) -> Value {
    json!({
        "metadata": {"name": SERVICE, "labels": {
            "k8s-app": SERVICE,
            "kubernetes.io/cluster-service": "true",
            "kubernetes.io/name": "CoreDNS",
        }},
        "spec": {
            "clusterIP": address.to_string(),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    })
}

fn slice(address: IpAddr) -> Value {
    json!({
        "metadata": {"name": SERVICE, "labels": {
            "kubernetes.io/service-name": SERVICE,
            "endpointslice.kubernetes.io/managed-by": "dromon",
        }},
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    })
}
