//! Makes a pod's volumes, or brings them up to date.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use client::{Key, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, EmptyDirVolumeSource, Node, Pod, ProjectedVolumeSource, Secret, ServiceAccountTokenProjection,
    Volume, VolumeProjection,
};
use kube::Client;
use stdx::Clock;

use super::payload::{self, File, Payload, PayloadError, Selection};
use super::{atomic, claims, host_path, mounts, ownership, volume_dir};
use crate::env::fields::NodeFields;
use crate::objects::{FetchError, Objects};
use crate::pods;
use crate::tokens::{TokenError, Tokens};

/// Where each volume lies on the node, by its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    pub paths: BTreeMap<String, PathBuf>,
    /// When a token in one of them has to be renewed.
    pub refresh: Option<Timestamp>,
}

/// A volume that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} ")]
pub(crate) struct SetUpError {
    pub volume: String,
    pub source: StepError,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    HostPath(#[from] host_path::HostPathError),
    #[error(transparent)]
    Claim(#[from] claims::ClaimError),
    #[error("cannot write {path:?}")]
    Write { path: PathBuf, source: io::Error },
    #[error("no volume plugin matched")]
    Unsupported,
}

pub(crate) struct Volumes {
    pub root: PathBuf,
    pub client: Client,
    pub clock: Clock,
    pub config_maps: Objects<ConfigMap>,
    pub secrets: Objects<Secret>,
    pub tokens: Tokens,
    /// The node's own object, once it is known.
    pub own: Store<Node>,
}

/// One pod's set-up.
struct Job<'a> {
    volumes: &'a Volumes,
    pod: &'a Pod,
    node: &'a NodeFields,
    refresh: Option<Timestamp>,
}

impl Volumes {
    /// Idempotent: what stands already is only brought up to date.
    pub async fn set_up(&self, pod: &Pod, node: &NodeFields) -> Result<Ready, SetUpError> {
        let mut job = Job { volumes: self, pod, node, refresh: None };
        let mut paths = BTreeMap::new();
        // Images are mounted by the runtime.
        let ours = |volume: &&Volume| volume.image.is_none();
        for volume in pods::spec(pod).volumes.iter().flatten().filter(ours) {
            let path =
                job.one(volume).await.map_err(|source| SetUpError { volume: volume.name.clone(), source })?;
            paths.insert(volume.name.clone(), path);
        }
        Ok(Ready { paths, refresh: job.refresh })
    }

    /// Nothing of this pod needs watching any longer.
    pub fn release(&self, uid: &str) {
        let uid = uid.to_owned();
        self.config_maps.release(&uid);
        self.secrets.release(&uid);
        self.tokens.release(&uid);
    }
}

impl Job<'_> {
    async fn one(&mut self, volume: &Volume) -> Result<PathBuf, StepError> {
        if let Some(source) = &volume.empty_dir {
            return self.empty_dir(&volume.name, source);
        }
        if let Some(source) = &volume.host_path {
            host_path::check(Path::new(&source.path), source.type_.as_deref().unwrap_or_default())?;
            return Ok(source.path.clone().into());
        }
        if let Some(claim) = ::claims::claim_name(self.pod, volume) {
            return self.claim(&claim).await;
        }
        if let Some(source) = &volume.config_map {
            let selection = selection(&source.items, source.default_mode, source.optional);
            let payload = self.config_map(&source.name, &selection).await?;
            return self.write("configmap", &volume.name, &payload);
        }
        if let Some(source) = &volume.secret {
            let selection = selection(&source.items, source.default_mode, source.optional);
            let name = source.secret_name.as_deref().unwrap_or_default();
            let payload = self.secret(name, &selection).await?;
            return self.write("secret", &volume.name, &payload);
        }
        if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            let payload = payload::of_downward_api(self.pod, items, mode(source.default_mode), self.node)?;
            return self.write("downward-api", &volume.name, &payload);
        }
        if let Some(source) = &volume.projected {
            let payload = self.projected(source).await?;
            return self.write("projected", &volume.name, &payload);
        }
        Err(StepError::Unsupported)
    }

    async fn claim(&self, claim: &str) -> Result<PathBuf, StepError> {
        let node = self.volumes.own.list().into_iter().next();
        let folder = claims::folder_of(&self.volumes.client, self.pod, claim, node.as_deref()).await?;
        let path = folder.prepare()?.to_owned();
        if let Some(group) = fs_group(self.pod).filter(|_| folder.is_for_pods()) {
            let given = ownership::apply(&path, group, ownership::ChangePolicy::of(self.pod));
            given.map_err(|source| StepError::Write { path: path.clone(), source })?;
        }
        Ok(path)
    }

    fn empty_dir(&self, name: &str, source: &EmptyDirVolumeSource) -> Result<PathBuf, StepError> {
        let path = volume_dir(&self.volumes.root, pods::uid(self.pod), "empty-dir", name);
        let fresh = !path.exists();
        let made = || -> io::Result<()> {
            fs::create_dir_all(&path)?;
            if source.medium.as_deref() == Some("Memory") {
                mounts::tmpfs(&path, source.size_limit.as_ref().map(crate::quantity::bytes))?;
            }
            if fresh {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
                if let Some(group) = fs_group(self.pod) {
                    ownership::give(&path, group)?;
                }
            }
            Ok(())
        };
        made().map_err(|source| StepError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    async fn config_map(&self, name: &str, selection: &Selection<'_>) -> Result<Payload, StepError> {
        let key = Key::new(pods::namespace(self.pod), name);
        let map = self.volumes.config_maps.get(&pods::uid(self.pod).to_owned(), &key).await?;
        Ok(payload::of_config_map(name, map.as_deref(), selection)?)
    }

    async fn secret(&self, name: &str, selection: &Selection<'_>) -> Result<Payload, StepError> {
        let key = Key::new(pods::namespace(self.pod), name);
        let secret = self.volumes.secrets.get(&pods::uid(self.pod).to_owned(), &key).await?;
        Ok(payload::of_secret(name, secret.as_deref(), selection)?)
    }

    async fn projected(&mut self, source: &ProjectedVolumeSource) -> Result<Payload, StepError> {
        let mut all = Payload::new();
        let mode = mode(source.default_mode);
        for projection in source.sources.iter().flatten() {
            all.extend(self.projection(projection, mode).await?);
        }
        Ok(all)
    }

    async fn projection(&mut self, from: &VolumeProjection, mode: u32) -> Result<Payload, StepError> {
        if let Some(source) = &from.config_map {
            let selection = selection(&source.items, i32::try_from(mode).ok(), source.optional);
            return self.config_map(&source.name, &selection).await;
        }
        if let Some(source) = &from.secret {
            let selection = selection(&source.items, i32::try_from(mode).ok(), source.optional);
            return self.secret(&source.name, &selection).await;
        }
        if let Some(source) = &from.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            return Ok(payload::of_downward_api(self.pod, items, mode, self.node)?);
        }
        if let Some(source) = &from.service_account_token {
            return self.token(source, mode).await;
        }
        Err(StepError::Unsupported)
    }

    async fn token(
        &mut self,
        source: &ServiceAccountTokenProjection,
        mode: u32,
    ) -> Result<Payload, StepError> {
        let seconds = source.expiration_seconds.unwrap_or(3600);
        let token = self.volumes.tokens.get(self.pod, source.audience.as_deref(), seconds).await?;
        self.refresh = Some(self.refresh.map_or(token.refresh, |at| at.min(token.refresh)));
        // With a group to share the file with, nobody else needs to read it.
        let mode = if fs_group(self.pod).is_some() { 0o600 } else { mode };
        Ok(Payload::from([(payload::checked(&source.path)?, File { data: token.text.into_bytes(), mode })]))
    }

    /// Everything but configMap and downwardAPI may hold secrets and so never touches the disk.
    fn write(&self, plugin: &str, name: &str, payload: &Payload) -> Result<PathBuf, StepError> {
        let path = volume_dir(&self.volumes.root, pods::uid(self.pod), plugin, name);
        let failed = |source| StepError::Write { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(failed)?;
        if matches!(plugin, "secret" | "projected") {
            mounts::tmpfs(&path, None).map_err(failed)?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(failed)?;
        let group = fs_group(self.pod);
        atomic::write(&path, payload, self.volumes.clock.now(), |fresh| match group {
            Some(group) => ownership::give(fresh, group),
            None => Ok(()),
        })
        .map_err(failed)?;
        Ok(path)
    }
}

fn selection(
    items: &Option<Vec<k8s_openapi::api::core::v1::KeyToPath>>,
    default_mode: Option<i32>,
    optional: Option<bool>,
) -> Selection<'_> {
    Selection {
        items: items.as_deref().unwrap_or_default(),
        default_mode: mode(default_mode),
        optional: optional == Some(true),
    }
}

fn mode(given: Option<i32>) -> u32 {
    given.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644)
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pods::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}
