//! Pulling from registries: resolve the name, fetch what is missing, unpack, name it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::Reference as Remote;
use oci_client::client::Client;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use parking_lot::Mutex;
use stdx::Clock;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use super::add::{AddError, Layer, Named, add_layer, check_media_type, commit, diff_ids, parse_manifest};
use super::digest;
use super::download::{Counter, DownloadError, Progress, Source, retry};
use super::layout::{Layout, LayoutError, Record};
use super::platform::{self, ARCHITECTURE};
use super::reference::{Reference, ReferenceError};
use super::registries::{ClientError, Endpoint, Registries};

/// Why an image could not be pulled; containerd's words, which people search for.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error("failed to resolve reference \"{reference}\": {reference}: not found")]
    NotFound { reference: String },
    #[error(
        "failed to resolve reference \"{reference}\": pull access denied, repository does not exist or may require authorization"
    )]
    Denied { reference: String },
    #[error("failed to resolve reference \"{reference}\"")]
    Resolve { reference: String, source: OciDistributionError },
    #[error("failed to resolve reference \"{reference}\"")]
    Client { reference: String, source: ClientError },
    #[error("no match for platform in manifest: linux/{0}: not found")]
    Platform(&'static str),
    #[error("failed to copy blob {digest}")]
    Blob { digest: String, source: DownloadError },
    #[error("cannot read blob {digest}")]
    Read { digest: String, source: io::Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("failed to unpack image \"{reference}\"")]
    Add { reference: String, source: AddError },
    #[error("the pull ended early")]
    Task(#[source] tokio::task::JoinError),
}

/// As containerd's max_concurrent_downloads.
const CONCURRENT_LAYERS: usize = 3;

const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Layers on their way, by diff id: whoever comes second waits and finds the layer in place.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<String, Weak<AsyncMutex<()>>>>>);

impl Flights {
    async fn enter(&self, diff_id: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut flights = self.0.lock();
            flights.retain(|_, flight| flight.strong_count() > 0);
            let known = flights.get(diff_id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                flights.insert(diff_id.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

/// What a pull works with.
pub(super) struct Puller<'a> {
    pub layout: &'a Layout,
    pub flights: &'a Flights,
    pub clock: &'a Clock,
}

/// An image as a registry has it.
struct Found {
    name: String,
    client: Client,
    remote: Remote,
    /// Of what the name stands for: an index, where there is one.
    digest: String,
    manifest: Vec<u8>,
}

impl Puller<'_> {
    /// Fetches an image and adds it.
    pub async fn pull(
        &self,
        image: &str,
        auth: &RegistryAuth,
        progress: Progress,
    ) -> Result<Record, PullError> {
        let reference: Reference = image.parse()?;
        let failed = |source| PullError::Add { reference: reference.to_string(), source };
        let naming = self.layout.naming()?;
        let found = self.resolve(&reference, auth).await?;
        let manifest = parse_manifest(&found.manifest).map_err(failed)?;
        let scratch = self.layout.scratch()?;
        let config = self.config(&found, manifest.config(), scratch.path()).await?;
        let layers = diff_ids(&config, manifest.layers().len()).map_err(failed)?;
        for layer in manifest.layers() {
            check_media_type(layer.media_type()).map_err(failed)?;
        }
        self.layers(&found, &manifest, &layers, scratch.path(), progress).await?;
        let size = manifest.layers().iter().map(Descriptor::size).sum::<u64>() + config.len() as u64;
        // With tag and digest the digest counts, and the tag says nothing.
        let tag = reference.tag.as_ref().filter(|_| reference.digest.is_none());
        let named = Named {
            manifest: found.manifest,
            config,
            names: tag.iter().map(|tag| format!("{}:{tag}", reference.name())).collect(),
            digests: vec![reference.with_digest(&found.digest)],
        };
        let layout = self.layout.clone();
        let committed = spawn_blocking(move || commit(&layout, naming, named, layers, size)).await;
        committed.map_err(PullError::Task)?.map_err(failed)
    }

    /// Asks the mirrors, then the registry.
    async fn resolve(&self, reference: &Reference, auth: &RegistryAuth) -> Result<Found, PullError> {
        let endpoints = Registries::read(self.layout)?.endpoints(&reference.registry);
        let (last, mirrors) = endpoints.split_last().expect("the registry itself is always there");
        for mirror in mirrors {
            match self.ask(mirror, reference, &RegistryAuth::Anonymous).await {
                Err(error) => {
                    let error = stdx::error_chain(&error);
                    tracing::debug!(mirror = mirror.host, error, "a mirror does not have the image");
                }
                found => return found,
            }
        }
        self.ask(last, reference, auth).await
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        auth: &RegistryAuth,
    ) -> Result<Found, PullError> {
        let name = reference.to_string();
        let client =
            endpoint.client().map_err(|source| PullError::Client { reference: name.clone(), source })?;
        let remote = endpoint.remote(reference);
        let bytes = self.manifest(&client, &remote, auth).await.map_err(|e| resolve_failed(&name, e))?;
        let digest = digest::of(&bytes);
        let Ok(index) = serde_json::from_slice::<ImageIndex>(&bytes) else {
            return Ok(Found { name, client, remote, digest, manifest: bytes });
        };
        let chosen = platform::choose(&index).ok_or(PullError::Platform(ARCHITECTURE))?;
        let own = remote.clone_with_digest(chosen.digest().to_string());
        let manifest = self.manifest(&client, &own, auth).await.map_err(|e| resolve_failed(&name, e))?;
        Ok(Found { name, client, remote, digest, manifest })
    }

    /// The client checks the digest where the reference has one.
    async fn manifest(
        &self,
        client: &Client,
        remote: &Remote,
        auth: &RegistryAuth,
    ) -> Result<Vec<u8>, OciDistributionError> {
        let (bytes, _) = retry(self.clock, || client.pull_manifest_raw(remote, auth, &MANIFESTS)).await?;
        Ok(bytes.to_vec())
    }

    async fn config(&self, found: &Found, blob: &Descriptor, folder: &Path) -> Result<Vec<u8>, PullError> {
        let digest = blob.digest().to_string();
        let failed = |source| PullError::Blob { digest: digest.clone(), source };
        let path = folder.join("config");
        let quiet = Counter::new(blob.size(), Arc::new(|_, _| {}));
        self.source(found).fetch(blob, &path, &quiet).await.map_err(failed)?;
        let bytes = tokio::fs::read(&path).await;
        let bytes = bytes.map_err(|source| PullError::Read { digest: digest.clone(), source })?;
        if digest::of(&bytes) == digest { Ok(bytes) } else { Err(failed(DownloadError::Digest)) }
    }

    fn source<'a>(&'a self, found: &'a Found) -> Source<'a> {
        Source { client: &found.client, remote: &found.remote, clock: self.clock }
    }

    /// Fetches and unpacks the layers that are not there yet, a few at a time.
    async fn layers(
        &self,
        found: &Found,
        manifest: &ImageManifest,
        diff_ids: &[String],
        folder: &Path,
        progress: Progress,
    ) -> Result<(), PullError> {
        let counter = Counter::new(manifest.layers().iter().map(Descriptor::size).sum(), progress);
        let mut work = Vec::new();
        for (number, (blob, diff_id)) in manifest.layers().iter().zip(diff_ids).enumerate() {
            let wanted = Wanted { number, blob, diff_id, path: folder.join(format!("layer-{number}")) };
            work.push(self.layer(found, wanted, &counter));
        }
        stream::iter(work).buffer_unordered(CONCURRENT_LAYERS).try_collect().await
    }

    async fn layer(&self, found: &Found, wanted: Wanted<'_>, counter: &Counter) -> Result<(), PullError> {
        let Wanted { number, blob, diff_id, path } = wanted;
        let _turn = self.flights.enter(diff_id).await;
        if self.layout.layer_path(diff_id).exists() {
            counter.add(blob.size());
            return Ok(());
        }
        let digest = blob.digest().to_string();
        let fetched = self.source(found).fetch(blob, &path, counter).await;
        fetched.map_err(|source| PullError::Blob { digest: digest.clone(), source })?;
        let (layout, diff_id) = (self.layout.clone(), diff_id.to_owned());
        let layer = Layer { path, digest: Some(digest) };
        let added = spawn_blocking(move || add_layer(&layout, number, &layer, &diff_id)).await;
        let failed = |source| PullError::Add { reference: found.name.clone(), source };
        added.map_err(PullError::Task)?.map(drop).map_err(failed)
    }
}

/// One layer to fetch.
struct Wanted<'a> {
    number: usize,
    blob: &'a Descriptor,
    diff_id: &'a str,
    path: PathBuf,
}

fn resolve_failed(reference: &str, source: OciDistributionError) -> PullError {
    use oci_client::errors::OciDistributionError as E;
    use oci_client::errors::OciErrorCode as Code;
    let reference = reference.to_owned();
    match &source {
        E::ImageManifestNotFoundError(_) | E::ServerError { code: 404, .. } => {
            PullError::NotFound { reference }
        }
        E::UnauthorizedError { .. }
        | E::AuthenticationFailure(_)
        | E::ServerError { code: 401 | 403, .. } => PullError::Denied { reference },
        E::RegistryError { envelope, .. } => match envelope.errors.first().map(|error| &error.code) {
            Some(Code::ManifestUnknown | Code::NameUnknown | Code::NotFound) => {
                PullError::NotFound { reference }
            }
            Some(Code::Unauthorized | Code::Denied) => PullError::Denied { reference },
            _ => PullError::Resolve { reference, source },
        },
        _ => PullError::Resolve { reference, source },
    }
}
