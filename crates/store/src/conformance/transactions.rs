//! C1 to C4, and closing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;

use super::{case_list, delete, get, put, revision, txn};
use crate::{Compare, Durability, Engine, Op, OpResult, Revision, TxnError, expire};

case_list![
    the_first_revision_is_one,
    a_change_raises_the_revision,
    changes_of_one_transaction_share_a_revision,
    nothing_changed_leaves_the_revision,
    compares_decide_the_branch,
    later_steps_see_earlier_ones,
    a_key_written_twice_is_refused,
    a_key_counts_its_writes,
    concurrent_updates_lose_none,
    concurrent_creations_have_one_winner,
    relaxed_changes_are_seen_at_once,
    expire_spares_what_has_changed,
    a_closed_store_takes_no_change,
];

async fn the_first_revision_is_one(engine: Arc<dyn Engine>) {
    assert_eq!(revision(&engine).await, Revision(1));
}

async fn a_change_raises_the_revision(engine: Arc<dyn Engine>) {
    let first = put(&engine, "a", "1").await;
    let second = put(&engine, "a", "1").await;
    let third = delete(&engine, "a").await;
    assert!(Revision(1) < first && first < second && second < third);
    assert_eq!(revision(&engine).await, third);
}

async fn changes_of_one_transaction_share_a_revision(engine: Arc<dyn Engine>) {
    put(&engine, "c", "old").await;
    let result = txn(&engine, vec![], vec![Op::put("a", "1"), Op::put("b", "2"), Op::delete("c")]).await;
    for key in ["a", "b"] {
        let kv = get(&engine, key).await.expect("it was put");
        assert_eq!(kv.mod_revision, result.revision);
    }
    assert_eq!(get(&engine, "c").await, None);
    assert_eq!(revision(&engine).await, result.revision);
}

async fn nothing_changed_leaves_the_revision(engine: Arc<dyn Engine>) {
    let before = put(&engine, "a", "1").await;
    let absent = txn(&engine, vec![], vec![Op::delete("b"), Op::get("a")]).await;
    assert_eq!(absent.revision, before);
    assert_eq!(absent.results[0], OpResult::Deleted { prev_kv: None });
    let refused = txn(&engine, vec![Compare::absent("a")], vec![Op::put("a", "2")]).await;
    assert!(!refused.succeeded);
    assert_eq!(refused.revision, before);
    assert_eq!(revision(&engine).await, before);
}

async fn compares_decide_the_branch(engine: Arc<dyn Engine>) {
    let at = put(&engine, "a", "1").await;
    let holds = [Compare::present("a"), Compare::absent("b"), Compare::unchanged_since("a", at)];
    let fails = [
        Compare::absent("a"),
        Compare::present("b"),
        Compare::unchanged_since("a", at.next()),
        Compare::unchanged_since("b", Revision::ZERO),
    ];
    assert!(txn(&engine, holds.to_vec(), vec![]).await.succeeded);
    for failing in fails {
        let compares = vec![Compare::present("a"), failing.clone()];
        let result = engine.txn(compares, vec![Op::put("a", "2")], vec![Op::get("a")]).await;
        let result = result.expect("the transaction is well-formed");
        assert!(!result.succeeded, "{failing:?}");
        assert_eq!(result.into_got().expect("it exists").value, "1");
    }
}

async fn later_steps_see_earlier_ones(engine: Arc<dyn Engine>) {
    let result = txn(&engine, vec![], vec![Op::get("a"), Op::put("a", "1"), Op::get("a")]).await;
    assert_eq!(result.results[0], OpResult::Got(None));
    let OpResult::Got(Some(kv)) = &result.results[2] else { panic!("{result:?}") };
    assert_eq!((&kv.value[..], kv.version), (&b"1"[..], 1));
}

async fn a_key_written_twice_is_refused(engine: Arc<dyn Engine>) {
    let before = revision(&engine).await;
    let result = engine.txn(vec![], vec![Op::put("a", "1"), Op::delete("a")], vec![]).await;
    assert!(matches!(result, Err(TxnError::DuplicateKey { key }) if key == "a"));
    assert_eq!(revision(&engine).await, before);
    assert_eq!(get(&engine, "a").await, None);
}

async fn a_key_counts_its_writes(engine: Arc<dyn Engine>) {
    let created = put(&engine, "a", "1").await;
    let updated = put(&engine, "a", "2").await;
    let kv = get(&engine, "a").await.expect("it was put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (created, updated, 2));
    delete(&engine, "a").await;
    let again = put(&engine, "a", "3").await;
    let kv = get(&engine, "a").await.expect("it was put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (again, again, 1));
}

/// Each of many tasks adds to one number by compare and swap.
async fn concurrent_updates_lose_none(engine: Arc<dyn Engine>) {
    put(&engine, "n", "0").await;
    let adders = (0..20).map(|_| {
        let engine = engine.clone();
        async move {
            for _ in 0..5 {
                while !add_one(&engine).await {}
            }
        }
    });
    join_all(adders).await;
    let kv = get(&engine, "n").await.expect("it was put");
    assert_eq!((&kv.value[..], kv.version), (&b"100"[..], 101));
}

async fn add_one(engine: &Arc<dyn Engine>) -> bool {
    let kv = get(engine, "n").await.expect("it was put");
    let number: u64 = String::from_utf8_lossy(&kv.value).parse().expect("a number");
    let compare = Compare::unchanged_since("n", kv.mod_revision);
    txn(engine, vec![compare], vec![Op::put("n", (number + 1).to_string())]).await.succeeded
}

async fn concurrent_creations_have_one_winner(engine: Arc<dyn Engine>) {
    let creations = (0..50).map(|_| txn(&engine, vec![Compare::absent("a")], vec![Op::put("a", "1")]));
    let results = join_all(creations).await;
    assert_eq!(results.iter().filter(|result| result.succeeded).count(), 1);
    let puts = (0..50).map(|_| txn(&engine, vec![], vec![Op::put("b", "1")]));
    let revisions: BTreeSet<_> = join_all(puts).await.iter().map(|result| result.revision).collect();
    assert_eq!(revisions.len(), 50, "each change has a revision of its own");
}

async fn relaxed_changes_are_seen_at_once(engine: Arc<dyn Engine>) {
    let op = Op::put("lease", "1").durability(Durability::Relaxed);
    let at = txn(&engine, vec![], vec![op]).await.revision;
    assert_eq!(get(&engine, "lease").await.expect("it was put").mod_revision, at);
    assert!(put(&engine, "a", "1").await > at);
}

async fn expire_spares_what_has_changed(engine: Arc<dyn Engine>) {
    let old = put(&engine, "e/1", "x").await;
    let stale = put(&engine, "e/2", "x").await;
    put(&engine, "e/2", "y").await;
    let keys = vec![("e/1".into(), old), ("e/2".into(), stale), ("e/3".into(), old)];
    assert_eq!(expire(&*engine, keys).await.expect("the engine is open"), 1);
    assert_eq!(get(&engine, "e/1").await, None);
    assert!(get(&engine, "e/2").await.is_some());
}

async fn a_closed_store_takes_no_change(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    engine.close().await.expect("nothing is in the way");
    let result = engine.txn(vec![], vec![Op::put("a", "2")], vec![]).await;
    assert!(matches!(result, Err(TxnError::Closed)), "{result:?}");
}
