//! The whole: puts the parts together and runs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::{Hub, Recorder};
use k8s_openapi::api::core::v1::Pod;
use stdx::{Shutdown, Tasks, error_chain};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::context::Context;
use crate::node::capacity::Capacity;
use crate::objects::{Notify, Objects};
use crate::pod::allocation::Budget;
use crate::pod_manager::{self, Workers};
use crate::pods::Uid;
use crate::runtime::Cri;
use crate::status_manager::Statuses;
use crate::tokens::Tokens;
use crate::volumes::set_up::Volumes;
use crate::{eviction, images, local_path, logs, node, orphans, server, static_pods};

/// Images are looked after this often.
const IMAGES_EVERY: Duration = Duration::from_secs(300);

/// A node's agent.
pub struct Kubelet {
    config: Config,
}

/// Why the kubelet ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot prepare folder {path:?}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the HTTPS server failed")]
    Serve(#[from] server::ServeError),
}

impl Kubelet {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Runs until shutdown. Containers are left as they are.
    ///
    /// # Errors
    /// If the folders cannot be made or the HTTPS server cannot listen.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let config = self.config;
        for path in [config.root.join("pods"), config.logs.clone()] {
            std::fs::create_dir_all(&path).map_err(|source| Error::Folder { path, source })?;
        }
        let listener = server::Listener::bind(&config).await?;
        let tasks = Tasks::new();
        let workers = Workers::default();
        let context = Arc::new(context(config, &workers, &tasks, &shutdown));
        start(&context, &workers, &tasks, &shutdown);
        server::serve(listener, context.clone(), workers.clone()).await?;
        drop(context);
        tasks.wait().await;
        Ok(())
    }
}

fn context(config: Config, workers: &Workers, tasks: &Tasks, shutdown: &Shutdown) -> Context {
    let (client, clock) = (config.client.clone(), config.clock.clone());
    let hub = Hub::new(client.clone(), clock.clone(), tasks.clone(), shutdown.clone());
    let notify: Notify = {
        let workers = workers.clone();
        Arc::new(move |uid| workers.look(uid))
    };
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
            notify.clone(),
        ),
        secrets: Objects::new(
            "secret",
            client.clone(),
            clock.clone(),
            tasks.clone(),
            shutdown.clone(),
            notify.clone(),
        ),
        tokens: Tokens::new(client.clone(), clock.clone()),
        own: hub.selected(format!("metadata.name={}", config.node_name)),
    };
    Context {
        cri: Cri::new(config.cri_socket.clone()),
        recorder: Recorder::new(client.clone(), "kubelet", &config.node_name, clock.clone(), tasks),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
        volumes,
        pods: hub.selected::<Pod>(format!("spec.nodeName={}", config.node_name)),
        services: hub.store(),
        node: hub.selected(format!("metadata.name={}", config.node_name)),
        statuses: Statuses::new(client, clock, tasks.clone(), shutdown.clone()),
        budget: Budget::new(notify),
        pressure: tokio::sync::watch::Sender::default(),
        log_growth: crate::logs::growth::Growth::new(),
        node_changed: tokio::sync::Notify::new(),
        capacity: Capacity::measure(&config.root),
        runtime_name: tokio::sync::OnceCell::new(),
        config,
    }
}

/// Every part that runs beside the server.
fn start(context: &Arc<Context>, workers: &Workers, tasks: &Tasks, shutdown: &Shutdown) {
    let spawn = |name, part: futures::future::BoxFuture<'static, ()>| {
        let shutdown = shutdown.clone();
        tasks.spawn(name, async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = part => {}
            }
        });
    };
    let of = |context: &Arc<Context>| context.clone();
    spawn("node status", Box::pin(node::status::run(of(context))));
    spawn("node lease", Box::pin(node::lease::run(of(context))));
    let (known, first) = oneshot::channel();
    spawn("static pods", Box::pin(static_pods::run(of(context), workers.clone(), known)));
    spawn("pods", Box::pin(pods(of(context), workers.clone(), first)));
    spawn("runtime events", Box::pin(pod_manager::follow_runtime(of(context), workers.clone())));
    spawn("local volumes", Box::pin(local_path::run(of(context))));
    spawn("log rotation", Box::pin(rotate(of(context))));
    spawn("eviction", Box::pin(eviction::run(of(context), workers.clone())));
    spawn("image collection", Box::pin(collect_images(of(context))));
}

async fn pods(context: Arc<Context>, workers: Workers, first: oneshot::Receiver<Vec<Uid>>) {
    tell_pod_cidr(&context).await;
    let orphans = async {
        // Without word of the manifests nothing is known to be an orphan.
        if let Ok(kept) = first.await {
            orphans::clean_up(&context, &kept).await;
        }
    };
    tokio::join!(orphans, pod_manager::follow_pods(context.clone(), workers));
}

/// A runtime that brings its own network configuration may refuse this; pods then show what is missing.
async fn tell_pod_cidr(context: &Context) {
    let Some(cidr) = &context.config.pod_cidr else { return };
    if let Err(error) = context.cri.set_pod_cidr(cidr).await {
        tracing::warn!(error = error_chain(&error), "the runtime did not take the pod range");
    }
}

async fn rotate(context: Arc<Context>) {
    logs::rotate::run(&context).await;
}

async fn collect_images(context: Arc<Context>) {
    loop {
        context.config.clock.sleep(IMAGES_EVERY).await;
        match images::gc::collect(&context.cri, &context.config.root).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "unused images removed"),
            Err(error) => tracing::warn!(error = error_chain(&error), "images not collected"),
        }
    }
}
