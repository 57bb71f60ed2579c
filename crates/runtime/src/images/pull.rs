//! Pulling from registries.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncWrite;

use super::add::{AddError, Layer, Parts, add};
use super::layout::{Layout, LayoutError, Record};
use super::reference::{Reference, ReferenceError};

/// Hears how far a pull is: bytes that came, bytes in all.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Why an image could not be pulled; containerd's words, which people search for.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error("failed to resolve reference \"{reference}\": not found")]
    NotFound { reference: String },
    #[error(
        "failed to resolve reference \"{reference}\": pull access denied, repository does not exist or may require authorization"
    )]
    Denied { reference: String },
    #[error("failed to resolve reference \"{reference}\"")]
    Resolve { reference: String, source: oci_client::errors::OciDistributionError },
    #[error("failed to copy blob {digest}")]
    Blob { digest: String, source: oci_client::errors::OciDistributionError },
    #[error("cannot write blob {digest}")]
    Write { digest: String, source: io::Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("failed to unpack image \"{reference}\"")]
    Add { reference: String, source: AddError },
    #[error("the pull ended early")]
    Task(#[source] tokio::task::JoinError),
}

/// Fetches an image and adds it.
pub(super) async fn pull(
    layout: &Layout,
    image: &str,
    auth: RegistryAuth,
    progress: Progress,
) -> Result<Record, PullError> {
    let reference: Reference = image.parse()?;
    let name = reference.to_string();
    let remote: oci_client::Reference =
        name.parse().map_err(|_| PullError::NotFound { reference: name.clone() })?;
    let client = oci_client::Client::new(config(&reference.registry));
    let (manifest, digest) =
        client.pull_image_manifest(&remote, &auth).await.map_err(|source| resolve_failed(&name, source))?;
    let scratch = layout.scratch()?;
    let total = manifest.layers.iter().map(|layer| layer.size.max(0) as u64).sum();
    let counter = Counter { done: Arc::default(), total, progress };
    let mut layers = Vec::new();
    for (number, layer) in manifest.layers.iter().enumerate() {
        // Named by number: the digest is the registry's word, and not yet checked.
        let path = scratch.path().join(number.to_string());
        fetch(&client, &remote, layer, &path, &counter).await?;
        layers.push(Layer { path, digest: Some(layer.digest.clone()) });
    }
    let config_path = scratch.path().join("config");
    let quiet = Counter { done: Arc::default(), total: 0, progress: Arc::new(|_, _| {}) };
    fetch(&client, &remote, &manifest.config, &config_path, &quiet).await?;
    let read = |source| PullError::Write { digest: manifest.config.digest.clone(), source };
    let parts = Parts {
        manifest: serde_json::to_vec(&manifest).expect("a manifest serializes"),
        config: std::fs::read(&config_path).map_err(read)?,
        layers,
        names: reference.tag.iter().map(|tag| format!("{}:{tag}", reference.name())).collect(),
        digests: vec![reference.with_digest(&digest)],
    };
    let layout = layout.clone();
    let added = tokio::task::spawn_blocking(move || {
        let added = add(&layout, parts);
        drop(scratch);
        added
    });
    added.await.map_err(PullError::Task)?.map_err(|source| PullError::Add { reference: name, source })
}

/// A registry on this machine may speak plain HTTP, as Docker has it.
fn config(registry: &str) -> ClientConfig {
    let host = registry.split(':').next().unwrap_or_default();
    let local = host == "localhost" || host.starts_with("127.");
    let protocol =
        if local { ClientProtocol::HttpsExcept(vec![registry.to_owned()]) } else { ClientProtocol::Https };
    ClientConfig { protocol, ..ClientConfig::default() }
}

fn resolve_failed(reference: &str, source: oci_client::errors::OciDistributionError) -> PullError {
    use oci_client::errors::OciDistributionError as E;
    let reference = reference.to_owned();
    match &source {
        E::ImageManifestNotFoundError(_) => PullError::NotFound { reference },
        E::ServerError { code: 404, .. } => PullError::NotFound { reference },
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => PullError::Denied { reference },
        E::RegistryError { envelope, .. }
            if envelope.errors.iter().any(|e| format!("{:?}", e.code).contains("Unknown")) =>
        {
            PullError::NotFound { reference }
        }
        _ => PullError::Resolve { reference, source },
    }
}

async fn fetch(
    client: &oci_client::Client,
    remote: &oci_client::Reference,
    descriptor: &oci_client::manifest::OciDescriptor,
    path: &Path,
    counter: &Counter,
) -> Result<(), PullError> {
    let digest = descriptor.digest.clone();
    let file = tokio::fs::File::create(path).await;
    let file = file.map_err(|source| PullError::Write { digest: digest.clone(), source })?;
    let mut counted = Counted { file, counter: counter.clone() };
    // The client checks the digest while it reads.
    let fetched = client.pull_blob(remote, descriptor, &mut counted).await;
    fetched.map_err(|source| PullError::Blob { digest: digest.clone(), source })?;
    counted.file.sync_all().await.map_err(|source| PullError::Write { digest, source })
}

#[derive(Clone)]
struct Counter {
    done: Arc<std::sync::atomic::AtomicU64>,
    total: u64,
    progress: Progress,
}

/// A file that tells what is written to it.
struct Counted {
    file: tokio::fs::File,
    counter: Counter,
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.file).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            let counter = &self.counter;
            let done =
                counter.done.fetch_add(*count as u64, std::sync::atomic::Ordering::Relaxed) + *count as u64;
            (counter.progress)(done, counter.total);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(context)
    }
}
