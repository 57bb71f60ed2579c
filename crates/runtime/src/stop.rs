//! Ending everything, with no server running: `dromon down` and `dromon reset`.

use std::sync::Arc;

use linux::cgroup::{Cgroup, Hierarchies};
use stdx::{Shutdown, Tasks};

use crate::error::Error;
use crate::node::{Config, Node};

/// Stops and removes every sandbox with all its containers. The caller makes sure that no server uses the root.
///
/// # Errors
/// When the root cannot be read, or a sandbox does not go.
pub async fn stop_all(config: Config) -> Result<(), Error> {
    if !config.root.join("sandboxes").exists() {
        return Ok(());
    }
    let (trigger, shutdown) = Shutdown::new();
    let tasks = Tasks::new();
    let node = Node::new(config, Hierarchies::discover()?, tasks.clone(), shutdown);
    node.restore().await?;
    let ids: Vec<String> = node.sandboxes().into_iter().map(|sandbox| sandbox.id).collect();
    let removals = ids.iter().map(|id| async {
        node.stop_sandbox(id).await?;
        node.remove_sandbox(id).await
    });
    let removed = futures::future::join_all(removals).await;
    trigger.shut_down();
    tasks.wait().await;
    removed.into_iter().collect()
}

/// Removes the cgroup that all pods were in, with what is left below it.
///
/// # Errors
/// When a process still lives in it.
pub fn remove_cgroups(path: &str) -> Result<(), Error> {
    let group = Cgroup::new(Arc::new(Hierarchies::discover()?), path);
    group.kill()?;
    Ok(group.remove()?)
}
