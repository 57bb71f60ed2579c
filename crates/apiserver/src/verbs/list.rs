//! LIST: from the cache when the newest will do, from the store when the past is asked for.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use store::{Range, ReadError, Revision};

use super::Call;
use super::call::respond;
use super::continue_token::{self, Continue};
use super::get::wait_for;
use super::list_options::{Freshness, ListOptions};
use crate::cache::{Entry, Selection};
use crate::encode::{LARGE, ListMeta};
use crate::error::{ApiError, Result};
use crate::registry::{Storage, read_failure};
use crate::{Response, body};

/// Objects that are looked at per read of the store when a selector may leave some out.
const PAGE: usize = 500;

/// A page of a list.
pub struct Page {
    pub entries: Vec<Arc<Entry>>,
    pub meta: ListMeta,
}

pub async fn serve(call: &Call) -> Result<Response> {
    let storage = call.storage()?;
    let view = call.view()?;
    let options = ListOptions::parse(&call.query)?;
    let mut page = page(call, storage, &options).await?;
    page.entries = call.served.seen(page.entries).await?;
    if page.entries.len() < LARGE || !view.is_plain_json() {
        return Ok(respond(StatusCode::OK, view.list(&page.entries, &page.meta)?, &[]));
    }
    let mut response = Response::new(body::stream(view.list_stream(page.entries, &page.meta)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::media::JSON));
    Ok(response)
}

/// The objects that `options` asks for.
pub async fn page(call: &Call, storage: &Arc<Storage>, options: &ListOptions) -> Result<Page> {
    options.check()?;
    let selection = Selection::parse(call, options)?;
    if !options.continue_token.is_empty() {
        let token = Continue::decode(&options.continue_token)?;
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return past(storage, &selection, options.limit, Some(&token.start), token.revision).await;
    }
    match options.freshness()? {
        Freshness::Consistent => storage.catch_up().await?,
        Freshness::Any => {}
        Freshness::NotOlderThan(revision) => wait_for(call, storage, revision).await?,
        Freshness::Exact(revision) => {
            return past(storage, &selection, options.limit, None, Some(revision)).await;
        }
    }
    // A limit with resourceVersion=0 is ignored, as upstream's cache ignores it.
    let limit = if options.resource_version == "0" { 0 } else { options.limit };
    Ok(present(storage, &selection, limit))
}

fn present(storage: &Storage, selection: &Selection, limit: usize) -> Page {
    let snapshot = storage.cache.list(selection, limit);
    let last = snapshot.entries.last().filter(|_| snapshot.more);
    let meta = ListMeta {
        revision: snapshot.revision,
        continue_token: last.map_or_else(String::new, |entry| {
            Continue::after(&position(selection, entry), snapshot.revision).encode()
        }),
        remaining: (snapshot.more && selection.is_open()).then_some(snapshot.remaining),
    };
    Page { entries: snapshot.entries, meta }
}

/// The place of an object within the range that is listed.
fn position(selection: &Selection, entry: &Entry) -> String {
    if selection.namespace.is_empty() { entry.key() } else { entry.index.name.to_string() }
}

/// Reads the store as of `at`.
async fn past(
    storage: &Arc<Storage>,
    selection: &Selection,
    limit: usize,
    start: Option<&str>,
    at: Option<u64>,
) -> Result<Page> {
    let prefix = match selection.namespace.as_str() {
        "" => storage.prefix.clone(),
        namespace => format!("{}{namespace}/", storage.prefix),
    };
    let mut range = Range::prefix(prefix.clone()).at(at.map(Revision));
    if let Some(start) = start {
        range = range.starting_at(format!("{prefix}{start}"));
    }
    let mut entries = Vec::new();
    let (revision, more, remaining) = loop {
        let wanted = if limit == 0 {
            PAGE
        } else {
            (limit - entries.len()).max(if selection.is_open() { 1 } else { PAGE })
        };
        let read = storage.engine.range(range.clone().limit(wanted)).await;
        let read = read.map_err(|error| past_failure(error, start))?;
        // The first page fixes the revision for those behind it.
        let revision = range.at.unwrap_or(read.revision);
        range = range.at(Some(revision));
        let mut seen = 0;
        for kv in &read.kvs {
            seen += 1;
            let entry = Arc::new(storage.entry(kv)?);
            if selection.matches(&entry) {
                entries.push(entry);
            }
            if limit > 0 && entries.len() == limit {
                break;
            }
        }
        let behind = read.count - seen;
        let full = limit > 0 && entries.len() == limit;
        if behind == 0 || full {
            break (revision.0, behind > 0, behind);
        }
        if let Some(last) = read.kvs.last() {
            let mut next = last.key.to_vec();
            next.push(0);
            range = range.starting_at(next);
        }
    };
    let token = entries
        .last()
        .filter(|_| more)
        .map_or_else(String::new, |entry| Continue::after(&position(selection, entry), revision).encode());
    let remaining = (more && selection.is_open()).then_some(remaining);
    Ok(Page { entries, meta: ListMeta { revision, continue_token: token, remaining } })
}

fn past_failure(error: ReadError, start: Option<&str>) -> ApiError {
    match (&error, start) {
        (ReadError::Compacted { .. }, Some(start)) => continue_token::expired(start),
        (ReadError::Compacted { .. }, None) => {
            ApiError::expired("The resourceVersion for the provided list is too old.")
        }
        (ReadError::Future { requested, current }, _) => {
            let message = format!("Too large resource version: {requested}, current: {current}");
            ApiError::timeout(message, 1).with_cause(
                "ResourceVersionTooLarge",
                "Too large resource version",
                "",
            )
        }
        _ => read_failure(error),
    }
}
