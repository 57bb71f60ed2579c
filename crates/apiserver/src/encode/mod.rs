//! Objects, lists and watch frames as bytes. Where the client wants what is stored, as it is stored, bytes are
//! spliced; only other versions, tables and metadata-only answers are decoded and encoded again.

mod frames;
mod lists;
mod protobuf;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cache::Entry;
use crate::error::{ApiError, Result};
use crate::media::{Accepted, Encoding, Form, pretty};
use crate::object;
use crate::registry::Served;

pub use lists::LARGE;

/// A body and what it is.
pub struct Written {
    pub bytes: Bytes,
    pub media_type: &'static str,
}

/// `ListMeta`.
#[derive(Clone, Debug, Default)]
pub struct ListMeta {
    pub revision: u64,
    pub continue_token: String,
    pub remaining: Option<usize>,
}

/// How one client wants to see the objects of one resource.
#[derive(Clone)]
pub struct View {
    pub served: Arc<Served>,
    pub accepted: Accepted,
    /// `includeObject` of tables: empty (Metadata), `None`, `Metadata`, `Object`.
    pub include: String,
    pub pretty: bool,
    pub now: Timestamp,
}

impl View {
    /// Whether stored bytes can be spliced.
    fn is_verbatim(&self) -> bool {
        self.accepted.form == Form::Object && self.served.is_stored_version()
    }

    /// Whether a list can be sent piece by piece.
    pub fn is_plain_json(&self) -> bool {
        self.is_verbatim() && self.accepted.encoding == Encoding::Json && !self.pretty
    }

    fn written(&self, bytes: impl Into<Bytes>) -> Written {
        Written { bytes: bytes.into(), media_type: self.accepted.encoding.media_type() }
    }

    /// An object from the cache.
    pub fn entry(&self, entry: &Entry) -> Result<Written> {
        match self.accepted.encoding {
            Encoding::Json if self.is_verbatim() => {
                let json = entry.json().clone();
                Ok(self.written(if self.pretty { pretty(&json).into() } else { json }))
            }
            Encoding::Protobuf if self.is_verbatim() && self.served.codec.has_protobuf() => {
                let raw = protobuf::raw(&entry.stored).ok_or_else(not_protobuf)?;
                let raw = protobuf::with_version(raw, entry.revision);
                let (api_version, kind) = (self.served.api_version(), &self.served.kind);
                Ok(self.written(protobuf::envelope(&api_version, kind, &raw)))
            }
            _ => self.stored_value(&entry.value()),
        }
    }

    /// An object of the stored version that was just written.
    pub fn stored_value(&self, stored: &Value) -> Result<Written> {
        let object = self.served.to_served(stored.clone());
        match self.accepted.form {
            Form::Object => self.encode(&self.served.codec, &object),
            Form::Table => {
                let version = object::meta(&object, "resourceVersion").to_string();
                let meta = json!({"resourceVersion": version});
                let table = self.table(std::slice::from_ref(&object), meta);
                Ok(self.written(self.finish_json(table.to_string().into_bytes())))
            }
            Form::Metadata => self.encode(&self.served.metadata_codec(), &metadata_only(&object)),
        }
    }

    /// The object as a client of this view sees it inside a watch frame or a list.
    fn seen(&self, entry: &Entry) -> Value {
        let object = self.served.to_served(entry.value());
        match self.accepted.form {
            Form::Object => object,
            Form::Metadata => metadata_only(&object),
            Form::Table => {
                let version = object::meta(&object, "resourceVersion").to_string();
                self.table(std::slice::from_ref(&object), json!({"resourceVersion": version}))
            }
        }
    }

    fn encode(&self, codec: &crate::registry::Codec, object: &Value) -> Result<Written> {
        let bytes = match self.accepted.encoding {
            Encoding::Json => self.finish_json(codec.encode_json(object)),
            Encoding::Yaml => yaml(&codec.encode_json(object)),
            Encoding::Protobuf => codec.encode_protobuf(object)?,
        };
        Ok(self.written(bytes))
    }

    fn finish_json(&self, json: Vec<u8>) -> Vec<u8> {
        if self.pretty { pretty(&json) } else { json }
    }

    /// A `Table` of `objects`.
    fn table(&self, objects: &[Value], metadata: Value) -> Value {
        let mut table = self.served.table(objects, self.now);
        table["metadata"] = metadata;
        let rows = table["rows"].as_array_mut();
        for (row, object) in rows.into_iter().flatten().zip(objects) {
            row["object"] = match self.include.as_str() {
                "None" => Value::Null,
                "Object" => object.clone(),
                _ => metadata_only(object),
            };
        }
        table
    }
}

/// `PartialObjectMetadata`.
fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

fn not_protobuf() -> ApiError {
    ApiError::internal("a stored object is not protobuf")
}

/// YAML of compact JSON, with sorted keys as upstream's.
fn yaml(json: &[u8]) -> Vec<u8> {
    // The server wrote this JSON itself.
    let value: Value = serde_json::from_slice(json).unwrap_or_default();
    api::encode_yaml(&value).into_bytes()
}

/// A Status, which every client can read.
pub fn status(status: &Value, encoding: Encoding, wants_pretty: bool) -> (Vec<u8>, &'static str) {
    match plain(status, encoding, wants_pretty) {
        Ok(written) => written,
        // Only protobuf can fail.
        Err(_) => (status.to_string().into_bytes(), crate::media::JSON),
    }
}

/// An object of a built-in kind that is no resource of its own.
pub fn plain(object: &Value, encoding: Encoding, wants_pretty: bool) -> Result<(Vec<u8>, &'static str)> {
    let codec = crate::registry::Codec::of_object(object).ok_or_else(|| {
        ApiError::internal(format!("no codec for {} {}", object["apiVersion"], object["kind"]))
    })?;
    let bytes = match encoding {
        Encoding::Json if wants_pretty => pretty(&codec.encode_json(object)),
        Encoding::Json => codec.encode_json(object),
        Encoding::Yaml => yaml(&codec.encode_json(object)),
        Encoding::Protobuf => codec.encode_protobuf(object)?,
    };
    Ok((bytes, encoding.media_type()))
}
