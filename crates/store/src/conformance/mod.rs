//! The suite that every engine passes: one case or more for each point of the contract ([`crate::Engine`], C1 to C14).
//!
//! What needs a crash or a full disk (parts of C1, C5, C6, C14) is tested with the engine that has a disk.

mod reads;
mod transactions;
mod watches;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Compare, Engine, KeyValue, Op, Revision, TxnResult, Watch, WatchBatch, WatchError};

/// One check, run on an empty store of its own.
pub struct Case {
    pub name: &'static str,
    pub run: fn(Arc<dyn Engine>) -> BoxFuture<'static, ()>,
}

/// All cases, in the order of the contract.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [transactions::CASES, reads::CASES, watches::CASES].into_iter().flatten()
}

/// Runs every case, each on an engine that `open` makes.
///
/// # Panics
/// At the first case that fails; its name has been printed before.
pub async fn run(open: impl AsyncFn() -> Arc<dyn Engine>) {
    for case in cases() {
        println!("case {}", case.name);
        (case.run)(open().await).await;
    }
}

macro_rules! case_list {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case] = &[$(
            $crate::conformance::Case { name: stringify!($name), run: |engine| Box::pin($name(engine)) }
        ),+];
    };
}
use case_list;

/// Puts one key and says at which revision.
async fn put(engine: &Arc<dyn Engine>, key: &'static str, value: &'static str) -> Revision {
    txn(engine, vec![], vec![Op::put(key, value)]).await.revision
}

async fn delete(engine: &Arc<dyn Engine>, key: &'static str) -> Revision {
    txn(engine, vec![], vec![Op::delete(key)]).await.revision
}

async fn txn(engine: &Arc<dyn Engine>, compares: Vec<Compare>, success: Vec<Op>) -> TxnResult {
    engine.txn(compares, success, vec![]).await.expect("the transaction is well-formed")
}

async fn get(engine: &Arc<dyn Engine>, key: &str) -> Option<KeyValue> {
    engine.get(key.as_bytes(), None).await.expect("a read of now")
}

async fn revision(engine: &Arc<dyn Engine>) -> Revision {
    engine.revision().await.expect("the engine is open")
}

async fn watch(engine: &Arc<dyn Engine>, prefix: &'static str, from: Revision) -> Watch {
    engine.watch(Bytes::from(prefix), from).await.expect("history is there")
}

async fn next(watch: &mut Watch) -> WatchBatch {
    watch.next().await.expect("the watch goes on").expect("the watch has not failed")
}

/// Events up to and with `revision`, as `revision kind key`.
async fn events_until(watch: &mut Watch, revision: Revision) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let batch = next(watch).await;
        for event in &batch.events {
            let key = String::from_utf8_lossy(&event.kv.key);
            lines.push(format!("{} {:?} {key}", event.revision(), event.kind));
        }
        if batch.revision >= revision {
            return lines;
        }
    }
}

fn compacted(error: &WatchError) -> bool {
    matches!(error, WatchError::Compacted { .. })
}
