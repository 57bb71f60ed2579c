//! Whether a cached object already shows what a controller itself wrote last.
//!
//! A reconciliation of an older state would count, create or delete a second time. Upstream: the
//! StaleControllerConsistency feature, which compares resource versions as numbers as well.

use std::collections::HashMap;

use client::Key;
use kube::api::PostParams;
use kube::{Api, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The newest resource version written of each object.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<Key, u64>>);

impl Written {
    pub fn record<K: Resource>(&self, key: &Key, object: &K) {
        let Some(version) = version(object) else { return };
        let mut all = self.0.lock();
        let newest = all.entry(key.clone()).or_default();
        *newest = version.max(*newest);
    }

    /// Writes the status of `changed`, and notes it; none where the object is gone, which needs no status any more.
    pub async fn replace_status<K>(&self, key: &Key, api: &Api<K>, changed: &K) -> kube::Result<Option<K>>
    where
        K: Resource + Serialize + DeserializeOwned,
    {
        match api.replace_status(&key.name, &PostParams::default(), changed).await {
            Ok(object) => {
                self.record(key, &object);
                Ok(Some(object))
            }
            Err(error) if client::is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether `object` is older than what was written. The newer state is on its way along the watch.
    pub fn is_stale<K: Resource>(&self, key: &Key, object: &K) -> bool {
        match (self.0.lock().get(key), version(object)) {
            (Some(written), Some(version)) => version < *written,
            _ => false,
        }
    }

    pub fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

/// None where a server's versions are no numbers: then nothing is held back.
fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn older_than_written_is_stale() {
        let at = |version: &str| {
            let mut pod = Pod::default();
            pod.metadata.resource_version = Some(version.into());
            pod
        };
        let (written, key) = (Written::default(), Key::new("n", "a"));
        assert!(!written.is_stale(&key, &at("1")));
        written.record(&key, &at("10"));
        assert!(written.is_stale(&key, &at("9")) && !written.is_stale(&key, &at("10")));
        written.forget(&key);
        assert!(!written.is_stale(&key, &at("9")));
    }
}
