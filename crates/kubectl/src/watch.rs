//! A watch: events in a stream of JSON.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use tokio::time::Instant;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::Info;
use crate::rest::{Ask, Rest, Status};
use crate::text::query;

pub struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Watch {
    /// # Errors
    /// The server refuses or is not reached.
    pub async fn open(rest: &Rest, ask: &Ask) -> Result<Self> {
        Ok(Self { body: rest.send(ask).await?.into_body(), buffer: Vec::new() })
    }

    /// Type and object of the next event; none when the server ends the stream.
    ///
    /// # Errors
    /// An ERROR event, or a stream that breaks.
    pub async fn next(&mut self) -> Result<Option<(String, Value)>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let mut event: Value = serde_json::from_slice(&line).map_err(|error| {
                    Error::said(format!("unable to decode an event from the watch stream: {error}"))
                })?;
                let kind = event["type"].as_str().unwrap_or("").to_owned();
                let object = event["object"].take();
                if kind == "ERROR" {
                    return Err(Error::Status(Box::new(Status::of(&object))));
                }
                return Ok(Some((kind, object)));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(Error::Unreachable(stdx::error_chain(&error))),
            }
        }
    }
}

/// The first object below `collection` that `selector` (a query) lets through and that is as `holds` says: one that is
/// there already, or one that comes before `end`.
///
/// # Errors
/// The time is up, or the server refuses.
pub async fn first(
    cx: &Context,
    collection: &str,
    selector: (&str, &str),
    end: Instant,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    // Without a resource version a watch begins with what is there.
    let path = format!("{collection}{}", query(&[selector, ("watch", "true")]));
    let search = async {
        loop {
            let mut watch = Watch::open(cx.rest().await?, &Ask::get(path.clone())).await?;
            // A watch that ends or breaks is started again.
            while let Ok(Some((kind, object))) = watch.next().await {
                if matches!(kind.as_str(), "ADDED" | "MODIFIED") && holds(&object) {
                    return Ok(object);
                }
            }
        }
    };
    let found = tokio::time::timeout_at(end, search).await;
    found.map_err(|_| Error::said("timed out waiting for the condition"))?
}

/// [`first`], for one object by its name.
///
/// # Errors
/// As there.
pub async fn until(cx: &Context, info: &Info, end: Instant, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    let field = format!("metadata.name={}", info.name);
    first(cx, &info.resource.path(info.namespace.as_deref()), ("fieldSelector", &field), end, holds).await
}
