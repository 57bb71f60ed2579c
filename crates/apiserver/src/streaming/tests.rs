use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use pki::{Authority, Names, Profile};
use serde_json::json;
use stdx::{Clock, Random, Shutdown, Tasks, Trigger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::auth::Memory;
use crate::serve::{Handler, serve};
use crate::tls::{PeerCertificate, Tls};

/// Tells what it was asked; echoes after an upgrade.
struct FakeKubelet(Tasks);

#[async_trait]
impl Handler for FakeKubelet {
    async fn handle(&self, mut request: Request) -> Response {
        let peer = request.extensions().get::<PeerCertificate>().cloned();
        let caller =
            peer.filter(|peer| peer.refused.is_none()).map_or("nobody".into(), |peer| peer.common_name);
        if !request.headers().contains_key("upgrade") {
            return Response::new(body::full(format!("{caller} asks {}", request.uri())));
        }
        let protocol = request.headers()["upgrade"].clone();
        let uri = request.uri().to_string();
        let upgrade = hyper::upgrade::on(&mut request);
        self.0.spawn("echo", async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            stream.write_all(format!("{uri}\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut response = Response::new(body::empty());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", protocol);
        response
    }
}

/// The streaming part as a server of its own.
struct Front(Streaming);

#[async_trait]
impl Handler for Front {
    async fn handle(&self, request: Request) -> Response {
        let info = RequestInfo::of(request.method(), request.uri().path(), request.uri().query());
        assert!(Streaming::serves(&info));
        let user = UserInfo::new("bob", &[]);
        self.0.serve(request, &info, &user).await.unwrap_or_else(|error| {
            let mut response = Response::new(body::full(error.to_string()));
            *response.status_mut() = error.code().try_into().unwrap();
            response
        })
    }
}

struct Cluster {
    front: SocketAddr,
    ca: String,
    client: Credential,
    _trigger: Trigger,
}

async fn listen(tls: Tls, handler: Arc<dyn Handler>, tasks: &Tasks, shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("server", serve(listener, tls, handler, Clock::system(), shutdown.clone()));
    address
}

async fn cluster() -> Cluster {
    let (clock, tasks, (trigger, shutdown)) = (Clock::system(), Tasks::new(), Shutdown::new());
    let now: Timestamp = clock.now();
    let ca = Authority::create("kubernetes", now).unwrap();
    let local = vec!["127.0.0.1".parse().unwrap()];
    let issue = |profile: &Profile| ca.issue(profile, now).unwrap();
    let client = issue(&Profile::client("kube-apiserver-kubelet-client", &["system:masters"]));
    let kubelet_tls =
        Tls::new(&issue(&Profile::kubelet_serving("n", &local)), ca.certificate(), clock.clone()).unwrap();
    let kubelet = listen(kubelet_tls, Arc::new(FakeKubelet(tasks.clone())), &tasks, &shutdown).await;

    let memory = Memory::default();
    memory.put(
        "",
        "nodes",
        json!({"metadata": {"name": "n"}, "status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}}}}),
    );
    let pod = |name: &str, node: &str, containers: &[&str]| {
        let containers: Vec<_> = containers.iter().map(|name| json!({"name": name})).collect();
        json!({"metadata": {"namespace": "a", "name": name}, "spec": {"nodeName": node, "containers": containers}})
    };
    memory.put("", "pods", pod("one", "n", &["c"]));
    memory.put("", "pods", pod("two", "n", &["c", "d"]));
    memory.put("", "pods", pod("new", "", &["c"]));
    let streaming = Streaming::new(Parts {
        objects: Arc::new(memory),
        admission: Chain::empty(),
        client: client.clone(),
        kubelet_ca: ca.certificate().to_owned(),
        clock: clock.clone(),
        random: Random::seeded(1),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    });
    let serving = issue(&Profile::apiserver(&Names::new("n", Vec::new())));
    let tls = Tls::new(&serving, ca.certificate(), clock).unwrap();
    let front = listen(tls, Arc::new(Front(streaming.unwrap())), &tasks, &shutdown).await;
    Cluster { front, ca: ca.certificate().to_owned(), client, _trigger: trigger }
}

impl Cluster {
    async fn send(&self, path: &str, upgrade: Option<&str>) -> http::Response<hyper::body::Incoming> {
        let connector = Connector::new(&self.client, &self.ca, Clock::system()).unwrap();
        let endpoint =
            Endpoint { scheme: Scheme::Kubelet, host: "127.0.0.1".into(), port: self.front.port() };
        let stream = connector.connect(&endpoint).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        Tasks::new().spawn("connection", async move { connection.with_upgrades().await.unwrap() });
        let mut request = http::Request::get(path).header("host", "api");
        if let Some(protocol) = upgrade {
            request = request.header("connection", "Upgrade").header("upgrade", protocol);
        }
        sender.send_request(request.body(body::empty()).unwrap()).await.unwrap()
    }

    async fn check(&self, path: &str, expected: Expect) {
        let response = self.send(path, None).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        expected.assert_eq(&format!("{status} {}", String::from_utf8_lossy(&bytes)));
    }
}

#[tokio::test]
async fn logs_and_node_proxy_reach_the_kubelet() {
    let cluster = cluster().await;
    cluster
        .check(
            "/api/v1/namespaces/a/pods/one/log?follow=true&tailLines=5&container=c",
            expect!["200 kube-apiserver-kubelet-client asks /containerLogs/a/one/c?follow=true&tailLines=5"],
        )
        .await;
    cluster
        .check(
            "/api/v1/nodes/n/proxy/stats/summary?x=1",
            expect!["200 kube-apiserver-kubelet-client asks /stats/summary?x=1"],
        )
        .await;
    cluster.check("/api/v1/namespaces/a/pods/new/log", expect!["200 "]).await;
}

#[tokio::test]
async fn wrong_options_are_refused_in_upstreams_words() {
    let cluster = cluster().await;
    cluster
        .check(
            "/api/v1/namespaces/a/pods/two/log",
            expect!["400 a container name must be specified for pod two, choose one of: [c d]"],
        )
        .await;
    cluster
        .check(
            "/api/v1/namespaces/a/pods/one/exec?container=x",
            expect!["400 container x is not valid for pod one"],
        )
        .await;
    cluster
        .check(
            "/api/v1/namespaces/a/pods/one/log?tailLines=-1",
            expect![[r#"422 PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"#]],
        )
        .await;
    cluster
        .check("/api/v1/namespaces/a/pods/new/exec", expect!["400 pod new does not have a host assigned"])
        .await;
    cluster.check("/api/v1/namespaces/a/pods/none/exec", expect![[r#"404 pods "none" not found"#]]).await;
    cluster.check("/api/v1/namespaces/a/pods/one/proxy/", expect!["400 address not allowed"]).await;
}

#[tokio::test]
async fn upgrades_are_passed_through_both_ways() {
    let cluster = cluster().await;
    let path = "/api/v1/namespaces/a/pods/one/exec?command=echo&command=a+b&stdin=true&stdout=1&tty=false";
    let response = cluster.send(path, Some("SPDY/3.1")).await;
    assert_eq!(response.status(), http::StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "SPDY/3.1");
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"there and back").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    expect![[r#"
        /exec/a/one/c?command=echo&command=a%20b&input=1&output=1
        there and back"#]]
    .assert_eq(&all);
}
