//! The start after an end of any kind: records are read, shims found again, leftovers removed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::node::Node;
use crate::record::{self, Container, Sandbox, State};
use crate::sandboxes::remove_folder;
use crate::watch::read_exit;

impl Node {
    /// Learns what is. Afterwards every known sandbox and container has its true state.
    pub(crate) async fn restore(&self) -> Result<(), Error> {
        for folder in ["sandboxes", "containers"].map(|name| self.config.root.join(name)) {
            fs::create_dir_all(&folder).map_err(Error::io(format!("cannot make {folder:?}")))?;
        }
        let (known, unfinished) = self.read_sandboxes()?;
        for sandbox in known {
            self.put_sandbox(sandbox);
        }
        self.read_containers()?;
        let live = self.containers().into_iter().map(|c| c.id).collect::<HashSet<_>>();
        self.config.images.retain(&live).await?;
        for sandbox in self.sandboxes() {
            if !self.reconnect(&sandbox.id).await {
                self.after_the_shim(&sandbox);
            }
        }
        for sandbox in unfinished {
            tracing::info!(sandbox = sandbox.id, "removing a sandbox that was never finished");
            self.destroy_sandbox(&sandbox).await?;
        }
        Ok(())
    }

    fn read_sandboxes(&self) -> Result<(Vec<Sandbox>, Vec<Sandbox>), Error> {
        let folder = self.config.root.join("sandboxes");
        let mut found: Vec<Sandbox> = Vec::new();
        for (path, record) in records(&folder)? {
            match record {
                Some(sandbox) => found.push(sandbox),
                None => remove_folder(&path)?,
            }
        }
        Ok(found.into_iter().partition(|sandbox| sandbox.complete))
    }

    fn read_containers(&self) -> Result<(), Error> {
        for (path, record) in records::<Container>(&self.config.root.join("containers"))? {
            match record {
                Some(container) if self.sandbox(&container.sandbox_id).is_ok() => {
                    self.put_container(container)
                }
                _ => remove_folder(&path)?,
            }
        }
        Ok(())
    }

    /// Its containers ended with the shim, or with the machine.
    fn after_the_shim(&self, sandbox: &Sandbox) {
        for container in self.containers_of(&sandbox.id) {
            let started = self.cgroup(&container.spec.cgroup).exists();
            let exit = read_exit(&self.container_folder(&container.id));
            self.update_container(&container.id, |c| match exit {
                Some(exit) => c.state = State::Exited(exit),
                None if started => {
                    c.state = State::Running { pid: 0, started_at: 0, user: Default::default() }
                }
                None => {}
            });
        }
        self.shim_gone(&sandbox.id);
    }
}

/// The records in the folders of `folder`; one that cannot be read is none.
fn records<T: for<'de> serde::Deserialize<'de>>(
    folder: &Path,
) -> Result<Vec<(std::path::PathBuf, Option<T>)>, Error> {
    let failed = || Error::io(format!("cannot read {folder:?}"));
    let paths: io::Result<Vec<_>> = fs::read_dir(folder).map_err(failed())?.map(|e| Ok(e?.path())).collect();
    let read = |path: std::path::PathBuf| {
        let record = record::load(&path).unwrap_or_else(|error| {
            tracing::warn!(?path, %error, "unreadable record");
            None
        });
        (path, record)
    };
    Ok(paths.map_err(failed())?.into_iter().map(read).collect())
}
