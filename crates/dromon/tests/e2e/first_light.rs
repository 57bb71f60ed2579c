//! One node: containers run, outlive the server, and end; what a start refuses.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::Api;
use kube::api::{AttachParams, DeleteParams, ListParams, LogParams, PostParams, WatchParams};
use serde_json::json;

use super::{Cluster, IMAGE, PATIENCE, is_root, is_running, until};

fn deployment(replicas: i32) -> Deployment {
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}]}}}}))
    .expect("a deployment")
}

fn hello(address: &str) -> String {
    let address: IpAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, 8080), PATIENCE).expect("connects");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n").expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer
}

fn container_ids(pods: &[Pod]) -> Vec<(String, i32)> {
    let statuses =
        pods.iter().flat_map(|pod| pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()));
    let mut ids: Vec<_> =
        statuses.map(|s| (s.container_id.clone().unwrap_or_default(), s.restart_count)).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_runs_containers_and_survives_a_kill() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::new(17443, 20350, "10.251.1.0/24");
    cluster.must_come_up();
    let client = cluster.client().await;
    let (deployments, pods): (Api<Deployment>, Api<Pod>) =
        (Api::default_namespaced(client.clone()), Api::default_namespaced(client.clone()));

    deployments.create(&PostParams::default(), &deployment(2)).await.expect("created");
    let ready = |count| move |d: &Deployment| d.status.as_ref().and_then(|s| s.ready_replicas) == Some(count);
    until(&deployments, "metadata.name=web", ready(2)).await;
    let running = pods.list(&ListParams::default().labels("app=web")).await.expect("lists").items;
    let name = running[0].metadata.name.clone().expect("named");
    let address = running[0].status.as_ref().and_then(|s| s.pod_ip.clone()).expect("an address");
    assert!(hello(&address).contains(&format!("Hello from {name}")));

    let logs = pods.logs(&name, &LogParams::default()).await.expect("logs");
    assert!(logs.contains("listening on port 8080") && logs.contains("GET / HTTP/1.1"), "{logs}");
    let mut run = pods.exec(&name, ["/dromon", "--version"], &AttachParams::default()).await.expect("runs");
    let mut output = String::new();
    let mut stdout = run.stdout().expect("attached");
    tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut output).await.expect("reads");
    assert!(output.starts_with("dromon "), "{output}");

    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let last =
        serde_json::from_value(json!({"metadata": {"name": "last"}, "data": {"word": "acknowledged"}}));
    maps.create(&PostParams::default(), &last.expect("a map")).await.expect("created");
    let before = container_ids(&running);
    cluster.kill();
    assert!(hello(&address).contains("Hello"), "containers outlive the server");
    cluster.must_come_up();

    let client = cluster.client().await;
    let nodes: Api<Node> = Api::all(client.clone());
    until(&nodes, "", |node| {
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert!(maps.get("last").await.is_ok(), "an acknowledged write is there");
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let after = pods.list(&ListParams::default().labels("app=web")).await.expect("lists").items;
    assert_eq!(container_ids(&after), before, "no container was touched");

    let deployments: Api<Deployment> = Api::default_namespaced(client);
    deployments.delete("web", &DeleteParams::foreground()).await.expect("deleted");
    let gone = async {
        while !pods.list(&ListParams::default()).await.expect("lists").items.is_empty() {
            let version = pods.list(&ListParams::default()).await.expect("lists").metadata.resource_version;
            let events =
                pods.watch(&WatchParams::default(), &version.unwrap_or_default()).await.expect("watches");
            events.boxed().next().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("no pod is left");
    cluster.reset();
}

#[test]
fn a_taken_port_is_said_and_nothing_is_left() {
    if !is_root() {
        return;
    }
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let cluster = Cluster::new(port, 20351, "10.251.2.0/24");
    let output = cluster.up();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("port {port} is taken by another program: choose one with --api-port")),
        "{said}"
    );
    assert!(!is_running(&cluster.data), "nothing runs on");
    cluster.reset();
}
