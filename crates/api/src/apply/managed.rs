//! `metadata.managedFields`: who set which fields.
//!
//! Upstream: apimachinery/pkg/util/managedfields/internal/{managedfields,capmanagers}.go.

use serde_json::{Map, Value, json};

use super::fields_v1;
use super::set::FieldSet;

/// One entry: what one manager set by one kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    pub manager: String,
    /// By server-side apply; else by any other write.
    pub applied: bool,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339.
    pub time: Option<String>,
    pub fields: FieldSet,
}

/// Entries of updates that are kept apart; older ones are put together.
const MOST_UPDATERS: usize = 10;
/// The manager of what was put together.
const ANCIENT: &str = "ancient-changes";

impl Managed {
    /// Whether both are the same manager's entry. Appliers have one for all versions.
    pub fn is_same(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    /// As conflicts name it: `"kubectl-edit" with subresource "scale" using v1`.
    pub fn told(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if !self.applied {
            text += &format!(" using {}", self.api_version);
        }
        text
    }

    fn encode(&self) -> Value {
        let mut entry = Map::new();
        let texts = [
            ("manager", self.manager.as_str()),
            ("operation", self.operation()),
            ("apiVersion", &self.api_version),
            ("time", self.time.as_deref().unwrap_or("")),
            ("subresource", &self.subresource),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            entry.insert(name.into(), json!(text));
        }
        entry.insert("fieldsType".into(), json!("FieldsV1"));
        entry.insert("fieldsV1".into(), fields_v1::encode(&self.fields));
        Value::Object(entry)
    }

    fn decode(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let applied = match text("operation").as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if text("fieldsType") != "FieldsV1" || text("apiVersion").is_empty() {
            return None;
        }
        let fields = match entry.get("fieldsV1") {
            None | Some(Value::Null) => FieldSet::new(),
            Some(fields) => fields_v1::decode(fields)?,
        };
        let time = Some(text("time")).filter(|time| !time.is_empty());
        Some(Self {
            manager: text("manager"),
            applied,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time,
            fields,
        })
    }
}

/// The entries of an object; none if one of them cannot be read.
pub fn decode(object: &Value) -> Option<Vec<Managed>> {
    let entries = object["metadata"]["managedFields"].as_array();
    entries.into_iter().flatten().map(Managed::decode).collect()
}

/// Whether the client asks to begin anew: one entry with nothing in it.
pub fn is_reset(object: &Value) -> bool {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice);
    matches!(entries, Some([Value::Object(entry)]) if entry.is_empty())
}

/// Writes the entries into the object, in upstream's order: appliers first, then by time.
pub fn encode(object: &mut Value, mut entries: Vec<Managed>) {
    entries.sort_by(|a, b| {
        let key = |m: &'_ Managed| {
            (m.operation(), m.time.clone(), m.manager.clone(), m.api_version.clone(), m.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), entries.iter().map(Managed::encode).collect());
    }
}

/// Puts the oldest updates together while there are too many, version by version.
pub fn cap(entries: &mut Vec<Managed>) {
    let mut updaters: Vec<Managed> = entries.iter().filter(|entry| !entry.applied).cloned().collect();
    let mut left = updaters.len();
    if left <= MOST_UPDATERS {
        return;
    }
    updaters.sort_by(|a, b| (&a.time, a.told()).cmp(&(&b.time, b.told())));
    let mut first_of: Vec<(String, Managed)> = Vec::new();
    for updater in updaters {
        if left <= MOST_UPDATERS {
            return;
        }
        let version = updater.api_version.clone();
        let Some((_, first)) = first_of.iter().find(|(known, _)| *known == version) else {
            first_of.push((version, updater));
            continue;
        };
        let bucket = Managed {
            manager: ANCIENT.into(),
            applied: false,
            api_version: version,
            subresource: String::new(),
            time: None,
            fields: FieldSet::new(),
        };
        if !entries.iter().any(|entry| entry.is_same(&bucket)) {
            let fields = first.fields.clone();
            entries.retain(|entry| !entry.is_same(first));
            entries.push(Managed { fields, ..bucket.clone() });
        }
        entries.retain(|entry| !entry.is_same(&updater));
        if let Some(own) = entries.iter_mut().find(|entry| entry.is_same(&bucket)) {
            own.fields.absorb(updater.fields);
            own.time = updater.time;
        }
        left -= 1;
    }
}

/// Whether nothing but times differs between the entries of two objects, and something does.
pub fn differ_in_time_only(a: &Value, b: &Value) -> bool {
    let entries =
        |object: &Value| object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let timeless = |mut entries: Vec<Value>| {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        entries
    };
    let (a, b) = (entries(a), entries(b));
    a != b && timeless(a) == timeless(b)
}
