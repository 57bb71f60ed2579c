//! A disk that is really full: a small tmpfs in a mount namespace of its own.

use std::path::Path;
use std::process::Command;

use super::{Options, open};
use crate::{Durability, Engine, Op, Range, TxnError};

const FOLDER: &str = "DROMON_FULL_DISK_FOLDER";

/// The test runs itself again where `FOLDER` is a file system of 16 MiB.
fn on_a_small_disk(test: &str, body: impl FnOnce(&Path)) {
    if let Ok(folder) = std::env::var(FOLDER) {
        return body(Path::new(&folder));
    }
    let root = tempfile::TempDir::new().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("mount -t tmpfs -o size=16m none \"${FOLDER}\" && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args([&format!("embedded::full_disk_tests::{test}"), "--exact", "--nocapture"])
        .env(FOLDER, root.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_full_log_refuses_writes_until_there_is_room() {
    on_a_small_disk("a_full_log_refuses_writes_until_there_is_room", |folder| check(folder, 8 << 20));
}

#[test]
fn a_full_table_keeps_the_log_until_there_is_room() {
    on_a_small_disk("a_full_table_keeps_the_log_until_there_is_room", |folder| check(folder, 64 << 10));
}

fn check(folder: &Path, segment_bytes: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(fill_and_go_on(folder, Options { segment_bytes, ..Options::default() }));
}

async fn fill_and_go_on(folder: &Path, options: Options) {
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 12 << 20]).unwrap();
    let store = folder.join("store");
    let engine = open(&store, options.clone()).unwrap();
    let mut n = 0;
    let error = loop {
        match put(&*engine, n).await {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TxnError::DiskFull { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("no space left on the disk of {}", store.display()));
    assert!(n > 10);

    // What was acknowledged is there, what failed is not, and a watch sees nothing of it.
    let before = engine.range(Range::prefix("k/")).await.unwrap();
    assert_eq!(before.count, n);
    let mut watch = engine.watch("k/".into(), before.revision.next()).await.unwrap();
    if options.segment_bytes > 4 << 20 {
        // Otherwise the table's thread may just have deleted a segment, which makes room.
        put(&*engine, n).await.unwrap_err();
        assert_eq!(engine.revision().await.unwrap(), before.revision);
    }

    std::fs::remove_file(&ballast).unwrap();
    for n in n..n + 5 {
        put(&*engine, n).await.unwrap();
    }
    let mut seen = 0;
    while seen < 5 {
        seen += watch.next().await.unwrap().unwrap().events.len();
    }
    let after = engine.range(Range::prefix("k/")).await.unwrap();
    assert_eq!(after.count, n + 5);
    drop(engine);
    let reopened = open(&store, options).unwrap().range(Range::prefix("k/")).await.unwrap();
    assert_eq!(reopened.kvs, after.kvs);
    assert_eq!(reopened.revision, after.revision);
}

async fn put(engine: &dyn Engine, n: usize) -> Result<(), TxnError> {
    let op = Op::put(format!("k/{n:04}"), vec![n as u8; 16 << 10]).durability(Durability::Synced);
    engine.txn(vec![], vec![op], vec![]).await.map(|_| ())
}
