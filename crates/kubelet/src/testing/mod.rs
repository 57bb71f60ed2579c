//! For tests: a runtime that only keeps books, an API server that only takes notes, and a kubelet's context between them.

mod api;
mod runtime;

use std::path::Path;
use std::time::Duration;

use client::{Recorder, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use stdx::{Clock, Random, Shutdown, Tasks, Trigger};

pub(crate) use api::Notes;
pub(crate) use runtime::FakeRuntime;

use crate::config::{Config, Tls};
use crate::context::Context;
use crate::node::capacity::Capacity;
use crate::objects::{Notify, Objects};
use crate::pod::allocation::Budget;
use crate::runtime::Cri;
use crate::status_manager::Statuses;
use crate::tokens::Tokens;
use crate::volumes::set_up::Volumes;

/// A node whose runtime and server are in the test's hand.
pub(crate) struct Bench {
    pub context: Context,
    pub runtime: FakeRuntime,
    pub notes: Notes,
    pub clock: Clock,
    pub trigger: Trigger,
}

/// Everything below `folder`.
pub(crate) fn bench(folder: &Path) -> Bench {
    let clock = Clock::manual(Timestamp::from_second(1_800_000_000).expect("in range"));
    let (trigger, shutdown) = Shutdown::new();
    let tasks = Tasks::new();
    let (client, notes) = api::server(clock.clone());
    let socket = folder.join("cri.sock");
    let runtime = FakeRuntime::serve(&socket, clock.clone(), &tasks);
    let tls = Tls { certificate: "unused".into(), key: "unused".into(), client_ca: "unused".into() };
    let addresses = vec!["192.0.2.1".parse().expect("an address")];
    let mut config =
        Config::new("node", folder.join("root"), folder.join("logs"), socket, client.clone(), tls, addresses);
    config.clock = clock.clone();
    config.random = Random::seeded(1);
    let context = context(config, client, &tasks, shutdown);
    Bench { context, runtime, notes, clock, trigger }
}

fn context(config: Config, client: kube::Client, tasks: &Tasks, shutdown: Shutdown) -> Context {
    let clock = config.clock.clone();
    let nobody: Notify = std::sync::Arc::new(|_| {});
    let volumes = Volumes {
        root: config.root.clone(),
        client: client.clone(),
        clock: clock.clone(),
        config_maps: Objects::new(
            "configmap",
            client.clone(),
            clock.clone(),
            tasks.clone(),
            shutdown.clone(),
            nobody.clone(),
        ),
        secrets: Objects::new(
            "secret",
            client.clone(),
            clock.clone(),
            tasks.clone(),
            shutdown.clone(),
            nobody.clone(),
        ),
        tokens: Tokens::new(client.clone(), clock.clone()),
        own: Store::fixed([]),
    };
    Context {
        cri: Cri::new(config.cri_socket.clone()),
        recorder: Recorder::new(client.clone(), "kubelet", "node", clock.clone(), tasks),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
        volumes,
        pods: Store::fixed([]),
        services: Store::fixed([]),
        node: Store::fixed([]),
        statuses: Statuses::new(client, clock, tasks.clone(), shutdown),
        budget: Budget::new(nobody),
        pressure: tokio::sync::watch::Sender::default(),
        log_growth: crate::logs::growth::Growth::new(),
        node_changed: tokio::sync::Notify::new(),
        capacity: Capacity { cpus: 2, memory_bytes: 4 << 30, ..Capacity::default() },
        runtime_name: tokio::sync::OnceCell::new(),
        config,
    }
}

pub(crate) fn pod(value: Value) -> Pod {
    serde_json::from_value(value).expect("a pod")
}

/// Waits until `met` says nothing is missing; otherwise fails with what it last said.
pub(crate) async fn until(met: impl Fn() -> Result<(), String>) {
    let mut last = String::new();
    for _ in 0..2000 {
        match met() {
            Ok(()) => return,
            Err(missing) => last = missing,
        }
        // Real time: the worker under test speaks to a real socket.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never came true: {last}");
}
