//! Lists: the items' stored bytes between the list's own.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};

use super::{ListMeta, View, Written, metadata_only, not_protobuf, protobuf, yaml};
use crate::BoxError;
use crate::cache::Entry;
use crate::error::Result;
use crate::media::{Encoding, Form};

/// Lists of more objects than this are sent piece by piece.
pub const LARGE: usize = 2_000;
/// Bytes of a piece.
const PIECE: usize = 128 * 1024;

impl ListMeta {
    fn value(&self) -> Value {
        let mut value = json!({"resourceVersion": self.revision.to_string()});
        if !self.continue_token.is_empty() {
            value["continue"] = json!(self.continue_token);
        }
        if let Some(remaining) = self.remaining {
            value["remainingItemCount"] = json!(remaining);
        }
        value
    }

    /// In upstream's field order.
    fn json(&self) -> String {
        let mut text = format!(r#"{{"resourceVersion":"{}""#, self.revision);
        if !self.continue_token.is_empty() {
            text += &format!(r#","continue":"{}""#, self.continue_token);
        }
        if let Some(remaining) = self.remaining {
            text += &format!(r#","remainingItemCount":{remaining}"#);
        }
        text + "}"
    }
}

impl View {
    /// A whole list.
    pub fn list(&self, entries: &[Arc<Entry>], meta: &ListMeta) -> Result<Written> {
        match (self.accepted.form, self.accepted.encoding) {
            (Form::Object, Encoding::Json) => {
                Ok(self.written(self.finish_json(self.json_list(entries, meta))))
            }
            (Form::Object, Encoding::Yaml) => Ok(self.written(yaml(&self.json_list(entries, meta)))),
            (Form::Object, Encoding::Protobuf) => self.protobuf_list(entries, meta),
            (Form::Table, encoding) => {
                let objects: Vec<Value> =
                    entries.iter().map(|entry| self.served.to_served(entry.value())).collect();
                let table = self.table(&objects, meta.value()).to_string().into_bytes();
                Ok(self.written(if encoding == Encoding::Yaml {
                    yaml(&table)
                } else {
                    self.finish_json(table)
                }))
            }
            (Form::Metadata, _) => {
                let items: Vec<Value> = entries
                    .iter()
                    .map(|entry| metadata_only(&self.served.to_served(entry.value())))
                    .collect();
                let list = json!({
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": meta.value(),
                    "items": items,
                });
                self.encode(&self.served.metadata_list_codec(), &list)
            }
        }
    }

    /// A list of objects that are not stored.
    pub fn values(&self, objects: &[Value]) -> Result<Written> {
        let list = match self.accepted.form {
            Form::Table => self.table(objects, json!({})),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {},
                "items": objects.iter().map(metadata_only).collect::<Vec<_>>(),
            }),
            Form::Object if self.accepted.encoding == Encoding::Protobuf => {
                let envelopes = objects.iter().map(|object| self.served.codec.encode_protobuf(object));
                let items = envelopes
                    .map(|envelope| protobuf::raw(&envelope?).map(<[u8]>::to_vec).ok_or_else(not_protobuf));
                let items: Vec<Vec<u8>> = items.collect::<Result<_>>()?;
                let raw = protobuf::list(&ListMeta::default(), &items);
                let (api_version, kind) = (self.served.api_version(), self.served.list_kind());
                return Ok(self.written(protobuf::envelope(&api_version, &kind, &raw)));
            }
            Form::Object => {
                let item = |object: &Value| {
                    let mut item = object.clone();
                    if let Some(fields) = item.as_object_mut() {
                        fields.remove("kind");
                        fields.remove("apiVersion");
                    }
                    item
                };
                json!({
                    "kind": self.served.list_kind(),
                    "apiVersion": self.served.api_version(),
                    "metadata": {},
                    "items": objects.iter().map(item).collect::<Vec<_>>(),
                })
            }
        };
        let json = list.to_string().into_bytes();
        Ok(self.written(match self.accepted.encoding {
            Encoding::Yaml => yaml(&json),
            _ => self.finish_json(json),
        }))
    }

    fn head(&self, meta: &ListMeta) -> String {
        let (kind, version) = (self.served.list_kind(), self.served.api_version());
        format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{},"items":["#, meta.json())
    }

    fn json_list(&self, entries: &[Arc<Entry>], meta: &ListMeta) -> Vec<u8> {
        let size: usize = entries.iter().map(|entry| entry.json().len() + 1).sum();
        let mut out = Vec::with_capacity(size + 256);
        out.extend_from_slice(self.head(meta).as_bytes());
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.put_item(&mut out, entry);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// Items of built-in lists carry neither kind nor apiVersion.
    fn put_item(&self, out: &mut Vec<u8>, entry: &Entry) {
        let converted;
        let json: &[u8] = if self.is_verbatim() {
            entry.json()
        } else {
            converted = self.served.codec.encode_json(&self.served.to_served(entry.value()));
            &converted
        };
        match json.strip_prefix(self.served.type_prefix().as_bytes()) {
            Some(rest) if self.served.custom.is_none() => {
                out.push(b'{');
                out.extend_from_slice(rest);
            }
            _ => out.extend_from_slice(json),
        }
    }

    /// The same bytes as [`View::list`], made while they are sent.
    pub fn list_stream(
        &self,
        entries: Vec<Arc<Entry>>,
        meta: &ListMeta,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + use<> {
        let view = self.clone();
        let head = self.head(meta).into_bytes();
        let mut at = 0;
        let mut next = Some(head);
        stream::iter(std::iter::from_fn(move || {
            let mut piece = next.take()?;
            while at < entries.len() && piece.len() < PIECE {
                if at > 0 {
                    piece.push(b',');
                }
                view.put_item(&mut piece, &entries[at]);
                at += 1;
            }
            if at < entries.len() {
                next = Some(Vec::with_capacity(PIECE + 4096));
            } else {
                piece.extend_from_slice(b"]}");
            }
            Some(Ok(Bytes::from(piece)))
        }))
    }

    fn protobuf_list(&self, entries: &[Arc<Entry>], meta: &ListMeta) -> Result<Written> {
        let items: Vec<Vec<u8>> = entries.iter().map(|entry| self.raw(entry)).collect::<Result<_>>()?;
        let raw = protobuf::list(meta, &items);
        Ok(self.written(protobuf::envelope(&self.served.api_version(), &self.served.list_kind(), &raw)))
    }

    fn raw(&self, entry: &Entry) -> Result<Vec<u8>> {
        if self.is_verbatim() {
            let raw = protobuf::raw(&entry.stored).ok_or_else(not_protobuf)?;
            return Ok(protobuf::with_version(raw, entry.revision));
        }
        let enveloped = self.served.codec.encode_protobuf(&self.served.to_served(entry.value()))?;
        Ok(protobuf::raw(&enveloped).ok_or_else(not_protobuf)?.to_vec())
    }
}
