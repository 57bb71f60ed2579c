//! A worker between a fake runtime and a fake API server, under a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use stdx::{Clock, Trigger};

use super::status::Verdict;
use super::worker::{Event, Handle, Worker};
use crate::testing::{Bench, FakeRuntime, Notes, bench, pod, until};

/// What is left of the bench once the worker has the context.
struct Watched {
    runtime: FakeRuntime,
    notes: Notes,
    clock: Clock,
    _trigger: Trigger,
}

fn start(bench: Bench, value: Value) -> (Watched, Handle) {
    let Bench { context, runtime, notes, clock, trigger } = bench;
    let context = Arc::new(context);
    let (worker, handle) = Worker::new(context.clone(), Arc::new(pod(value)));
    context.tasks.spawn("worker", worker.run());
    (Watched { runtime, notes, clock, _trigger: trigger }, handle)
}

impl Watched {
    async fn status(&self, met: impl Fn(&Value) -> bool) {
        until_status(&self.notes, met).await;
    }
}

async fn until_status(notes: &Notes, met: impl Fn(&Value) -> bool) {
    until(|| match notes.status() {
        status if met(&status) => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
}

fn manifest() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {
            "nodeName": "node",
            "terminationGracePeriodSeconds": 7,
            "initContainers": [{"name": "first", "image": "there:1"}],
            "containers": [{"name": "a", "image": "there:1"}, {"name": "b", "image": "there:1"}]
        }
    })
}

#[tokio::test]
async fn lives_crashes_backs_off_and_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, handle) = start(bench(folder.path()), manifest());
    let look = || handle.events.send(Event::Look).expect("listens");

    bench.status(|s| s["initContainerStatuses"][0]["state"]["running"].is_object()).await;
    bench.runtime.exit("first", 0);
    look();
    bench.status(|s| s["phase"] == "Running" && s["containerStatuses"][1]["ready"] == true).await;

    bench.runtime.exit("b", 1);
    look();
    bench.status(|s| s["containerStatuses"][1]["restartCount"] == 1).await;
    bench.runtime.exit("b", 1);
    look();
    bench.status(|s| s["containerStatuses"][1]["state"]["waiting"]["reason"] == "CrashLoopBackOff").await;
    let waiting = bench.notes.status()["containerStatuses"][1]["state"]["waiting"]["message"].clone();
    assert_eq!(waiting, "back-off 10s restarting failed container=b pod=p_n(u)");
    bench.clock.advance(Duration::from_secs(10));
    bench.status(|s| s["containerStatuses"][1]["restartCount"] == 2).await;

    let mut dying = manifest();
    dying["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:20Z");
    dying["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    handle.events.send(Event::Pod(Arc::new(pod(dying)))).expect("listens");
    until(|| if bench.notes.deletions() == 1 { Ok(()) } else { Err(format!("{:?}", bench.runtime.calls())) })
        .await;
    let mut calls = bench.runtime.calls();
    // The main containers are stopped together: in either order.
    let stops: Vec<usize> =
        calls.iter().enumerate().filter(|(_, c)| c.contains("within")).map(|(i, _)| i).collect();
    calls[stops[0]..=stops[1]].sort();
    expect![[r#"
        run sandbox in /kubepods/besteffort/podu
        create first
        start first
        create a
        start a
        create b
        start b
        create b
        start b
        remove b
        create b
        start b
        stop a within 5s
        stop b within 5s
        stop sandbox s1"#]]
    .assert_eq(&calls[..15].join("\n"));
    assert_eq!(bench.notes.status()["phase"], "Failed");
    assert!(!folder.path().join("root/pods/u").exists(), "the pod's folder is gone");
}

#[tokio::test]
async fn says_what_an_image_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut value = manifest();
    value["spec"]["initContainers"] = json!([]);
    value["spec"]["containers"] = json!([
        {"name": "never", "image": "absent:1", "imagePullPolicy": "Never"},
        {"name": "pulled", "image": "absent:2"},
        {"name": "wrong", "image": "Wrong"}
    ]);
    let (bench, _handle) = start(bench(folder.path()), value);
    let reason =
        |status: &Value, at: usize| status["containerStatuses"][at]["state"]["waiting"]["reason"].clone();
    bench.status(|s| reason(s, 0) == "ErrImageNeverPull" && reason(s, 1) == "ErrImagePull").await;
    bench.status(|s| reason(s, 2) == "InvalidImageName").await;
    bench.clock.advance(Duration::from_secs(1));
    bench.status(|s| reason(s, 1) == "ImagePullBackOff").await;
    until(|| {
        let events = bench.notes.events();
        let wanted = "BackOff: Back-off pulling image \"absent:2\"";
        if events.iter().any(|e| e == wanted) { Ok(()) } else { Err(format!("{events:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_new_kubelet_adopts_what_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path());
    let context = Arc::new(bench.context);
    let mut value = manifest();
    value["spec"]["initContainers"] = json!([]);
    let (first, _handle) = Worker::new(context.clone(), Arc::new(pod(value.clone())));
    let life = context.tasks.spawn("first life", first.run());
    until_status(&bench.notes, |s| s["containerStatuses"][1]["ready"] == true).await;
    life.abort();
    let before = bench.runtime.calls();
    let (second, handle) = Worker::new(context.clone(), Arc::new(pod(value)));
    context.tasks.spawn("second life", second.run());
    let mut seen = handle.runtime.clone();
    seen.wait_for(|state| state.running().count() == 2).await.expect("lives");
    // A round looks twice; once a third look was seen, a whole round has passed.
    for _ in 0..3 {
        handle.events.send(Event::Look).expect("listens");
        seen.changed().await.expect("lives");
    }
    assert_eq!(bench.runtime.calls(), before, "nothing was touched");
    drop(bench.trigger);
}

#[tokio::test]
async fn resizes_in_place_what_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let sized = |cpu: &str, generation: i64| {
        let mut value = manifest();
        value["metadata"]["generation"] = json!(generation);
        value["spec"]["initContainers"] = json!([]);
        let limits = json!({"cpu": cpu, "memory": "1Mi"});
        let resources = json!({"limits": limits.clone(), "requests": limits});
        value["spec"]["containers"] = json!([{"name": "a", "image": "there:1", "resources": resources}]);
        value
    };
    let (bench, handle) = start(bench(folder.path()), sized("500m", 1));
    bench.status(|s| s["containerStatuses"][0]["ready"] == true).await;
    let ask = |cpu: &str, generation| {
        handle.events.send(Event::Pod(Arc::new(pod(sized(cpu, generation))))).expect("listens");
    };
    let condition = |s: &Value, kind: &str| {
        s["conditions"]
            .as_array()
            .is_some_and(|list| list.iter().any(|c| c["type"] == kind && c["$patch"].is_null()))
    };
    ask("250m", 2);
    bench.status(|s| s["containerStatuses"][0]["resources"]["limits"]["cpu"] == "250m").await;
    assert!(bench.runtime.calls().contains(&"update a to quota 25000".to_owned()));
    ask("64", 3);
    bench.status(|s| condition(s, "PodResizePending")).await;
    assert_eq!(bench.notes.status()["containerStatuses"][0]["resources"]["limits"]["cpu"], "250m");
    let events = |reason: &str| {
        bench.notes.events().into_iter().find(|event| event.starts_with(reason)).ok_or(reason.to_owned())
    };
    until(|| events("ResizeInfeasible").map(drop)).await;
    expect![[r#"ResizeInfeasible: Pod resize Infeasible: {"containers":[{"name":"a","resources":{"limits":{"cpu":"64","memory":"1Mi"},"requests":{"cpu":"64","memory":"1Mi"}}}],"generation":3,"error":"Node didn't have enough capacity: cpu, requested: 64000, capacity: 2000"}"#]]
        .assert_eq(&events("ResizeInfeasible").expect("told"));
    until(|| events("ResizeCompleted").map(drop)).await;
    assert!(!bench.runtime.calls().iter().any(|call| call.starts_with("stop")), "nothing was restarted");
}

#[tokio::test]
async fn an_evicted_pod_ends_at_once_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut value = manifest();
    value["spec"]["initContainers"] = json!([]);
    let (bench, handle) = start(bench(folder.path()), value);
    bench.status(|s| s["containerStatuses"][1]["ready"] == true).await;
    let verdict =
        Verdict { reason: "Evicted".into(), message: "The node was low on resource: memory. ".into() };
    handle.events.send(Event::Evict(verdict)).expect("listens");
    bench.status(|s| s["phase"] == "Failed" && s["reason"] == "Evicted").await;
    until(|| {
        let calls = bench.runtime.calls();
        let stopped = calls.iter().filter(|call| call.ends_with("within 1s")).count();
        if stopped == 2 { Ok(()) } else { Err(format!("{calls:?}")) }
    })
    .await;
    bench
        .status(|s| {
            s["conditions"].as_array().is_some_and(|list| {
                list.iter().any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "TerminationByKubelet")
            })
        })
        .await;
}
