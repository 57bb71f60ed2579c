//! Keeps the caches following the store for as long as the server runs.

use std::sync::Arc;
use std::time::Duration;

use stdx::{Backoff, Clock, Shutdown};
use store::{Engine, Revision};

use crate::cache::Feed;
use crate::registry::Registry;

/// Follows from `from` on. When the watch is lost, the caches are filled anew: clients that watch see a gap in the
/// history and list again.
pub async fn follow(
    feed: Feed,
    engine: Arc<dyn Engine>,
    registry: Arc<Registry>,
    mut from: Revision,
    clock: Clock,
    shutdown: Shutdown,
) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        let error = tokio::select! {
            error = feed.follow(engine.as_ref(), registry.as_ref(), from) => error,
            () = shutdown.wait() => return,
        };
        tracing::warn!(error = stdx::error_chain(&error), "the watch on the store ended");
        tokio::select! {
            () = clock.sleep(backoff.step()) => {}
            () = shutdown.wait() => return,
        }
        match feed.load(engine.as_ref(), registry.as_ref()).await {
            Ok(revision) => from = revision,
            Err(error) => tracing::error!(%error, "cannot read the store"),
        }
    }
}
