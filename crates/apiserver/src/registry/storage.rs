//! One stored resource: reading and writing single objects with compare-and-swap.
//!
//! Knows nothing of HTTP or admission; what may be written is decided by its callers.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use store::{Compare, Durability, Engine, KeyValue, Op, Revision, TxnError};

use super::{Codec, keys};
use crate::cache::{Entry, Index, ResourceCache};
use crate::error::{ApiError, GroupResource, Result};
use crate::object;
use crate::strategy::Strategy;
use crate::strategy::traits::Traits;

/// A resource as it is stored: one version, whatever versions are served.
pub struct Storage {
    pub resource: GroupResource,
    pub kind: String,
    pub api_version: String,
    pub namespaced: bool,
    /// Its status is a subresource.
    pub has_status: bool,
    pub prefix: String,
    pub codec: Codec,
    pub traits: Traits,
    pub strategy: &'static dyn Strategy,
    pub cache: Arc<ResourceCache>,
    pub engine: Arc<dyn Engine>,
}

/// An object as the store has it.
#[derive(Clone, Debug)]
pub struct Current {
    /// With its resourceVersion.
    pub value: Value,
    pub revision: u64,
    stored: Bytes,
}

/// The outcome of a compare-and-swap.
pub enum Swap {
    /// Written; the new state.
    Done(Value),
    /// Somebody was faster; what is there now, if anything.
    Stale(Option<Current>),
}

impl Storage {
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource
    }

    /// The newest state, from the store itself.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<Current>> {
        let key = keys::object(&self.prefix, namespace, name);
        let found = self.engine.get(&key, None).await.map_err(read_failure)?;
        self.currently(found).await
    }

    /// As [`Storage::read`], with a 404.
    pub async fn must_read(&self, namespace: &str, name: &str) -> Result<Current> {
        self.read(namespace, name).await?.ok_or_else(|| ApiError::not_found(&self.resource, name))
    }

    /// Writes what must not be there yet. None if it is.
    pub async fn insert(&self, value: &Value) -> Result<Option<Value>> {
        let key = self.key_of(value);
        let stored = self.encode(value).await?;
        let put = Op::put(key.clone(), stored).durability(self.durability());
        let done = self.engine.txn(vec![Compare::absent(key)], vec![put], vec![]).await;
        let done = done.map_err(write_failure)?;
        Ok(done.succeeded.then(|| with_version(value.clone(), done.revision.0)))
    }

    /// Replaces `current`. A state that is the same byte for byte is not written again.
    pub async fn replace(&self, current: &Current, value: &Value) -> Result<Swap> {
        let stored = self.encode(value).await?;
        if stored == current.stored {
            return Ok(Swap::Done(with_version(value.clone(), current.revision)));
        }
        let key = self.key_of(value);
        let put = Op::put(key.clone(), stored).durability(self.durability());
        let unchanged = Compare::unchanged_since(key.clone(), Revision(current.revision));
        let done = self.engine.txn(vec![unchanged], vec![put], vec![Op::get(key)]).await;
        let done = done.map_err(write_failure)?;
        if done.succeeded {
            return Ok(Swap::Done(with_version(value.clone(), done.revision.0)));
        }
        Ok(Swap::Stale(self.currently(done.into_got()).await?))
    }

    /// Removes `current`; answers the last state under the deletion's revision.
    pub async fn remove(&self, current: &Current) -> Result<Swap> {
        let key = self.key_of(&current.value);
        let delete = Op::delete(key.clone()).durability(self.durability());
        let unchanged = Compare::unchanged_since(key.clone(), Revision(current.revision));
        let done = self.engine.txn(vec![unchanged], vec![delete], vec![Op::get(key)]).await;
        let done = done.map_err(write_failure)?;
        if done.succeeded {
            return Ok(Swap::Done(with_version(current.value.clone(), done.revision.0)));
        }
        Ok(Swap::Stale(self.currently(done.into_got()).await?))
    }

    async fn currently(&self, found: Option<KeyValue>) -> Result<Option<Current>> {
        let Some(kv) = found else { return Ok(None) };
        let value = self.converted(vec![self.decode(&kv)?]).await?.pop().unwrap_or_default(); // as many as were given
        Ok(Some(Current { value, revision: kv.mod_revision.0, stored: kv.value }))
    }

    /// Custom objects of any version in this one; others are what they are.
    ///
    /// # Errors
    /// When a conversion fails.
    pub async fn converted(&self, objects: Vec<Value>) -> Result<Vec<Value>> {
        match self.codec.as_custom() {
            None => Ok(objects),
            Some(kind) => kind.convert(objects, kind.at).await,
        }
    }

    /// Decodes a stored value, with its resourceVersion. Custom objects are of the version that they were stored in.
    fn decode(&self, kv: &KeyValue) -> Result<Value> {
        let value = self.codec.decode_stored(&kv.value)?;
        Ok(with_version(value, kv.mod_revision.0))
    }

    /// A stored value as the cache holds it.
    pub fn entry(&self, kv: &KeyValue) -> Result<Entry> {
        self.entry_of(&kv.value, kv.mod_revision.0)
    }

    /// Whether `value` would be stored as `current` is.
    pub fn is_stored_as(&self, current: &Current, value: &Value) -> bool {
        match self.codec.as_custom() {
            None => self.stored_bytes(value.clone()) == current.stored,
            // Of whatever version it is stored: the same in this one.
            Some(_) => with_version(value.clone(), current.revision) == current.value,
        }
    }

    /// The same from its parts.
    pub fn entry_of(&self, stored: &Bytes, revision: u64) -> Result<Entry> {
        let value = with_version(self.codec.decode_stored(stored)?, revision);
        let index = Index::of(&value, self.codec.selectable(&value));
        let json = self.codec.encode_json(&value);
        Ok(Entry::new(index, revision, stored.clone(), json.into()))
    }

    async fn encode(&self, value: &Value) -> Result<Bytes> {
        let mut value = value.clone();
        if let Some(kind) = self.codec.as_custom() {
            let stored = kind.convert(vec![value], kind.definition.storage).await?;
            value = stored.into_iter().next().unwrap_or_default(); // as many as were given
        }
        Ok(self.stored_bytes(value))
    }

    fn stored_bytes(&self, mut value: Value) -> Bytes {
        let metadata = object::metadata_mut(&mut value);
        metadata.remove("resourceVersion");
        metadata.remove("selfLink");
        self.codec.encode_stored(&value).into()
    }

    fn key_of(&self, value: &Value) -> Bytes {
        keys::object(&self.prefix, object::namespace(value), object::name(value))
    }

    fn durability(&self) -> Durability {
        if self.traits.relaxed { Durability::Relaxed } else { Durability::Synced }
    }

    /// Returns once the cache shows everything that the store has acknowledged.
    pub async fn catch_up(&self) -> Result<()> {
        let newest = self.engine.revision().await.map_err(read_failure)?;
        self.cache.wait_for(newest.0).await;
        Ok(())
    }
}

fn with_version(mut value: Value, revision: u64) -> Value {
    object::set_meta(&mut value, "resourceVersion", Some(json!(revision.to_string())));
    value
}

/// The store cannot be read: the log learns why.
pub fn read_failure(error: store::ReadError) -> ApiError {
    ApiError::internal(stdx::error_chain(&error))
}

/// The store did not write: a full disk says so.
pub fn write_failure(error: TxnError) -> ApiError {
    let chain = stdx::error_chain(&error);
    match error {
        TxnError::DiskFull { .. } => {
            ApiError::new(507, "InternalError", format!("etcdserver: mvcc: database space exceeded: {chain}"))
                .with_log(chain)
        }
        TxnError::Closed => ApiError::service_unavailable("the server is shutting down").with_log(chain),
        _ => ApiError::internal(chain),
    }
}
