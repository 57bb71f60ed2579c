//! Keeps logs from filling the disk: 10 MiB a file, five files a container.
//!
//! Upstream: pkg/kubelet/logs/container_log_manager.go. Differs: logs are looked at only after something was written
//! to one of them; rotated files are not compressed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stdx::error_chain;

use crate::context::Context;
use crate::runtime::CriError;

const LARGEST: u64 = 10 << 20;
const FILES: usize = 5;
/// Between a first write and the look. Upstream looks as often.
const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error("cannot rotate {path:?}")]
    Rename { path: PathBuf, source: io::Error },
    #[error("the runtime did not reopen the log")]
    Reopen { source: CriError },
}

/// Looks at the logs of running containers for as long as the kubelet runs.
pub(crate) async fn run(context: &Context) {
    loop {
        context.log_growth.grown().await;
        context.config.clock.sleep(EVERY).await;
        if let Err(error) = once(context).await {
            tracing::warn!(error = error_chain(&error), "logs not rotated");
        }
        context.log_growth.again();
    }
}

async fn once(context: &Context) -> Result<(), RotateError> {
    for (id, path) in large_logs(&context.config.logs) {
        rotate(context, &id, &path).await?;
    }
    Ok(())
}

/// Logs over the limit: the file names tell pod and container, no question to the runtime is needed.
fn large_logs(root: &Path) -> Vec<(LogOf, PathBuf)> {
    let mut found = Vec::new();
    for pod in folders(root) {
        for container in folders(&pod) {
            for log in folders(&container).into_iter().filter(|p| p.extension().is_some_and(|e| e == "log")) {
                // A file that went away meanwhile is not large.
                if fs::metadata(&log).is_ok_and(|m| m.len() > LARGEST) {
                    found.push((log_of(&pod, &container), log));
                }
            }
        }
    }
    found
}

/// Whose log it is.
struct LogOf {
    uid: String,
    container: String,
}

fn log_of(pod: &Path, container: &Path) -> LogOf {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    LogOf { uid: name(pod).rsplit('_').next().unwrap_or_default().to_owned(), container: name(container) }
}

/// What cannot be listed has no logs.
fn folders(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).map(|list| list.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

async fn rotate(context: &Context, of: &LogOf, path: &Path) -> Result<(), RotateError> {
    let runtime = context.cri.pod(&of.uid).await.map_err(|source| RotateError::Reopen { source })?;
    let log = path.to_string_lossy();
    let Some(record) = runtime.running().find(|c| c.name == of.container && log.ends_with(&c.log_path))
    else {
        return Ok(());
    };
    let stamp = context.config.clock.now().strftime("%Y%m%d-%H%M%S");
    let aside = PathBuf::from(format!("{log}.{stamp}"));
    let failed = |source| RotateError::Rename { path: path.into(), source };
    fs::rename(path, &aside).map_err(failed)?;
    if let Err(source) = context.cri.reopen_log(&record.id).await {
        // Put back, so that what is written next is not lost from sight.
        fs::rename(&aside, path).map_err(failed)?;
        return Err(RotateError::Reopen { source });
    }
    let old = rotated(path);
    for surplus in old.iter().take(old.len().saturating_sub(FILES - 1)) {
        fs::remove_file(surplus).map_err(failed)?;
    }
    Ok(())
}

/// The rotated files of a log, oldest first.
pub(crate) fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut files: Vec<PathBuf> = folders(folder)
        .into_iter()
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{bench, pod, until};

    /// A log that grew over the limit while nobody looked is moved aside and reopened; the oldest files go.
    #[tokio::test]
    async fn large_logs_are_rotated_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = bench(folder.path());
        let (context, runtime) = (std::sync::Arc::new(bench.context), bench.runtime.clone());
        let value = json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": "a", "image": "there:1"}]}
        });
        let (worker, _handle) =
            crate::pod::worker::Worker::new(context.clone(), std::sync::Arc::new(pod(value)));
        context.tasks.spawn("worker", worker.run());
        until(
            || if runtime.calls().contains(&"start a".to_owned()) { Ok(()) } else { Err("no start".into()) },
        )
        .await;
        let log = context.config.logs.join("n_p_u/a/0.log");
        for old in ["20200101-000000", "20200102-000000", "20200103-000000", "20200104-000000"] {
            fs::write(format!("{}.{old}", log.display()), "old").expect("written");
        }
        fs::write(&log, "small").expect("written");
        once(&context).await.expect("looked");
        assert!(log.exists(), "a small one stays");
        fs::write(&log, vec![b'x'; LARGEST as usize + 1]).expect("written");
        once(&context).await.expect("looked");
        assert!(!log.exists(), "the runtime makes the new one");
        assert!(runtime.calls().contains(&"reopen a".to_owned()));
        let left = rotated(&log);
        assert_eq!(left.len(), FILES - 1, "{left:?}");
        assert_eq!(fs::metadata(left.last().expect("some")).expect("there").len(), LARGEST + 1);
    }

    #[tokio::test]
    async fn growth_is_told_once_until_it_was_looked_at() {
        use futures::FutureExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        fs::write(&log, "").expect("written");
        let growth = super::super::growth::Growth::new();
        growth.watch(&log);
        fs::write(&log, "one").expect("written");
        growth.grown().await;
        fs::write(&log, "two").expect("written");
        assert!(growth.grown().now_or_never().is_none(), "one word is enough");
        growth.again();
        fs::write(&log, "three").expect("written");
        growth.grown().await;
    }
}
