//! GET one object: its stored bytes, found by key.

use std::time::Duration;

use http::StatusCode;

use super::Call;
use super::call::respond;
use super::list_options::{ListOptions, parse_revision};
use crate::Response;
use crate::error::{ApiError, Result};
use crate::registry::Storage;

/// How long a read waits for a revision that is not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn serve(call: &Call) -> Result<Response> {
    let storage = call.storage()?;
    let view = call.view()?;
    let options = ListOptions::parse(&call.query)?;
    match parse_revision(&options.resource_version)? {
        None => storage.catch_up().await?,
        Some(0) => {}
        Some(revision) => wait_for(call, storage, revision).await?,
    }
    let entry = storage.cache.get(call.namespace(), call.name());
    let entry = entry.ok_or_else(|| ApiError::not_found(&call.resource(), call.name()))?;
    let entry = call.served.seen(vec![entry]).await?.pop();
    let entry = entry.ok_or_else(|| ApiError::not_found(&call.resource(), call.name()))?;
    Ok(respond(StatusCode::OK, view.entry(&entry)?, &[]))
}

/// Waits until the cache is at least as new as the client wants.
///
/// # Errors
/// 504 when the store itself does not get there.
pub async fn wait_for(call: &Call, storage: &Storage, revision: u64) -> Result<()> {
    tokio::select! {
        () = storage.cache.wait_for(revision) => Ok(()),
        () = call.core.clock.sleep(PATIENCE) => {
            let current = storage.cache.revision();
            let message = format!("Too large resource version: {revision}, current: {current}");
            Err(ApiError::timeout(message, 1)
                .with_cause("ResourceVersionTooLarge", "Too large resource version", ""))
        }
    }
}
