//! The image store: the contract fulfilled over the layout on disk.
//!
//! The index is read from disk where it is needed: another process (`dromon image import`) may have changed it, and
//! it is small.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cri::v1;
use oci_client::secrets::RegistryAuth;
use oci_spec::image::ImageConfiguration;
use stdx::Clock;

use super::archive::{self, ImportError};
use super::contract::{Error, Images, Rootfs, Usage};
use super::download::Progress;
use super::layout::{Index, Layout, LayoutError, Record};
use super::pull::{Flights, PullError, Puller};
use super::reference::Reference;
use super::rootfs;
use super::scratch::entries;

/// Images of one machine; clones share them.
#[derive(Clone)]
pub struct Store {
    layout: Layout,
    clock: Clock,
    flights: Flights,
}

fn failed<E>(step: impl Into<String>) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let step = step.into();
    move |source| Error::Failed { step, source: Box::new(source) }
}

impl Store {
    pub fn open(root: &Path, clock: Clock) -> Result<Self, LayoutError> {
        Ok(Self { layout: Layout::open(root)?, clock, flights: Flights::default() })
    }

    /// Adds every image of an archive; `said` hears each.
    pub fn import(
        &self,
        archive: &mut dyn Read,
        said: impl FnMut(&Record),
    ) -> Result<Vec<Record>, ImportError> {
        archive::import(&self.layout, archive, said)
    }

    /// Fetches an image from its registry.
    pub async fn fetch(
        &self,
        image: &str,
        auth: RegistryAuth,
        progress: Progress,
    ) -> Result<Record, PullError> {
        let puller = Puller { layout: &self.layout, flights: &self.flights, clock: &self.clock };
        puller.pull(image, &auth, progress).await
    }

    pub fn index(&self) -> Result<Index, LayoutError> {
        self.layout.index()
    }

    /// Takes a name or digest away, or the whole image where an id is given; what nobody names any more is deleted.
    /// False if there was none.
    pub fn forget(&self, image: &str) -> Result<bool, LayoutError> {
        let lock = self.layout.lock()?;
        let mut index = self.layout.index()?;
        let Some(id) = index.find(image).map(|record| record.id.clone()) else { return Ok(false) };
        let complete = image.parse::<Reference>().map(|reference| reference.to_string()).unwrap_or_default();
        let record = index.images.get_mut(&id).expect("just found");
        if record.names.contains(&complete) && record.names.len() > 1 {
            record.names.retain(|name| *name != complete);
        } else {
            index.images.remove(&id);
        }
        self.layout.write_index(&index, &lock)?;
        drop(lock);
        self.layout.collect_garbage()?;
        Ok(true)
    }

    fn record(&self, image: &str) -> Result<Record, Error> {
        let index = self.layout.index().map_err(failed("cannot read the image index"))?;
        index.find(image).cloned().ok_or_else(|| Error::NotFound { image: image.to_owned() })
    }

    fn configuration(&self, record: &Record) -> Result<ImageConfiguration, Error> {
        let bytes = fs::read(self.layout.blob(&record.id))
            .map_err(failed("cannot read the image's configuration"))?;
        serde_json::from_slice(&bytes).map_err(failed("cannot understand the image's configuration"))
    }

    fn prepare(&self, image: &str, id: &str) -> Result<Rootfs, Error> {
        let naming = self.layout.naming().map_err(failed("cannot hold the image"))?;
        let record = self.record(image)?;
        let configuration = self.configuration(&record)?;
        self.note_layers(id, &record)?;
        drop(naming);
        let path = rootfs::prepare(&self.layout, id, &record.layers)
            .map_err(failed("cannot prepare the root file system"))?;
        let config = configuration.config().clone().unwrap_or_default();
        Ok(Rootfs {
            path,
            image_ref: record.digests.first().unwrap_or(&record.id).clone(),
            image_id: record.id,
            env: config.env().clone().unwrap_or_default(),
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            user: config.user().clone().unwrap_or_default(),
            stop_signal: config.stop_signal().clone().unwrap_or_default(),
        })
    }

    fn note_layers(&self, id: &str, record: &Record) -> Result<(), Error> {
        let noted = self.layout.note_layers(&self.layout.snapshot(id), &record.layers);
        noted.map_err(failed("cannot note the layers of a root file system"))
    }

    /// Its layers may have been the last use of an image that is gone.
    fn remove_snapshot(&self, id: &str) -> Result<(), Error> {
        rootfs::remove(&self.layout, id).map_err(failed("cannot remove a root file system"))?;
        self.layout.collect_garbage().map_err(failed("cannot delete unused layers"))
    }

    fn volume(&self, image: &str, id: &str) -> Result<PathBuf, Error> {
        let naming = self.layout.naming().map_err(failed("cannot hold the image"))?;
        let record = self.record(image)?;
        self.note_layers(id, &record)?;
        drop(naming);
        let key = &record.id.trim_start_matches("sha256:")[..16];
        rootfs::prepare_read_only(&self.layout, id, key, &record.layers)
            .map_err(failed("cannot mount the image"))
    }

    fn described(&self, record: &Record) -> Result<v1::Image, Error> {
        let user =
            self.configuration(record)?.config().as_ref().and_then(|c| c.user().clone()).unwrap_or_default();
        let name = user.split(':').next().unwrap_or_default().to_owned();
        let uid = match name.parse() {
            Ok(value) => Some(v1::Int64Value { value }),
            Err(_) if name.is_empty() => Some(v1::Int64Value { value: 0 }),
            Err(_) => None,
        };
        Ok(v1::Image {
            id: record.id.clone(),
            repo_tags: record.names.clone(),
            repo_digests: record.digests.clone(),
            size: record.size,
            username: if uid.is_some() { String::new() } else { name },
            uid,
            spec: Some(v1::ImageSpec { image: record.id.clone(), ..v1::ImageSpec::default() }),
            ..v1::Image::default()
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(store))
            .await
            .map_err(failed("the image store ended early"))?
    }
}

/// Credentials as the kubelet hands them on.
fn registry_auth(auth: Option<&v1::AuthConfig>) -> RegistryAuth {
    match auth {
        Some(auth) if !auth.registry_token.is_empty() => RegistryAuth::Bearer(auth.registry_token.clone()),
        Some(auth) if !auth.username.is_empty() => {
            RegistryAuth::Basic(auth.username.clone(), auth.password.clone())
        }
        _ => RegistryAuth::Anonymous,
    }
}

#[async_trait]
impl Images for Store {
    async fn prepare_rootfs(&self, image: &str, id: &str) -> Result<Rootfs, Error> {
        let (image, id) = (image.to_owned(), id.to_owned());
        self.blocking(move |store| store.prepare(&image, &id)).await
    }

    async fn remove_rootfs(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.blocking(move |store| store.remove_snapshot(&id)).await
    }

    async fn prepare_volume(&self, image: &str, id: &str) -> Result<PathBuf, Error> {
        let (image, id) = (image.to_owned(), id.to_owned());
        self.blocking(move |store| store.volume(&image, &id)).await
    }

    async fn rootfs_usage(&self, id: &str) -> Result<Usage, Error> {
        let id = id.to_owned();
        self.blocking(move |store| {
            let (bytes, inodes) =
                rootfs::usage(&store.layout, &id).map_err(failed("cannot measure a root file system"))?;
            Ok(Usage { bytes, inodes })
        })
        .await
    }

    async fn retain(&self, live: &HashSet<String>) -> Result<(), Error> {
        let live = live.clone();
        self.blocking(move |store| {
            for path in
                entries(&store.layout.root.join("s")).map_err(failed("cannot list root file systems"))?
            {
                let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !live.contains(id) {
                    store.remove_snapshot(id)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn list(&self, filter: Option<&str>) -> Result<Vec<v1::Image>, Error> {
        let filter = filter.filter(|filter| !filter.is_empty()).map(str::to_owned);
        self.blocking(move |store| {
            let index = store.index().map_err(failed("cannot read the image index"))?;
            let records: BTreeMap<_, _> = match &filter {
                Some(image) => {
                    index.find(image).map(|record| (record.id.clone(), record.clone())).into_iter().collect()
                }
                None => index.images,
            };
            records.values().map(|record| store.described(record)).collect()
        })
        .await
    }

    async fn status(&self, image: &str) -> Result<Option<v1::Image>, Error> {
        Ok(self.list(Some(image)).await?.into_iter().next())
    }

    async fn pull(&self, image: &v1::ImageSpec, auth: Option<&v1::AuthConfig>) -> Result<String, Error> {
        let name = image.image.clone();
        let quiet: Progress = std::sync::Arc::new(|_, _| {});
        match self.fetch(&name, registry_auth(auth), quiet).await {
            Ok(record) => Ok(record.id),
            Err(PullError::Name(_)) => Err(Error::InvalidReference { image: name }),
            Err(source) => Err(failed(format!("failed to pull and unpack image \"{name}\""))(source)),
        }
    }

    async fn remove(&self, image: &str) -> Result<(), Error> {
        let image = image.to_owned();
        self.blocking(move |store| {
            store.forget(&image).map(|_| ()).map_err(failed("cannot remove the image"))
        })
        .await
    }

    async fn fs_info(&self) -> Result<v1::ImageFsInfoResponse, Error> {
        let timestamp = self.clock.now().as_nanosecond() as i64;
        self.blocking(move |store| {
            let root = &store.layout.root;
            let stats = rustix::fs::statvfs(root).map_err(failed("cannot measure the image file system"))?;
            let used = (stats.f_blocks - stats.f_bfree) * stats.f_frsize;
            let usage = v1::FilesystemUsage {
                timestamp,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: root.display().to_string() }),
                used_bytes: Some(v1::UInt64Value { value: used }),
                inodes_used: Some(v1::UInt64Value { value: stats.f_files - stats.f_ffree }),
            };
            Ok(v1::ImageFsInfoResponse {
                image_filesystems: vec![usage.clone()],
                container_filesystems: vec![usage],
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::{DEMO_IMAGE, demo_archive};
    use super::*;

    fn demo() -> Vec<u8> {
        demo_archive(Path::new("/usr/bin/env")).expect("an archive")
    }

    #[tokio::test]
    async fn an_image_goes_in_runs_and_goes_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Clock::manual(Timestamp::UNIX_EPOCH)).expect("opens");
        let mut heard = Vec::new();
        store.import(&mut &demo()[..], |record| heard.push(record.names.clone())).expect("imports");
        assert_eq!(heard, [[DEMO_IMAGE.to_owned()]]);
        let rootfs = store.prepare_rootfs(DEMO_IMAGE, "c1").await.expect("prepares");
        assert_eq!(
            (rootfs.entrypoint, rootfs.cmd),
            (vec!["/dromon".to_owned()], vec!["demo".to_owned(), "serve".into()])
        );
        fs::write(rootfs.path.join("tmp/x"), "y").expect("writable");
        assert!(rootfs.path.join("dromon").is_file());
        // In use, so that its layers stay although nobody names the image any more.
        assert!(store.forget(DEMO_IMAGE).expect("forgets"));
        assert!(rootfs.path.join("dromon").is_file());
        assert!(matches!(store.prepare_rootfs(DEMO_IMAGE, "c2").await, Err(Error::NotFound { .. })));
        store.retain(&HashSet::new()).await.expect("cleans up");
        assert!(!rootfs.path.exists());
    }

    #[test]
    fn a_damaged_layer_is_refused_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Clock::manual(Timestamp::UNIX_EPOCH)).expect("opens");
        let mut archive = demo();
        // A byte in the middle of the program, which is by far the largest part.
        let middle = archive.len() / 2;
        archive[middle] ^= 1;
        let error = store.import(&mut &archive[..], |_| {}).expect_err("refused");
        let text = stdx::error_chain(&error);
        assert!(text.contains("unpacks to") || text.contains("has the digest"), "{text}");
        assert_eq!(entries(&folder.path().join("l")).expect("lists").len(), 0);
        assert_eq!(entries(&folder.path().join("tmp")).expect("lists").len(), 0);
        assert!(matches!(
            store.import(&mut &b"nonsense"[..], |_| {}),
            Err(ImportError::Read(_) | ImportError::Unknown)
        ));
    }
}
