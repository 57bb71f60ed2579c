//! Watch frames.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/response.go, apimachinery/pkg/runtime/serializer/streaming.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{View, plain, protobuf};
use crate::cache::{Change, Entry, EventType};
use crate::error::{ApiError, Result};
use crate::media::Encoding;

/// Closes the initial events that a watch asked for.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl View {
    pub fn stream_media_type(&self) -> &'static str {
        match self.accepted.encoding {
            Encoding::Json => crate::media::JSON,
            Encoding::Yaml => crate::media::YAML,
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }

    /// The frame of a change; made once, however many watchers have this view.
    pub fn frame(&self, change: &Change, event: EventType, entry: &Entry) -> Result<Bytes> {
        if let Some(frame) = change.cached_frame(self.form(), event) {
            return Ok(frame);
        }
        let frame = self.make(event.name(), entry)?;
        change.keep_frame(self.form(), event, frame.clone());
        Ok(frame)
    }

    /// Whether the frame has been made.
    pub fn has_frame(&self, change: &Change, event: EventType) -> bool {
        change.cached_frame(self.form(), event).is_some()
    }

    pub fn added_frame(&self, entry: &Entry) -> Result<Bytes> {
        self.make(EventType::Added.name(), entry)
    }

    /// A number for everything that decides how a frame looks.
    fn form(&self) -> u64 {
        let include = match self.include.as_str() {
            "None" => 0,
            "Object" => 1,
            _ => 2,
        };
        let accepted = self.accepted.encoding as u64 * 3 + self.accepted.form as u64;
        (self.served.number * 9 + accepted) * 3 + include
    }

    fn make(&self, event: &str, entry: &Entry) -> Result<Bytes> {
        let object = if self.accepted.form == crate::media::Form::Table {
            super::Written { bytes: self.seen(entry).to_string().into(), media_type: "" }.bytes
        } else {
            View { pretty: false, ..self.clone() }.entry(entry)?.bytes
        };
        Ok(wrap(event, &object, self.accepted.encoding))
    }

    /// "Everything up to `revision` has been told."
    pub fn bookmark_frame(&self, revision: u64, ends_initial_events: bool) -> Result<Bytes> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = self.bookmark_object(metadata);
        let view = View { pretty: false, ..self.clone() };
        let bytes = match self.accepted.form {
            crate::media::Form::Object => view.encode(&self.served.codec, &object)?.bytes,
            crate::media::Form::Metadata => view.encode(&self.served.metadata_codec(), &object)?.bytes,
            crate::media::Form::Table => object.to_string().into(),
        };
        Ok(wrap("BOOKMARK", &bytes, self.accepted.encoding))
    }

    fn bookmark_object(&self, metadata: Value) -> Value {
        let plain = json!({
            "kind": self.served.kind,
            "apiVersion": self.served.api_version(),
            "metadata": metadata,
        });
        match self.accepted.form {
            crate::media::Form::Object => plain,
            crate::media::Form::Metadata => super::metadata_only(&plain),
            crate::media::Form::Table => {
                let version = metadata["resourceVersion"].clone();
                self.table(std::slice::from_ref(&plain), json!({"resourceVersion": version}))
            }
        }
    }

    /// The last frame of a watch that cannot go on.
    pub fn error_frame(&self, error: &ApiError) -> Bytes {
        let status = error.status();
        let bytes = match plain(&status, self.accepted.encoding, false) {
            Ok((bytes, _)) => bytes,
            Err(_) => status.to_string().into_bytes(), // a Status has a codec
        };
        wrap("ERROR", &bytes, self.accepted.encoding)
    }
}

fn wrap(event: &str, object: &[u8], encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Protobuf => protobuf::frame(event, object),
        Encoding::Json => {
            let mut out = Vec::with_capacity(object.len() + 40);
            out.extend_from_slice(br#"{"type":""#);
            out.extend_from_slice(event.as_bytes());
            out.extend_from_slice(br#"","object":"#);
            out.extend_from_slice(object);
            out.extend_from_slice(b"}\n");
            out.into()
        }
        Encoding::Yaml => {
            let mut out = b"---\nobject:\n".to_vec();
            for line in object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                out.extend_from_slice(b"  ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            out.extend_from_slice(format!("type: {event}\n").as_bytes());
            out.into()
        }
    }
}
