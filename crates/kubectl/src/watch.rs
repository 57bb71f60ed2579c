//! A watch: events in a stream of JSON.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::rest::{Ask, Rest, Status};

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
