//! An object as its bytes plus an index.

use std::ops::Range;

use bytes::Bytes;
use serde_json::Value;

use super::Signature;

/// What lists and watches look at without decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Selectable fields beyond `metadata.name` and `metadata.namespace`.
    pub fields: Box<[(Box<str>, Box<str>)]>,
}

/// One state of one object.
#[derive(Clone, Debug)]
pub struct Entry {
    pub index: Index,
    pub signature: Signature,
    /// The revision that wrote it; of a deleted object's last state, the deletion's.
    pub revision: u64,
    /// As the store has it, without a resourceVersion.
    pub stored: Bytes,
    json: Bytes,
    /// Where the digits of `metadata.resourceVersion` are in `json`.
    version_at: Range<usize>,
}

const VERSION_KEY: &[u8] = b"\"resourceVersion\":\"";

impl Index {
    /// Reads the metadata of `object`; `fields` are paths of selectable fields, e.g. `spec.nodeName`.
    pub fn of(object: &Value, fields: Vec<(Box<str>, Box<str>)>) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or("").into();
        let labels = metadata["labels"].as_object().map_or_else(Box::default, |labels| {
            labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or("").into())).collect()
        });
        Self {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            labels,
            fields: fields.into_boxed_slice(),
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// A selectable field; absent ones are empty, as upstream's.
    pub fn field(&self, key: &str) -> &str {
        match key {
            "metadata.name" => &self.name,
            "metadata.namespace" => &self.namespace,
            _ => self.fields.iter().find(|(k, _)| &**k == key).map_or("", |(_, v)| v),
        }
    }
}

impl Entry {
    /// `json` is the whole object with this revision as its `metadata.resourceVersion`.
    pub fn new(index: Index, revision: u64, stored: Bytes, json: Bytes) -> Self {
        let version_at = find_version(&json, revision);
        let signature = Signature::of(&index);
        Self { index, signature, revision, stored, json, version_at }
    }

    /// The whole object, with kind and apiVersion.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The key within its resource: `namespace/name`, or `name` if it is not namespaced.
    pub fn key(&self) -> String {
        key_of(&self.index.namespace, &self.index.name)
    }

    /// The same state under another revision: how a deletion, or leaving a selector, is told.
    pub fn at_revision(&self, revision: u64) -> Self {
        let digits = revision.to_string();
        let mut json = Vec::with_capacity(self.json.len() + digits.len());
        json.extend_from_slice(&self.json[..self.version_at.start]);
        json.extend_from_slice(digits.as_bytes());
        json.extend_from_slice(&self.json[self.version_at.end..]);
        let version_at = self.version_at.start..self.version_at.start + digits.len();
        Self {
            index: self.index.clone(),
            signature: self.signature,
            revision,
            stored: self.stored.clone(),
            json: json.into(),
            version_at,
        }
    }

    /// Decoded. Costs a parse; for conversions and decisions only.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("the server wrote this JSON itself")
    }
}

/// The key of an object within its resource.
pub fn key_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

/// Finds the digits by key *and* value: a quote inside a JSON string is escaped, so the pattern can only be a real
/// field, and no other field of that name (a managed field, an owner) has this object's newest revision before
/// metadata has been passed.
fn find_version(json: &[u8], revision: u64) -> Range<usize> {
    let digits = revision.to_string();
    let mut from = 0;
    while let Some(at) = find(&json[from..], VERSION_KEY) {
        let start = from + at + VERSION_KEY.len();
        let end = start + digits.len();
        if json.get(start..end) == Some(digits.as_bytes()) && json.get(end) == Some(&b'"') {
            return start..end;
        }
        from = start;
    }
    json.len()..json.len()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_can_be_told_under_another_revision() {
        let json =
            r#"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"9","x":"\"resourceVersion\":\"9\""}}"#;
        let entry = Entry::new(Index::default(), 9, Bytes::new(), json.into());
        let later = entry.at_revision(1234);
        assert_eq!(
            later.json(),
            r#"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"1234","x":"\"resourceVersion\":\"9\""}}"#
        );
        assert_eq!(later.at_revision(9).json(), json);
    }
}
