//! One blob from a registry to a file: goes on where a broken connection ended, tries again with back-off.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use oci_client::client::{BlobResponse, Client};
use oci_client::errors::OciDistributionError;
use oci_client::{Reference, client::SizedStream};
use oci_spec::image::Descriptor;
use stdx::{Backoff, Clock};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// Hears how far a pull is: bytes that came, bytes in all.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Why a blob did not come.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("the registry does not give it")]
    Registry(#[source] OciDistributionError),
    #[error("the registry gave something else: its digest differs")]
    Digest,
    #[error("the registry gave {found} bytes instead of {expected}")]
    Size { expected: u64, found: u64 },
    #[error("no space left to store it")]
    DiskFull,
    #[error("cannot write it")]
    Write(#[source] io::Error),
}

/// Tries without a single byte in between.
const ATTEMPTS: u32 = 4;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Where a pull stands.
#[derive(Clone)]
pub(super) struct Counter {
    done: Arc<AtomicU64>,
    total: u64,
    progress: Progress,
}

impl Counter {
    pub fn new(total: u64, progress: Progress) -> Self {
        progress(0, total);
        Self { done: Arc::default(), total, progress }
    }

    pub fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done, self.total);
    }

    fn take_back(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Repeats what fails for reasons that may pass.
pub(super) async fn retry<T, F>(clock: &Clock, mut ask: impl FnMut() -> F) -> Result<T, OciDistributionError>
where
    F: Future<Output = Result<T, OciDistributionError>>,
{
    let mut backoff = BACKOFF;
    for _ in 1..ATTEMPTS {
        match ask().await {
            Err(error) if may_pass(&error) => clock.sleep(backoff.step()).await,
            result => return result,
        }
    }
    ask().await
}

fn may_pass(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(error) => !error.is_builder(),
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// Whom to ask.
pub(super) struct Source<'a> {
    pub client: &'a Client,
    pub remote: &'a Reference,
    pub clock: &'a Clock,
}

/// A file as far as it is there.
struct Target<'a> {
    file: File,
    have: u64,
    counter: &'a Counter,
}

impl Source<'_> {
    /// Fetches the blob into a new file at `path`. Its digest is checked only where it came in one piece.
    pub async fn fetch(
        &self,
        blob: &Descriptor,
        path: &Path,
        counter: &Counter,
    ) -> Result<(), DownloadError> {
        let file = File::create(path).await.map_err(write_failed)?;
        let mut target = Target { file, have: 0, counter };
        let (mut backoff, mut attempts) = (BACKOFF, 0);
        loop {
            let before = target.have;
            let error = match self.go_on(blob, &mut target).await {
                Ok(()) if target.have == blob.size() => return Ok(()),
                Ok(()) if target.have > blob.size() => {
                    return Err(DownloadError::Size { expected: blob.size(), found: target.have });
                }
                Ok(()) => OciDistributionError::IoError(io::ErrorKind::UnexpectedEof.into()),
                Err(DownloadError::Registry(error)) => error,
                Err(error) => return Err(error),
            };
            if target.have >= blob.size() && blob.size() > 0 {
                // All is there, and the client did not like it.
                return Err(DownloadError::Digest);
            }
            if target.have > before {
                (backoff, attempts) = (BACKOFF, 0);
            }
            attempts += 1;
            if attempts == ATTEMPTS || !may_pass(&error) {
                return Err(DownloadError::Registry(error));
            }
            tracing::debug!(digest = %blob.digest(), have = target.have, error = %error, "fetching a blob again");
            self.clock.sleep(backoff.step()).await;
        }
    }

    async fn go_on(&self, blob: &Descriptor, target: &mut Target<'_>) -> Result<(), DownloadError> {
        let mut stream = self.open(blob, target).await?;
        while let Some(bytes) = stream.stream.next().await {
            let bytes = bytes.map_err(|error| DownloadError::Registry(error.into()))?;
            target.file.write_all(&bytes).await.map_err(write_failed)?;
            target.have += bytes.len() as u64;
            target.counter.add(bytes.len() as u64);
        }
        target.file.flush().await.map_err(write_failed)
    }

    /// What is still missing, or all of it again where the registry gives no parts.
    async fn open(&self, blob: &Descriptor, target: &mut Target<'_>) -> Result<SizedStream, DownloadError> {
        let digest = blob.digest().to_string();
        if target.have == 0 {
            let whole = self.client.pull_blob_stream(self.remote, digest.as_str()).await;
            return whole.map_err(DownloadError::Registry);
        }
        let rest = self.client.pull_blob_stream_partial(self.remote, digest.as_str(), target.have, None);
        match rest.await.map_err(DownloadError::Registry)? {
            BlobResponse::Partial(stream) => Ok(stream),
            BlobResponse::Full(stream) => {
                target.restart().await.map_err(write_failed)?;
                Ok(stream)
            }
        }
    }
}

impl Target<'_> {
    async fn restart(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        self.counter.take_back(self.have);
        self.have = 0;
        Ok(())
    }
}

fn write_failed(error: io::Error) -> DownloadError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DownloadError::DiskFull,
        _ => DownloadError::Write(error),
    }
}
