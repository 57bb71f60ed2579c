//! Keeps a store equal to what the server has: list, then watch, and again after a gap.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use kube::core::ObjectList;
use serde::de::DeserializeOwned;
use stdx::{Backoff, Clock, Shutdown, error_chain};

use crate::store::{Object, Writer};

/// Objects per page of the first list.
const PAGE: u32 = 500;

/// Where an informer gets its objects from.
#[async_trait]
pub(crate) trait Source<K: Clone>: Send + Sync {
    async fn page(&self, params: &ListParams) -> kube::Result<ObjectList<K>>;
    async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<K>>>>;
}

/// Whole objects.
pub(crate) struct Whole<K>(pub Api<K>);
/// Metadata only.
pub(crate) struct MetadataOnly<K>(pub Api<K>);

#[async_trait]
impl<K: Object> Source<K> for Whole<K> {
    async fn page(&self, params: &ListParams) -> kube::Result<ObjectList<K>> {
        self.0.list(params).await
    }
    async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<K>>>> {
        Ok(self.0.watch(params, version).await?.boxed())
    }
}

#[async_trait]
impl<K> Source<PartialObjectMeta<K>> for MetadataOnly<K>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    async fn page(&self, params: &ListParams) -> kube::Result<ObjectList<PartialObjectMeta<K>>> {
        self.0.list_metadata(params).await
    }
    async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<PartialObjectMeta<K>>>>> {
        Ok(self.0.watch_metadata(params, version).await?.boxed())
    }
}

/// One kind's list-and-watch loop.
pub(crate) struct Informer<K: Clone> {
    pub what: String,
    pub source: Box<dyn Source<K>>,
    pub fields: Option<String>,
    pub writer: Writer<K>,
    pub clock: Clock,
}

/// Why a watch ended.
enum Ended {
    /// The server closed it; go on from here.
    At(String),
    /// The revision is gone; list again.
    Expired,
}

impl<K: Object> Informer<K> {
    /// Runs until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.wait() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let mut version: Option<String> = None;
        loop {
            match self.step(version.take()).await {
                Ok(next) => {
                    backoff.reset();
                    version = next;
                }
                Err((kept, error)) => {
                    tracing::debug!(resource = self.what, error = error_chain(&error), "watch interrupted");
                    version = kept;
                    self.clock.sleep(backoff.step()).await;
                }
            }
        }
    }

    /// Lists if there is no version yet, then watches until the stream ends.
    async fn step(&self, version: Option<String>) -> Result<Option<String>, (Option<String>, kube::Error)> {
        let from = match version {
            Some(version) => version,
            None => self.list().await.map_err(|error| (None, error))?,
        };
        match self.watch(&from).await {
            Ok(Ended::At(version)) => Ok(Some(version)),
            Ok(Ended::Expired) => Ok(None),
            Err(error) => Err((Some(from), error)),
        }
    }

    async fn list(&self) -> kube::Result<String> {
        let mut params =
            ListParams { limit: Some(PAGE), field_selector: self.fields.clone(), ..ListParams::default() };
        let mut objects = Vec::new();
        loop {
            let page = self.source.page(&params).await?;
            objects.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.writer.replace(objects);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    async fn watch(&self, from: &str) -> kube::Result<Ended> {
        let params = WatchParams { field_selector: self.fields.clone(), ..WatchParams::default() };
        let mut events = self.source.watch(&params, from).await?;
        let mut version = from.to_owned();
        // A broken stream ends the watch like a closed one: what was seen counts, the next watch goes on from there.
        while let Some(event) = events.try_next().await.or_else(|error| self.stream_broke(error))? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    remember(&mut version, &object);
                    self.writer.apply(object);
                }
                WatchEvent::Deleted(object) => {
                    remember(&mut version, &object);
                    self.writer.delete(object);
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == 410 => return Ok(Ended::Expired),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(Ended::At(version))
    }

    fn stream_broke(&self, error: kube::Error) -> kube::Result<Option<WatchEvent<K>>> {
        match error {
            kube::Error::ReadEvents(_) | kube::Error::HyperError(_) => Ok(None),
            error => Err(error),
        }
    }
}

fn remember<K: kube::Resource>(version: &mut String, object: &K) {
    if let Some(seen) = &object.meta().resource_version {
        version.clone_from(seen);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use bytes::Bytes;
    use http_body_util::Full;
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Client;
    use parking_lot::Mutex;
    use stdx::Tasks;

    use crate::{Change, Hub, Key};

    use super::*;

    /// A server that gives these bodies in order, then hangs; and the queries that it was asked.
    fn scripted(bodies: &[&str]) -> (Client, Arc<Mutex<Vec<String>>>) {
        let bodies: Arc<Mutex<VecDeque<String>>> =
            Arc::new(Mutex::new(bodies.iter().map(|b| (*b).to_owned()).collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (bodies, log) = (bodies.clone(), log.clone());
            async move {
                log.lock().push(request.uri().query().unwrap_or_default().to_owned());
                let body = bodies.lock().pop_front();
                match body {
                    Some(body) => Ok::<_, std::io::Error>(http::Response::new(Full::new(Bytes::from(body)))),
                    None => std::future::pending().await,
                }
            }
        });
        (Client::new(service, "default"), asked)
    }

    #[tokio::test]
    async fn goes_on_after_a_closed_watch_and_lists_again_after_a_gap() {
        let object = |version: u32| {
            format!(r#"{{"metadata":{{"name":"a","namespace":"n","resourceVersion":"{version}"}}}}"#)
        };
        let list = |version: u32| {
            format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMapList","metadata":{{"resourceVersion":"{version}"}},"items":[{}]}}"#,
                object(version)
            )
        };
        let watched = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", object(7));
        let expired = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}}\n";
        let (client, asked) = scripted(&[&list(5), &watched, expired, &list(9)]);
        let (trigger, shutdown) = Shutdown::new();
        let hub = Hub::new(client, Clock::manual(Timestamp::UNIX_EPOCH), Tasks::new(), shutdown);
        let mut changes = hub.store::<ConfigMap>().subscribe();
        let mut versions = Vec::new();
        for _ in 0..3 {
            let Some(Change::Applied { new, .. }) = changes.recv().await else { panic!("no change came") };
            assert_eq!(Key::of(&*new), Key::new("n", "a"));
            versions.push(new.metadata.resource_version.clone().expect("scripted with one"));
        }
        assert_eq!(versions, ["5", "7", "9"]);
        let asked = asked.lock().clone();
        assert!(asked[0].contains("limit=500"), "{asked:?}");
        assert!(
            asked[1].contains("resourceVersion=5") && asked[2].contains("resourceVersion=7"),
            "{asked:?}"
        );
        trigger.shut_down();
    }
}
