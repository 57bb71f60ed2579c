//! C9 to C13: watches.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::{FutureExt, join};

use super::{case_list, compacted, delete, events_until, next, put, revision, txn, watch};
use crate::{Engine, EventKind, Op, Revision, WatchError};

case_list![
    a_watch_starts_inclusively,
    a_watch_sees_only_its_prefix,
    a_transaction_stands_in_one_batch,
    a_watch_from_now_sees_what_follows,
    a_watch_from_the_future_waits,
    events_carry_both_states,
    previous_states_outlive_compaction,
    a_watch_below_compaction_is_refused,
    a_slow_watch_is_cut_off,
    an_idle_watch_is_not_cut_off,
    progress_is_told_when_asked,
    nothing_is_missed_or_repeated,
    closing_ends_watches,
];

async fn a_watch_starts_inclusively(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    let second = put(&engine, "a", "2").await;
    let third = delete(&engine, "a").await;
    let mut watch = watch(&engine, "a", second).await;
    let events = events_until(&mut watch, third).await;
    assert_eq!(events, [format!("{second} Put a"), format!("{third} Delete a")]);
}

async fn a_watch_sees_only_its_prefix(engine: Arc<dyn Engine>) {
    let mut live = watch(&engine, "/a/", Revision::ZERO).await;
    let first = revision(&engine).await.next();
    for key in ["/a/1", "/a", "/a0", "/b/1", "/a/2"] {
        put(&engine, key, "x").await;
    }
    let last = revision(&engine).await;
    let mut replayed = watch(&engine, "/a/", first).await;
    for watch in [&mut live, &mut replayed] {
        let events = events_until(watch, last).await;
        assert_eq!(events, [format!("{first} Put /a/1"), format!("{last} Put /a/2")]);
    }
}

async fn a_transaction_stands_in_one_batch(engine: Arc<dyn Engine>) {
    let mut watch = watch(&engine, "a", Revision::ZERO).await;
    let result = txn(&engine, vec![], vec![Op::put("a2", "x"), Op::put("b", "x"), Op::put("a1", "x")]).await;
    let batch = next(&mut watch).await;
    let keys: Vec<_> = batch.events.iter().map(|event| &event.kv.key[..]).collect();
    assert_eq!(keys, [b"a2", b"a1"], "in the order of the steps");
    assert!(batch.events.iter().all(|event| event.revision() == result.revision));
}

async fn a_watch_from_now_sees_what_follows(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    let mut watch = watch(&engine, "", Revision::ZERO).await;
    assert!(watch.next().now_or_never().is_none(), "nothing has happened since");
    let at = put(&engine, "a", "2").await;
    assert_eq!(events_until(&mut watch, at).await, [format!("{at} Put a")]);
}

async fn a_watch_from_the_future_waits(engine: Arc<dyn Engine>) {
    let from = Revision(revision(&engine).await.0 + 3);
    let mut watch = watch(&engine, "a", from).await;
    put(&engine, "a", "1").await;
    put(&engine, "a", "2").await;
    assert!(watch.next().now_or_never().is_none(), "the future is still ahead");
    let mut last = Revision::ZERO;
    while last < from {
        last = put(&engine, "a", "3").await;
    }
    assert_eq!(events_until(&mut watch, last).await.len() as u64, last.0 - from.0 + 1);
}

async fn events_carry_both_states(engine: Arc<dyn Engine>) {
    let mut watch = watch(&engine, "a", Revision::ZERO).await;
    let created = put(&engine, "a", "1").await;
    let updated = put(&engine, "a", "2").await;
    let deleted = delete(&engine, "a").await;
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(next(&mut watch).await.events);
    }
    assert_eq!(events[0].prev_kv, None);
    assert_eq!(events[1].prev_kv.as_ref(), Some(&events[0].kv));
    assert_eq!((events[1].kv.create_revision, events[1].kv.version), (created, 2));
    assert_eq!(events[2].kind, EventKind::Delete);
    assert_eq!(events[2].prev_kv.as_ref(), Some(&events[1].kv));
    let gone = &events[2].kv;
    assert_eq!((gone.mod_revision, gone.create_revision, gone.version), (deleted, Revision::ZERO, 0));
    assert!(gone.value.is_empty() && updated < deleted);
}

async fn previous_states_outlive_compaction(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    let at = put(&engine, "b", "1").await;
    let deleted = delete(&engine, "a").await;
    engine.compact(at).await.expect("it has happened");
    let mut watch = watch(&engine, "a", deleted).await;
    let batch = next(&mut watch).await;
    assert_eq!(batch.events[0].prev_kv.as_ref().map(|kv| &kv.value[..]), Some(&b"1"[..]));
}

async fn a_watch_below_compaction_is_refused(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    let at = put(&engine, "a", "2").await;
    let later = put(&engine, "a", "3").await;
    engine.compact(at).await.expect("it has happened");
    // An engine far away may say it with the first batch.
    let error = match engine.watch(Bytes::from("a"), at).await {
        Ok(mut watch) => watch.next().await.expect("it ends with an error").expect_err("history is gone"),
        Err(error) => error,
    };
    assert!(compacted(&error), "{error:?}");
    let mut watch = watch(&engine, "a", later).await;
    assert_eq!(events_until(&mut watch, later).await.len(), 1);
}

async fn a_slow_watch_is_cut_off(engine: Arc<dyn Engine>) {
    let mut watch = watch(&engine, "a", Revision::ZERO).await;
    put(&engine, "a", "1").await;
    let now = put(&engine, "a", "2").await;
    engine.compact(now).await.expect("it has happened");
    let error = watch.next().await.expect("it ends with an error").expect_err("history is gone");
    assert!(compacted(&error), "{error:?}");
    assert!(watch.next().await.is_none(), "an error is the last thing");
}

async fn an_idle_watch_is_not_cut_off(engine: Arc<dyn Engine>) {
    let mut idle = watch(&engine, "a", Revision::ZERO).await;
    put(&engine, "b", "1").await;
    let now = put(&engine, "b", "2").await;
    engine.compact(now).await.expect("it has happened");
    let at = put(&engine, "a", "1").await;
    assert_eq!(events_until(&mut idle, at).await, [format!("{at} Put a")]);
}

async fn progress_is_told_when_asked(engine: Arc<dyn Engine>) {
    let mut watch = watch(&engine, "a", Revision::ZERO).await;
    let now = put(&engine, "b", "1").await;
    assert!(watch.next().now_or_never().is_none(), "not unasked");
    watch.request_progress();
    let batch = next(&mut watch).await;
    assert_eq!((batch.events.len(), batch.revision), (0, now));
    let at = put(&engine, "a", "1").await;
    watch.request_progress();
    let batch = next(&mut watch).await;
    assert_eq!((batch.events.len(), batch.revision), (1, at), "never ahead of what is undelivered");
}

/// Watchers that start at different times see one and the same history while many write.
async fn nothing_is_missed_or_repeated(engine: Arc<dyn Engine>) {
    let first = revision(&engine).await.next();
    let writers = join_all((0..8).map(|writer| write_many(engine.clone(), writer)));
    let watchers = join_all((0..8).map(|_| collect_history(engine.clone(), first)));
    let ((), histories) = join!(writers.map(|_| ()), watchers);
    for history in &histories {
        assert_eq!(history.len(), 8 * 100);
        assert!(history.windows(2).all(|pair| pair[0].0 < pair[1].0), "ordered, none twice");
        assert_eq!(history, &histories[0]);
    }
}

async fn write_many(engine: Arc<dyn Engine>, writer: usize) {
    for n in 0..100 {
        let op = Op::put(format!("a/{writer}"), n.to_string());
        txn(&engine, vec![], vec![op]).await;
    }
}

async fn collect_history(engine: Arc<dyn Engine>, from: Revision) -> Vec<(Revision, Bytes, Bytes)> {
    let mut watch = watch(&engine, "a/", from).await;
    let mut history = Vec::new();
    let mut reached = Revision::ZERO;
    while history.len() < 8 * 100 {
        let batch = next(&mut watch).await;
        assert!(batch.revision >= reached, "progress only rises");
        reached = batch.revision;
        history
            .extend(batch.events.into_iter().map(|event| (event.revision(), event.kv.key, event.kv.value)));
        assert!(history.last().is_none_or(|last| last.0 <= reached));
    }
    history
}

async fn closing_ends_watches(engine: Arc<dyn Engine>) {
    let mut watch = watch(&engine, "a", Revision::ZERO).await;
    let at = put(&engine, "a", "1").await;
    engine.close().await.expect("nothing is in the way");
    assert_eq!(events_until(&mut watch, at).await.len(), 1, "what has happened is still delivered");
    let end = watch.next().await;
    assert!(matches!(end, Some(Err(WatchError::Closed))), "{end:?}");
}
