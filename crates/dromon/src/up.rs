//! `up`: one cluster on this machine, in the foreground.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use stdx::{Clock, Shutdown};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Up;
use crate::cluster::Cluster;
use crate::layout::Layout;
use crate::process::PidFile;
use crate::progress::{Progress, READY, say};
use crate::{logging, node};

/// How long parts may take to end in order.
const DRAIN: Duration = Duration::from_secs(10);

pub fn run(options: &Up) -> Result<()> {
    let layout = Layout::create(&options.at.data_dir)?;
    let _pid = PidFile::claim(&layout.pid())?;
    logging::start(&layout.log())?;
    // Both sides of every TLS connection use ring; without this choice none would be used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(serve(options, &layout));
    // Whatever still runs holds nothing that matters: the containers are the shims'.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &result {
        // Told where a detached start is followed too.
        say(&format!(" ✗ {error:#}"));
    }
    result
}

async fn serve(options: &Up, layout: &Layout) -> Result<()> {
    let clock = Clock::system();
    let mut progress = Progress::new(clock.clone());
    let (trigger, shutdown) = Shutdown::new();
    let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let [terminate, interrupt] = &mut stop;
    let started = async {
        let cluster = Cluster::start(options, layout, clock, &shutdown, &mut progress).await?;
        cluster.node_ready(&node::name()).await?;
        progress.done(&format!("node {} is Ready", node::name()));
        say(&format!(
            "\nReady after {:.1} s. Now:\n  export KUBECONFIG={}\n  kubectl get nodes",
            progress.elapsed().as_secs_f64(),
            layout.kubeconfig().display()
        ));
        if options.tell_ready {
            say(READY);
        }
        Ok::<_, anyhow::Error>(cluster)
    };
    let cluster = tokio::select! {
        cluster = started => cluster?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        error = cluster.failed() => {
            trigger.shut_down();
            return Err(error);
        }
    }
    say("stopping; containers keep running (`dromon down` stops them too)");
    trigger.shut_down();
    if tokio::time::timeout(DRAIN, cluster.stopped()).await.is_err() {
        tracing::warn!("not everything ended in time");
    }
    Ok(())
}

pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// As many open files as the machine lets us have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
