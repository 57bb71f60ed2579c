//! The files of a configMap, secret, downwardAPI or projected volume. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use crate::env::fields::{self, NodeFields};
use crate::pods;

/// Relative path to contents.
pub(crate) type Payload = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub data: Vec<u8>,
    pub mode: u32,
}

/// Why a volume's files cannot be put together; upstream's words.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("{kind} {name:?} not found")]
    Absent { kind: &'static str, name: String },
    #[error("{kind} references non-existent {noun} key: {key}")]
    Key { kind: &'static str, noun: &'static str, key: String },
    #[error("field path {path:?} is not supported")]
    Field { path: String },
    #[error("path {path:?} leaves the volume")]
    Escapes { path: String },
}

/// Which keys go where.
pub(crate) struct Selection<'a> {
    pub items: &'a [KeyToPath],
    pub default_mode: u32,
    pub optional: bool,
}

pub(crate) fn of_config_map(
    name: &str,
    map: Option<&ConfigMap>,
    selection: &Selection<'_>,
) -> Result<Payload, PayloadError> {
    let data = map.map(|map| {
        let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
        text.chain(map.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()))).collect()
    });
    select("configmap", "config", name, data, selection)
}

pub(crate) fn of_secret(
    name: &str,
    secret: Option<&Secret>,
    selection: &Selection<'_>,
) -> Result<Payload, PayloadError> {
    let data = secret.map(|s| s.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect());
    select("secret", "secret", name, data, selection)
}

fn select(
    kind: &'static str,
    noun: &'static str,
    name: &str,
    data: Option<BTreeMap<String, Vec<u8>>>,
    selection: &Selection<'_>,
) -> Result<Payload, PayloadError> {
    let data = match data {
        Some(data) => data,
        None if selection.optional => return Ok(Payload::new()),
        None => return Err(PayloadError::Absent { kind, name: name.into() }),
    };
    let mode = selection.default_mode;
    if selection.items.is_empty() {
        return Ok(data.into_iter().map(|(key, data)| (key, File { data, mode })).collect());
    }
    let mut payload = Payload::new();
    for item in selection.items {
        match data.get(&item.key) {
            Some(data) => {
                let mode = item.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(mode);
                payload.insert(checked(&item.path)?, File { data: data.clone(), mode });
            }
            None if selection.optional => {}
            None => return Err(PayloadError::Key { kind, noun, key: item.key.clone() }),
        }
    }
    Ok(payload)
}

pub(crate) fn of_downward_api(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: u32,
    node: &NodeFields,
) -> Result<Payload, PayloadError> {
    let mut payload = Payload::new();
    for item in items {
        let value = downward_value(pod, item, node)?;
        let mode = item.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(default_mode);
        payload.insert(checked(&item.path)?, File { data: value.into_bytes(), mode });
    }
    Ok(payload)
}

fn downward_value(
    pod: &Pod,
    item: &DownwardAPIVolumeFile,
    node: &NodeFields,
) -> Result<String, PayloadError> {
    if let Some(selector) = &item.field_ref {
        let value = fields::field(pod, &selector.field_path, node);
        return value.ok_or_else(|| PayloadError::Field { path: selector.field_path.clone() });
    }
    let Some(selector) = &item.resource_field_ref else { return Ok(String::new()) };
    let container = pods::find_container(pod, selector.container_name.as_deref().unwrap_or_default());
    let value = container.and_then(|container| fields::resource(&container, selector, node));
    value.ok_or_else(|| PayloadError::Field { path: selector.resource.clone() })
}

/// A path may go down, never up; the server checked it, a second look costs nothing.
pub(crate) fn checked(path: &str) -> Result<String, PayloadError> {
    let bad = path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part.starts_with(".."));
    if bad { Err(PayloadError::Escapes { path: path.into() }) } else { Ok(path.into()) }
}
