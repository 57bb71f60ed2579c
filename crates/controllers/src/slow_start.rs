//! Many calls, first one, then twice as many each time, so that a cause that fails all of them fails few.
//!
//! Upstream: pkg/controller/replicaset, `slowStartBatch`.

use futures::future::join_all;

/// Calls `call` with 0 to `count` - 1 in batches of 1, 2, 4 … and stops after the first batch in which one failed.
/// Gives how many succeeded, and the first error.
pub(crate) async fn slow_start<E, F>(count: usize, call: impl Fn(usize) -> F) -> (usize, Option<E>)
where
    F: Future<Output = Result<(), E>>,
{
    let (mut tried, mut done, mut batch) = (0, 0, 1);
    while tried < count {
        let size = batch.min(count - tried);
        let results = join_all((tried..tried + size).map(&call)).await;
        done += results.iter().filter(|result| result.is_ok()).count();
        if let Some(error) = results.into_iter().find_map(Result::err) {
            return (done, Some(error));
        }
        (tried, batch) = (tried + size, batch * 2);
    }
    (done, None)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn stops_after_the_first_batch_that_fails() {
        let calls = Cell::new(0);
        let call = |_| {
            calls.set(calls.get() + 1);
            std::future::ready(if calls.get() == 3 { Err("full") } else { Ok(()) })
        };
        assert_eq!(slow_start(100, call).await, (2, Some("full")));
        assert_eq!(calls.get(), 3);
    }
}
