//! What only a disk can show: reopening, damage, locks, a full disk.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Options, open};
use crate::{Compare, Durability, Engine, Op, OpenError, Range, Revision, WatchError};

fn open_small(folder: &Path) -> Arc<dyn Engine> {
    // Small segments, so that they are brought into the table all the time.
    open(folder, Options { segment_bytes: 4096, ..Options::default() }).unwrap()
}

async fn put(engine: &dyn Engine, key: &str, value: impl AsRef<[u8]>) -> Revision {
    let op = Op::put(key.to_owned(), value.as_ref().to_vec());
    engine.txn(vec![], vec![op], vec![]).await.unwrap().revision
}

async fn value(engine: &dyn Engine, key: &str) -> Option<String> {
    let kv = engine.get(key.as_bytes(), None).await.unwrap();
    kv.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let root = TempDir::new().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    crate::conformance::run(async || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open_small(&root.path().join(n.to_string()))
    })
    .await;
}

#[tokio::test]
async fn a_clean_reopen_has_the_same_state_and_revision() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("store");
    let engine = open_small(&folder);
    for n in 0..200 {
        put(&*engine, &format!("k/{:03}", n % 50), format!("{n:0100}")).await;
    }
    engine.txn(vec![], vec![Op::delete("k/007")], vec![]).await.unwrap();
    let relaxed = Op::put("lease", "1").durability(Durability::Relaxed);
    let last = engine.txn(vec![], vec![relaxed], vec![]).await.unwrap().revision;
    let before = engine.range(Range::prefix("")).await.unwrap();
    engine.close().await.unwrap();
    drop(engine);

    let engine = open_small(&folder);
    assert_eq!(engine.range(Range::prefix("")).await.unwrap(), before);
    assert_eq!(before.revision, last);
    let old = engine.watch("k/".into(), last).await.unwrap_err();
    assert!(matches!(old, WatchError::Compacted { .. }));
    let mut watch = engine.watch("k/".into(), last.next()).await.unwrap();
    let at = put(&*engine, "k/000", "new").await;
    assert_eq!(at, last.next());
    let event = watch.next().await.unwrap().unwrap().events.remove(0);
    assert_eq!((event.kv.version, event.prev_kv.unwrap().version), (5, 4));
}

#[tokio::test]
async fn many_reopens_leave_few_files() {
    let root = TempDir::new().unwrap();
    for n in 0..10 {
        let engine = open_small(root.path());
        put(&*engine, "a", n.to_string()).await;
        engine.close().await.unwrap();
    }
    assert_eq!(value(&*open_small(root.path()), "a").await.unwrap(), "9");
    assert!(super::files::segments(root.path()).unwrap().len() <= 2);
}

#[tokio::test]
async fn only_the_owner_may_read_and_only_one_process_may_open() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("a/store");
    let engine = open_small(&folder);
    put(&*engine, "a", "1").await;
    assert_eq!(mode(&folder), 0o700);
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
    let error = open(&folder, Options::default()).err().unwrap();
    assert_eq!(error.to_string(), format!("another dromon uses {}", folder.display()));
    drop(engine);
    open_small(&folder);
}

#[tokio::test]
async fn an_unfinished_write_is_dropped_and_a_later_start_still_works() {
    let root = TempDir::new().unwrap();
    let engine = open_small(root.path());
    put(&*engine, "a", "1").await;
    drop(engine);
    for garbage in [&b"\x10\0\0\0"[..], &[0; 4096], &[0xff; 100]] {
        let newest = *super::files::segments(root.path()).unwrap().last().unwrap();
        let path = super::files::segment_path(root.path(), newest);
        let end = path.metadata().unwrap().len();
        super::files::open_private(&path).unwrap().write_all_at(garbage, end).unwrap();
        assert_eq!(value(&*open_small(root.path()), "a").await.unwrap(), "1");
    }
}

#[tokio::test]
async fn damage_is_told_at_open() {
    let root = TempDir::new().unwrap();
    let engine = open(root.path(), Options::default()).unwrap();
    for n in 0..10 {
        put(&*engine, "a", format!("value-{n}")).await;
    }
    drop(engine);
    flip(&super::files::segment_path(root.path(), 1), b"value-3");
    let error = open(root.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("the store {}/log-1 is damaged", root.path().display()));
}

#[tokio::test]
async fn damage_of_the_table_is_told_at_open() {
    let root = TempDir::new().unwrap();
    let engine = open_small(root.path());
    for n in 0..200 {
        put(&*engine, &format!("k/{n}"), format!("value-{n:0100}")).await;
    }
    engine.close().await.unwrap();
    flip(&root.path().join("table.redb"), b"k/17");
    let error = open(root.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    std::fs::write(root.path().join("table.redb"), "this is no table").unwrap();
    let error = open(root.path(), Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

/// Changes a bit wherever `pattern` stands.
fn flip(path: &Path, pattern: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let found: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(pattern)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at] ^= 1);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_crash_gives_no_revision_twice() {
    let root = TempDir::new().unwrap();
    let copy = TempDir::new().unwrap();
    let engine = open(root.path(), Options::default()).unwrap();
    let synced = put(&*engine, "a", "1").await;
    // What the disk holds if the machine stops now …
    for entry in root.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    // … while relaxed changes go on being seen.
    let mut seen = synced;
    for _ in 0..500 {
        let op = Op::put("lease", "1").durability(Durability::Relaxed);
        seen = engine.txn(vec![], vec![op], vec![]).await.unwrap().revision;
    }
    let reopened = open(copy.path(), Options::default()).unwrap();
    assert_eq!(value(&*reopened, "a").await.unwrap(), "1");
    assert!(put(&*reopened, "b", "1").await > seen);
}

#[tokio::test]
async fn a_compare_sees_transactions_of_the_same_group() {
    let root = TempDir::new().unwrap();
    let engine = open_small(root.path());
    let creations =
        (0..100).map(|_| engine.txn(vec![Compare::absent("a")], vec![Op::put("a", "1")], vec![Op::get("a")]));
    let results = futures::future::join_all(creations).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().map(Result::unwrap).partition(|r| r.succeeded);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|result| result.into_got().is_some_and(|kv| kv.value == "1")));
}
