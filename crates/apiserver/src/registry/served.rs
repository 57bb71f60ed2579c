//! A resource of a group and version, as clients address it.

use std::sync::Arc;

use api::selector::FieldSelector;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Codec, Conversion, Storage};
use crate::cache::Entry;
use crate::custom::Kind;
use crate::error::{ApiError, Result};

/// What discovery tells of a resource, and where its objects are.
pub struct Served {
    /// Unique among all; for caches.
    pub number: u64,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<Subresource>,
    pub codec: Codec,
    /// None for what is answered and never stored.
    pub storage: Option<Arc<Storage>>,
    pub conversion: Conversion,
    /// What defines it, if that is a CustomResourceDefinition.
    pub custom: Option<Kind>,
    /// What every JSON object of this kind begins with; items of lists do without it.
    pub type_prefix: String,
}

/// `status`, `scale`, `exec` …
pub struct Subresource {
    pub name: String,
    pub verbs: Vec<String>,
    /// What it reads and writes; none where that is no object.
    pub codec: Option<Codec>,
    pub kind: String,
    pub group: String,
    pub version: String,
}

impl Served {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        api::api_version(&self.group, &self.version)
    }

    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    pub fn type_prefix(&self) -> &str {
        &self.type_prefix
    }

    /// Whether the stored version is this one.
    pub fn is_stored_version(&self) -> bool {
        self.storage.as_ref().is_some_and(|storage| storage.api_version == self.api_version())
    }

    /// From the stored version.
    pub fn to_served(&self, mut object: Value) -> Value {
        if !self.is_stored_version() {
            self.conversion.to_served(&mut object);
            object["apiVersion"] = json!(self.api_version());
        }
        object
    }

    /// To the stored version, defaulted. The served version's own defaults come first.
    pub fn to_stored(&self, mut object: Value) -> Value {
        self.codec.default(&mut object);
        if let Some(storage) = &self.storage
            && !self.is_stored_version()
        {
            self.conversion.to_stored(&mut object);
            object["apiVersion"] = json!(storage.api_version);
            storage.codec.default(&mut object);
        }
        object
    }

    /// Cached objects as this version has them: those of custom kinds are cached as they are stored.
    ///
    /// # Errors
    /// When a conversion fails.
    pub async fn seen(&self, mut entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>> {
        let Some(storage) = self.storage.as_ref().filter(|_| self.custom.is_some()) else {
            return Ok(entries);
        };
        let other: Vec<usize> = (0..entries.len())
            .filter(|at| !entries[*at].json().starts_with(self.type_prefix.as_bytes()))
            .collect();
        if other.is_empty() {
            return Ok(entries);
        }
        let values = other.iter().map(|at| entries[*at].value()).collect();
        for (at, value) in other.into_iter().zip(storage.converted(values).await?) {
            let json = self.codec.encode_json(&value);
            let old = &entries[at];
            entries[at] =
                Arc::new(Entry::new(old.index.clone(), old.revision, old.stored.clone(), json.into()));
        }
        Ok(entries)
    }

    /// # Errors
    /// 400 for a field that objects of this kind cannot be selected by.
    pub fn check_fields(&self, fields: &FieldSelector) -> Result<()> {
        let codec = self.storage.as_ref().map_or(&self.codec, |storage| &storage.codec);
        let keys = fields.terms.iter().map(|term| term.field.as_str());
        match keys.into_iter().find(|key| !codec.is_selectable(key)) {
            None => Ok(()),
            Some(unknown) => {
                let message = format!("field label not supported: {unknown}");
                Err(ApiError::bad_request(match self.resource.as_str() {
                    "pods" | "nodes" | "events" | "namespaces" | "secrets" | "replicationcontrollers" => {
                        message
                    }
                    _ if self.custom.is_some() => message,
                    _ => format!(
                        "{unknown:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    ),
                }))
            }
        }
    }

    /// A `Table` of objects of this version.
    pub fn table(&self, objects: &[Value], now: Timestamp) -> Value {
        let objects: Vec<&Value> = objects.iter().collect();
        let columns = self.codec.columns();
        api::table::render(&columns, &objects, json!({}), api::table::Include::None, now)
    }

    pub fn metadata_codec(&self) -> Codec {
        Codec::named("meta.k8s.io/v1", "PartialObjectMetadata").expect("described in meta/v1")
    }

    pub fn metadata_list_codec(&self) -> Codec {
        Codec::named("meta.k8s.io/v1", "PartialObjectMetadataList").expect("described in meta/v1")
    }
}
