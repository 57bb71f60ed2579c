//! Named background tasks that somebody waits for, and whose panics are seen.

use std::future::Future;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// A group of tasks; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` in the background. A panic is logged with the task's name and does not end the process.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guarded = async move {
            if std::panic::AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "task panicked");
            }
        };
        self.0.spawn(guarded.instrument(tracing::debug_span!("task", name)))
    }

    /// Returns once every task has ended.
    pub async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
