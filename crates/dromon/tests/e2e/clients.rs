//! Other people's clients: Python's, Node's, Helm, kube-rs. Each does what its users do.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};

use super::{Cluster, is_root, until};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients").join(name)
}

/// Runs a program to its end.
fn run(program: &str, arguments: &[&str], cluster: &Cluster) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", cluster.data.join("admin.kubeconfig"));
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; the README says what the tests need"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}\n{said}{complained}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_other_languages_work() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::new(17444, 20352, "10.251.3.0/24");
    cluster.must_come_up();
    let python = file("client.py");
    run("python3", &[&python.to_string_lossy()], &cluster);
    let node = file("client.mjs");
    run("node", &[&node.to_string_lossy()], &cluster);
    helm(&cluster);
    operator(cluster.client().await).await;
    cluster.reset();
}

/// A chart is installed, upgraded, rolled back and removed: custom resources, hooks, waiting for what comes up.
fn helm(cluster: &Cluster) {
    let chart = file("chart");
    let chart = chart.to_string_lossy();
    let greeting = || {
        run("helm", &["get", "manifest", "ship"], cluster)
            .lines()
            .find_map(|line| line.split_once("greeting: ").map(|(_, rest)| rest.to_owned()))
    };
    run("helm", &["install", "ship", &chart, "--wait", "--timeout", "60s"], cluster);
    assert!(greeting().is_some_and(|found| found.contains("hello")));
    let changes = ["--set", "greeting=ahoy,replicas=2"];
    run(
        "helm",
        &[&["upgrade", "ship", &chart, "--wait", "--timeout", "60s"], &changes[..]].concat(),
        cluster,
    );
    assert!(greeting().is_some_and(|found| found.contains("ahoy")));
    run("helm", &["rollback", "ship", "1", "--wait", "--timeout", "60s"], cluster);
    assert!(greeting().is_some_and(|found| found.contains("hello")));
    assert!(run("helm", &["history", "ship"], cluster).contains("Rollback to 1"));
    run("helm", &["uninstall", "ship", "--wait", "--timeout", "60s"], cluster);
}

/// An operator as kube-rs' users write it: for each map that asks for it, it keeps an owned copy by server-side apply.
async fn operator(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let asked = watcher::Config::default().labels("copy=wanted");
    let running = Controller::new(maps.clone(), asked)
        .owns(maps.clone(), watcher::Config::default())
        .run(copy, |_, _, _| Action::await_change(), Arc::new(client))
        .for_each(|_| async {});
    let story = async {
        let original: ConfigMap = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "original", "labels": {"copy": "wanted"}}, "data": {"word": "one"}}))
        .expect("a map");
        maps.create(&PostParams::default(), &original).await.expect("created");
        let word = |expected: &'static str| {
            move |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["word"] == expected)
        };
        until(&maps, "metadata.name=original-copy", word("one")).await;
        maps.delete("original-copy", &DeleteParams::default()).await.expect("deleted");
        until(&maps, "metadata.name=original-copy", word("one")).await;
        let change = Patch::Merge(serde_json::json!({"data": {"word": "two"}}));
        maps.patch("original", &PatchParams::default(), &change).await.expect("changed");
        until(&maps, "metadata.name=original-copy", word("two")).await;
    };
    tokio::select! {
        () = running => panic!("the operator ended"),
        () = story => {}
    }
}

async fn copy(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let maps: Api<ConfigMap> = Api::default_namespaced((*client).clone());
    let name = format!("{}-copy", map.name_any());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        owner_references: Some(map.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    };
    let wanted = ConfigMap { metadata, data: map.data.clone(), ..ConfigMap::default() };
    maps.patch(&name, &PatchParams::apply("copier").force(), &Patch::Apply(wanted)).await?;
    Ok(Action::await_change())
}
