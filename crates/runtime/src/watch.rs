//! Following the shims: their snapshots when we (re)connect, and every end after that.

use std::fs;
use std::path::Path;

use cri::v1;

use crate::error::Error;
use crate::link::{self, Replies};
use crate::node::Node;
use crate::record::State;
use crate::shim::protocol::{ContainerState, Event, Exit, Reply, Request};

/// Exit code of a container whose end nobody saw.
const UNSEEN: i32 = 255;

impl Node {
    /// Takes the word of the sandbox's shim for what runs, and follows it in the background.
    pub(crate) async fn watch_shim(&self, sandbox: &str) -> Result<(), Error> {
        let replies = self.take_snapshot(sandbox).await?;
        self.tasks.spawn("shim events", self.clone().follow(sandbox.to_owned(), replies));
        Ok(())
    }

    async fn take_snapshot(&self, sandbox: &str) -> Result<Replies, Error> {
        let answer = self.link(sandbox).ask(Request::Watch, Vec::new()).await?;
        if let Reply::Snapshot { pause, containers } = answer.reply {
            self.update_sandbox(sandbox, |s| s.pause = pause);
            for container in self.containers_of(sandbox) {
                match containers.get(&container.id) {
                    Some(state) => self.learn(&container.id, state.clone()),
                    None => self.unknown_to_shim(&container.id, container.state),
                }
            }
        }
        Ok(Replies::new(answer.connection)?)
    }

    fn learn(&self, id: &str, state: ContainerState) {
        self.update_container(id, |container| {
            container.state = match state {
                ContainerState::Running { pid, started_at, user } => State::Running { pid, started_at, user },
                ContainerState::Exited(exit) => State::Exited(exit),
            };
        });
    }

    /// Never started, or ended and forgotten: the exit file tells.
    fn unknown_to_shim(&self, id: &str, state: State) {
        if let Some(exit) = read_exit(&self.container_folder(id)) {
            self.update_container(id, |c| c.state = State::Exited(exit));
        } else if matches!(state, State::Running { .. }) {
            self.lost(id);
        }
    }

    async fn follow(self, sandbox: String, mut replies: Replies) {
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = self.shutdown.wait() => return,
            };
            match reply {
                Some(Reply::Event(Event::ContainerExited { id, exit })) => {
                    self.container_ended(&sandbox, &id, exit)
                }
                Some(Reply::Event(Event::SandboxExited)) => self.sandbox_ended(&sandbox),
                Some(other) => tracing::debug!(?other, "unexpected word of a shim"),
                // A shim drops a watcher that is too slow, too: only one that cannot be reached is gone.
                None => match self.take_snapshot(&sandbox).await {
                    Ok(anew) => replies = anew,
                    Err(_) => return self.shim_gone(&sandbox),
                },
            }
        }
    }

    fn container_ended(&self, sandbox: &str, id: &str, exit: Exit) {
        self.update_container(id, |container| container.state = State::Exited(exit));
        if let Ok(sandbox) = self.sandbox(sandbox) {
            self.tell(v1::ContainerEventType::ContainerStoppedEvent, &sandbox, id);
        }
    }

    fn sandbox_ended(&self, id: &str) {
        self.update_sandbox(id, |sandbox| sandbox.pause = None);
        if let Ok(sandbox) = self.sandbox(id) {
            self.tell(v1::ContainerEventType::ContainerStoppedEvent, &sandbox, id);
        }
    }

    /// Without its shim a pod is over: nobody would log or reap. What still runs is killed.
    pub(crate) fn shim_gone(&self, sandbox: &str) {
        for container in self.containers_of(sandbox) {
            if let Err(error) = self.kill_cgroup(&container.spec.cgroup) {
                tracing::warn!(
                    container = container.id,
                    error = stdx::error_chain(&error),
                    "cgroup not removed"
                );
            }
            match (read_exit(&self.container_folder(&container.id)), &container.state) {
                (_, State::Exited(_)) => {}
                (Some(exit), _) => self.container_ended(sandbox, &container.id, exit),
                (None, State::Running { .. }) => self.lost(&container.id),
                (None, State::Created) => {}
            }
        }
        if self.sandbox(sandbox).is_ok_and(|s| s.pause.is_some()) {
            self.sandbox_ended(sandbox);
        }
    }

    fn lost(&self, id: &str) {
        let exit = Exit { code: UNSEEN, finished_at: self.now(), ..Exit::default() };
        if let Ok(container) = self.container(id) {
            self.container_ended(&container.sandbox_id, id, exit);
        }
    }

    /// Whether the sandbox's shim answers.
    pub(crate) async fn reconnect(&self, sandbox: &str) -> bool {
        match self.watch_shim(sandbox).await {
            Ok(()) => true,
            Err(Error::Shim(link::Error::Unreachable(error))) => {
                tracing::info!(sandbox, %error, "the sandbox's shim is gone");
                false
            }
            Err(error) => {
                tracing::warn!(
                    sandbox,
                    error = stdx::error_chain(&error),
                    "cannot follow the sandbox's shim"
                );
                false
            }
        }
    }
}

/// What the shim wrote when the container ended; `None` when it did not.
pub(crate) fn read_exit(folder: &Path) -> Option<Exit> {
    // A file that is not there, or half of one after a power cut, says as little as none.
    serde_json::from_slice(&fs::read(folder.join("exit.json")).ok()?).ok()
}
