//! PersistentVolumeClaims that are bound to a folder of this node: hostPath and local volumes, and those of the
//! local-path provisioner, whose folder is made here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ::claims::{NodeLabels, local_path};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, Client};

use super::host_path::{self, HostPathError};
use crate::pods;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("error getting PVC {namespace}/{name}")]
    Claim { namespace: String, name: String, source: Box<kube::Error> },
    #[error("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwner { namespace: String, name: String, pod: String },
    #[error("PVC {namespace}/{name} is not bound")]
    Unbound { namespace: String, name: String },
    #[error("error getting PV {name}")]
    Volume { name: String, source: Box<kube::Error> },
    #[error("PV {name} is bound to another claim")]
    Misbound { name: String },
    #[error("MountVolume.NodeAffinity check failed for volume {name}: no matching NodeSelectorTerms")]
    Elsewhere { name: String },
    #[error("PV {name} is a block device, which this node cannot map")]
    Block { name: String },
    #[error("PV {name} has a source that this node cannot mount")]
    Unsupported { name: String },
    #[error("path {path:?} does not exist")]
    Absent { path: PathBuf },
    #[error("cannot make {path:?}")]
    Make { path: PathBuf, source: io::Error },
    #[error(transparent)]
    HostPath(#[from] HostPathError),
}

/// What a claim stands for on this node.
#[derive(Debug, PartialEq)]
pub(crate) enum Folder {
    /// The host's, with the type that it has to be of; its files are nobody's to give away.
    Host(PathBuf, String),
    /// There, and for pods.
    Local(PathBuf),
    /// Ours to make.
    LocalPath(PathBuf),
}

impl Folder {
    /// Makes or checks the folder.
    pub fn prepare(&self) -> Result<&Path, ClaimError> {
        match self {
            Self::Host(path, kind) => {
                host_path::check(path, kind)?;
                Ok(path)
            }
            Self::Local(path) if path.exists() => Ok(path),
            Self::Local(path) => Err(ClaimError::Absent { path: path.clone() }),
            Self::LocalPath(path) => {
                make(path).map_err(|source| ClaimError::Make { path: path.clone(), source })?;
                Ok(path)
            }
        }
    }

    /// Whether the pod's group may be given the files.
    pub fn is_for_pods(&self) -> bool {
        !matches!(self, Self::Host(..))
    }
}

/// Whoever a container runs as may write it.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    // Set apart from making, so that no umask narrows it.
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// The folder that the pod's claim stands for; `ephemeral` claims must be the pod's own.
pub(crate) async fn folder_of(
    client: &Client,
    pod: &Pod,
    claim: &str,
    node: Option<&Node>,
) -> Result<Folder, ClaimError> {
    let (namespace, name) = (pods::namespace(pod).to_owned(), claim.to_owned());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let found = match claims.get(claim).await {
        Ok(found) => found,
        Err(source) => return Err(ClaimError::Claim { namespace, name, source: Box::new(source) }),
    };
    if is_ephemeral(pod, claim) && !::claims::is_owned_by(&found, pod) {
        return Err(ClaimError::NotOwner { namespace, name, pod: pods::name(pod).to_owned() });
    }
    let volume = found.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let Some(volume) = volume.filter(|name| !name.is_empty()) else {
        return Err(ClaimError::Unbound { namespace, name });
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let got = volumes.get(volume).await;
    let volume =
        got.map_err(|source| ClaimError::Volume { name: volume.to_owned(), source: Box::new(source) })?;
    if !::claims::is_bound_to(&volume, &found) {
        return Err(ClaimError::Misbound { name: volume.metadata.name.unwrap_or_default() });
    }
    folder(&volume, node)
}

fn is_ephemeral(pod: &Pod, claim: &str) -> bool {
    let mut volumes = pods::spec(pod).volumes.iter().flatten();
    volumes.any(|volume| {
        volume.ephemeral.is_some() && ::claims::claim_name(pod, volume).as_deref() == Some(claim)
    })
}

fn folder(volume: &PersistentVolume, node: Option<&Node>) -> Result<Folder, ClaimError> {
    let name = || volume.metadata.name.clone().unwrap_or_default();
    let spec = volume.spec.as_ref().ok_or_else(|| ClaimError::Unsupported { name: name() })?;
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(ClaimError::Block { name: name() });
    }
    if !node.is_none_or(|node| is_reachable(volume, node)) {
        return Err(ClaimError::Elsewhere { name: name() });
    }
    if let Some(path) = local_path::folder(volume) {
        return Ok(Folder::LocalPath(path));
    }
    if let Some(host) = &spec.host_path {
        return Ok(Folder::Host(host.path.clone().into(), host.type_.clone().unwrap_or_default()));
    }
    match &spec.local {
        Some(local) => Ok(Folder::Local(local.path.clone().into())),
        None => Err(ClaimError::Unsupported { name: name() }),
    }
}

/// Whether the volume can be used on the node.
pub(crate) fn is_reachable(volume: &PersistentVolume, node: &Node) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    ::claims::admits(volume, NodeLabels { name, labels: node.metadata.labels.as_ref() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(spec: Value) -> PersistentVolume {
        serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec})).expect("a volume")
    }

    #[test]
    fn folders_of_this_node_only() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"h": "n"}}})).expect("a node");
        let pinned = |host: &str| {
            volume(json!({"local": {"path": "/x"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "h", "operator": "In", "values": [host]}]}]}}}))
        };
        assert_eq!(folder(&pinned("n"), Some(&node)).expect("a folder"), Folder::Local("/x".into()));
        assert!(matches!(folder(&pinned("m"), Some(&node)), Err(ClaimError::Elsewhere { .. })));
        let host = volume(json!({"hostPath": {"path": "/x"}}));
        assert_eq!(folder(&host, Some(&node)).expect("a folder"), Folder::Host("/x".into(), String::new()));
        let block = volume(json!({"local": {"path": "/x"}, "volumeMode": "Block"}));
        assert!(matches!(folder(&block, None), Err(ClaimError::Block { .. })));
        assert!(matches!(folder(&volume(json!({"nfs": {}})), None), Err(ClaimError::Unsupported { .. })));
    }

    #[test]
    fn our_folders_are_made_for_everybody() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b");
        let folder = Folder::LocalPath(path.clone());
        assert_eq!(folder.prepare().expect("made"), path);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o777);
        assert!(Folder::Local(dir.path().join("no")).prepare().is_err());
    }
}
