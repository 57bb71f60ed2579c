//! `dromon status`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use crate::layout::Layout;
use crate::process;
use crate::progress::say;

pub fn run(data_dir: &Path) -> Result<()> {
    let layout = Layout::at(data_dir)?;
    let Some(pid) = process::running(&layout.pid())? else {
        bail!("no cluster runs in {}; start it with `dromon up`", layout.root().display());
    };
    say(&format!("running in {} (process {})", layout.root().display(), pid.as_raw_pid()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(ask(&layout))
}

async fn ask(layout: &Layout) -> Result<()> {
    let kubeconfig = Kubeconfig::read_from(layout.kubeconfig()).context("cannot read the kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.context("cannot use the kubeconfig")?).context("cannot connect")?;
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await.context("the API server does not answer")? {
        let ready = crate::up::is_ready(&node);
        say(&format!(
            "node {} {}",
            node.metadata.name.unwrap_or_default(),
            if ready { "Ready" } else { "NotReady" }
        ));
    }
    let pods: Api<Pod> = Api::all(client);
    let pods = pods.list(&ListParams::default()).await.context("cannot list pods")?;
    let running =
        pods.iter().filter(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running"));
    say(&format!("{} of {} pods running", running.count(), pods.items.len()));
    say(&format!("export KUBECONFIG={}", layout.kubeconfig().display()));
    Ok(())
}
