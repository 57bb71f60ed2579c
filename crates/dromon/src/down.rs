//! `down` and `reset`.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};
use stdx::{Clock, Random};

use crate::cluster::{network_config, runtime_config};
use crate::layout::Layout;
use crate::process;
use crate::progress::say;

/// How long the server may take to end in order.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops the server, then every container.
pub fn down(data_dir: &Path) -> Result<()> {
    let layout = Layout::at(data_dir)?;
    if let Some(pid) = process::running(&layout.pid())? {
        process::stop(pid, PATIENCE)?;
        say("stopped the server");
    }
    if layout.runtime().exists() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
        runtime.block_on(stop_containers(&layout))?;
        say("stopped the containers");
    }
    Ok(())
}

async fn stop_containers(layout: &Layout) -> Result<()> {
    let (clock, random) = (Clock::system(), Random::system());
    // Any range will do: addresses are given back by name.
    let config = runtime_config(layout, "10.244.0.0/24", &clock, &random).await?;
    runtime::stop_all(config).await.context("cannot stop the containers")
}

/// Everything that `up` ever made.
pub fn reset(data_dir: &Path, yes: bool) -> Result<()> {
    let layout = Layout::at(data_dir)?;
    if !yes {
        confirm(&layout)?;
    }
    down(data_dir)?;
    proxy::teardown(&layout.suffix()).context("cannot remove the Services' table")?;
    network::Bridge::teardown(&network_config(&layout)).context("cannot remove the pod network")?;
    crate::dns_server::give_back(&layout)?;
    unmount_below(layout.root())?;
    runtime::remove_cgroups(&layout.cgroup()).context("cannot remove the cgroups")?;
    match fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot delete {}", layout.root().display()));
        }
        _ => say(&format!("removed {}", layout.root().display())),
    }
    Ok(())
}

fn confirm(layout: &Layout) -> Result<()> {
    if !io::stdin().is_terminal() {
        bail!("this deletes {} with all that the cluster holds: say --yes", layout.root().display());
    }
    print!("Delete {} with all that the cluster holds? [y/N] ", layout.root().display());
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if !answer.trim().eq_ignore_ascii_case("y") {
        bail!("nothing was deleted");
    }
    Ok(())
}

/// Unmounts whatever is mounted below the folder, the innermost first.
fn unmount_below(root: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let below =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(|path| path.replace("\\040", " "));
    for path in below.filter(|path| Path::new(path).starts_with(root)).collect::<Vec<_>>().iter().rev() {
        unmount(Path::new(path), UnmountFlags::DETACH).with_context(|| format!("cannot unmount {path}"))?;
    }
    Ok(())
}
