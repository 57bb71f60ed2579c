//! PersistentVolumeClaims that are bound to a path of this node (hostPath and local volumes).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, Client};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("error getting PVC {namespace}/{name}")]
    Claim { namespace: String, name: String, source: Box<kube::Error> },
    #[error("PVC is not bound")]
    Unbound,
    #[error("error getting PV {name}")]
    Volume { name: String, source: Box<kube::Error> },
    #[error("PV {name} has a source that this node cannot mount")]
    Unsupported { name: String },
}

/// The folder on this node that a claim stands for, and its hostPath type.
pub(crate) async fn path_of(
    client: &Client,
    namespace: &str,
    claim: &str,
) -> Result<(String, String), ClaimError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let found = claims.get(claim).await.map_err(|source| ClaimError::Claim {
        namespace: namespace.into(),
        name: claim.into(),
        source: Box::new(source),
    })?;
    let name = found.spec.and_then(|s| s.volume_name).filter(|n| !n.is_empty()).ok_or(ClaimError::Unbound)?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes
        .get(&name)
        .await
        .map_err(|source| ClaimError::Volume { name: name.clone(), source: Box::new(source) })?;
    let spec = volume.spec.unwrap_or_default();
    if let Some(host) = spec.host_path {
        return Ok((host.path, host.type_.unwrap_or_default()));
    }
    match spec.local {
        Some(local) => Ok((local.path, "Directory".into())),
        None => Err(ClaimError::Unsupported { name }),
    }
}
