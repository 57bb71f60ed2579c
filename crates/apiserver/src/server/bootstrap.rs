//! What every cluster has from its first second: namespaces, priority classes, the `kubernetes` Service, roles.
//!
//! Everything is created through the request path, as the server's own user.
//!
//! Upstream: pkg/controlplane/instance.go; plugin/pkg/admission/priority; pkg/apis/scheduling/types.go.

use http::Method;
use serde_json::{Value, json};

use super::{Handle, StartError};
use crate::admission::priority::{self, SYSTEM_CLASSES};
use crate::auth::UserInfo;
use crate::body;
use crate::serve::Handler as _;

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];
pub async fn run(handle: &Handle) -> Result<(), StartError> {
    for name in NAMESPACES {
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        ensure(handle, "/api/v1/namespaces", name, namespace).await;
    }
    for class in &SYSTEM_CLASSES {
        let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
        ensure(handle, path, class.0, priority::object(class)).await;
    }
    kubernetes_service(handle).await;
    crate::auth::rbac::ensure(handle.handler().as_ref())
        .await
        .map_err(|source| StartError::Bootstrap { source })
}

/// Leads pods to this server: a Service without selector, with endpoints of its own.
async fn kubernetes_service(handle: &Handle) {
    let config = &handle.core.config;
    let (network, _) = config.service_network;
    let first = std::net::Ipv4Addr::from(u32::from(network) + 1).to_string();
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {
            "type": "ClusterIP", "clusterIP": first, "clusterIPs": [first], "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": config.advertise_port()}],
        },
    });
    ensure(handle, "/api/v1/namespaces/default/services", "kubernetes", service).await;
    let address = config.advertise_address.to_string();
    let port = config.advertise_port();
    let endpoints = json!({
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": address}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    });
    replace(handle, "/api/v1/namespaces/default/endpoints", "kubernetes", endpoints).await;
    let slice = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    replace(handle, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "kubernetes", slice).await;
}

/// Creates what is not there.
async fn ensure(handle: &Handle, collection: &str, name: &str, object: Value) {
    // Asked first: a Service that is there already would fail at its own address.
    if send(handle, Method::GET, &format!("{collection}/{name}"), &Value::Null).await == 200 {
        return;
    }
    let code = send(handle, Method::POST, collection, &object).await;
    report(code, &[201, 409], collection, name);
}

/// Creates, or brings up to date: the server's address may be another than last time.
async fn replace(handle: &Handle, collection: &str, name: &str, object: Value) {
    let code = send(handle, Method::POST, collection, &object).await;
    if code == 409 {
        let code = send(handle, Method::PUT, &format!("{collection}/{name}"), &object).await;
        return report(code, &[200, 201], collection, name);
    }
    report(code, &[200, 201], collection, name);
}

/// A missing object of this kind degrades the cluster and does not keep it from running.
fn report(code: u16, fine: &[u16], collection: &str, name: &str) {
    if !fine.contains(&code) {
        tracing::error!(collection, name, code, "cannot create an object that every cluster has");
    }
}

async fn send(handle: &Handle, method: Method, path: &str, object: &Value) -> u16 {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, crate::media::JSON)
        .extension(UserInfo::apiserver())
        .body(body::full(object.to_string()))
        .expect("parts that are known to be well formed");
    handle.path.handle(request).await.status().as_u16()
}
