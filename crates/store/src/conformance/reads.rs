//! C7, C8, and what compaction does to reads (C13).

use std::sync::Arc;

use super::{case_list, delete, get, put, revision};
use crate::{CompactError, Engine, Range, RangeResult, ReadError, Revision, Want};

case_list![
    ranges_are_ordered_and_half_open,
    a_limit_says_more_and_counts_all,
    keys_and_counts_carry_no_values,
    pages_at_a_revision_do_not_move,
    the_past_is_as_it_was,
    the_future_is_an_error,
    compaction_keeps_its_revision_and_later,
    compaction_forgets_deleted_keys,
    compacting_again_or_ahead,
];

async fn range(engine: &Arc<dyn Engine>, range: Range) -> RangeResult {
    engine.range(range).await.expect("history is there")
}

fn keys(result: &RangeResult) -> String {
    let keys: Vec<_> = result.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key)).collect();
    keys.join(" ")
}

async fn ranges_are_ordered_and_half_open(engine: Arc<dyn Engine>) {
    for key in ["/b/2", "/a/1", "/b", "/b/1", "/b0", "/b/10"] {
        put(&engine, key, "x").await;
    }
    for (asked, expected) in [
        (Range::prefix("/b/"), "/b/1 /b/10 /b/2"),
        (Range::prefix(""), "/a/1 /b /b/1 /b/10 /b/2 /b0"),
        (Range::key("/b"), "/b"),
        (Range::key("/c"), ""),
        (Range::new("/b", "/b/10"), "/b /b/1"),
        (Range::new("/b/2", ""), "/b/2 /b0"),
        (Range::new("/z", "/a"), ""),
        (Range::prefix("/b/").starting_at("/b/10"), "/b/10 /b/2"),
    ] {
        assert_eq!(keys(&range(&engine, asked.clone()).await), expected, "{asked:?}");
    }
}

async fn a_limit_says_more_and_counts_all(engine: Arc<dyn Engine>) {
    for key in ["a1", "a2", "a3"] {
        put(&engine, key, "x").await;
    }
    let now = put(&engine, "b", "x").await;
    for (limit, expected, more) in [(0, "a1 a2 a3", false), (2, "a1 a2", true), (3, "a1 a2 a3", false)] {
        let result = range(&engine, Range::prefix("a").limit(limit)).await;
        assert_eq!((&*keys(&result), result.more, result.count), (expected, more, 3), "limit {limit}");
        assert_eq!(result.revision, now);
    }
}

async fn keys_and_counts_carry_no_values(engine: Arc<dyn Engine>) {
    let at = put(&engine, "a1", "x").await;
    put(&engine, "a2", "x").await;
    let result = range(&engine, Range::prefix("a").want(Want::Keys).limit(1)).await;
    assert_eq!((&*keys(&result), result.count, result.more), ("a1", 2, true));
    assert_eq!((result.kvs[0].value.len(), result.kvs[0].mod_revision), (0, at));
    let result = range(&engine, Range::prefix("a").want(Want::Count)).await;
    assert_eq!((result.kvs.len(), result.count, result.more), (0, 2, false));
}

async fn pages_at_a_revision_do_not_move(engine: Arc<dyn Engine>) {
    for key in ["a1", "a2", "a3", "a4"] {
        put(&engine, key, "old").await;
    }
    let first = range(&engine, Range::prefix("a").limit(2)).await;
    put(&engine, "a3", "new").await;
    delete(&engine, "a4").await;
    let now = put(&engine, "a5", "new").await;
    let rest = Range::prefix("a").starting_at("a2\0").at(Some(first.revision));
    let second = range(&engine, rest).await;
    assert_eq!((&*keys(&second), second.count, second.revision), ("a3 a4", 2, now));
    assert!(second.kvs.iter().all(|kv| kv.value == "old"));
}

async fn the_past_is_as_it_was(engine: Arc<dyn Engine>) {
    let before = revision(&engine).await;
    let created = put(&engine, "a", "1").await;
    let updated = put(&engine, "a", "2").await;
    let deleted = delete(&engine, "a").await;
    let again = put(&engine, "a", "3").await;
    for (at, expected) in
        [(before, None), (created, Some("1")), (updated, Some("2")), (deleted, None), (again, Some("3"))]
    {
        let kv = engine.get(b"a", Some(at)).await.expect("history is there");
        assert_eq!(kv.as_ref().map(|kv| &kv.value[..]), expected.map(str::as_bytes), "at {at}");
    }
}

async fn the_future_is_an_error(engine: Arc<dyn Engine>) {
    let now = put(&engine, "a", "1").await;
    let error = engine.get(b"a", Some(now.next())).await.expect_err("it has not happened yet");
    assert!(matches!(error, ReadError::Future { current, .. } if current == now), "{error:?}");
    assert!(engine.range(Range::prefix("a").at(Some(now.next()))).await.is_err());
}

async fn compaction_keeps_its_revision_and_later(engine: Arc<dyn Engine>) {
    let first = put(&engine, "a", "1").await;
    let second = put(&engine, "a", "2").await;
    let third = put(&engine, "a", "3").await;
    engine.compact(second).await.expect("it has happened");
    assert_eq!(engine.compacted().await.expect("the engine is open"), second);
    let error = engine.get(b"a", Some(first)).await.expect_err("it is gone");
    assert!(matches!(error, ReadError::Compacted { compacted, .. } if compacted == second), "{error:?}");
    for (at, expected) in [(second, "2"), (third, "3")] {
        let kv = engine.get(b"a", Some(at)).await.expect("it is kept").expect("it exists");
        assert_eq!(kv.value, expected);
    }
}

async fn compaction_forgets_deleted_keys(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    delete(&engine, "a").await;
    put(&engine, "b", "1").await;
    let now = delete(&engine, "b").await;
    put(&engine, "b", "2").await;
    engine.compact(now).await.expect("it has happened");
    assert_eq!(get(&engine, "a").await, None);
    assert_eq!(range(&engine, Range::prefix("").at(Some(now))).await.count, 0);
    assert_eq!(get(&engine, "b").await.expect("it was put again").version, 1);
}

async fn compacting_again_or_ahead(engine: Arc<dyn Engine>) {
    put(&engine, "a", "1").await;
    let now = put(&engine, "a", "2").await;
    engine.compact(now).await.expect("it has happened");
    engine.compact(now).await.expect("nothing to do");
    engine.compact(Revision(2)).await.expect("nothing to do");
    let error = engine.compact(now.next()).await.expect_err("it has not happened yet");
    assert!(matches!(error, CompactError::Future { .. }), "{error:?}");
    assert_eq!(get(&engine, "a").await.expect("now is kept").value, "2");
}
