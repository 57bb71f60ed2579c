//! The provisioner that every cluster has: volumes that are folders on the node of their first pod.
//!
//! An ordinary external provisioner, as sigs.k8s.io/sig-storage-lib-external-provisioner describes them. What happens
//! on the node is told in [`claims::local_path`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use claims::{annotations, local_path};
use client::{BoxError, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use serde_json::json;

use super::{ignore_gone, volume_name};
use crate::context::Context;

const HOSTNAME: &str = "kubernetes.io/hostname";

struct World {
    context: Context,
    /// Where the folders lie, on every node.
    root: PathBuf,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
    nodes: Store<Node>,
}

struct Provision(Arc<World>);
struct Delete(Arc<World>);

/// `root` is where the folders lie, on every node.
pub(crate) async fn start(context: Context, root: PathBuf) {
    let hub = context.hub.clone();
    let world = Arc::new(World {
        context,
        root,
        claims: hub.store(),
        volumes: hub.store(),
        classes: hub.store(),
        nodes: hub.store(),
    });
    let World { claims, volumes, classes, nodes, .. } = &*world;
    if !(claims.synced().await && volumes.synced().await && classes.synced().await && nodes.synced().await) {
        return;
    }
    if let Err(error) = world.make_class().await {
        tracing::warn!(error = stdx::error_chain(&error), "no default storage class made");
    }
    Controller::new("local-path-provisioner", &hub)
        .reconciles(claims)
        .run(Arc::new(Provision(world.clone())));
    let all = volumes.clone();
    Controller::new("local-path-provisioner", &hub)
        .reconciles(volumes)
        .watches(nodes, move |change| match change {
            client::Change::Deleted(_) => all.list().iter().map(|volume| Key::of(&**volume)).collect(),
            client::Change::Applied { .. } => Vec::new(),
        })
        .run(Arc::new(Delete(world.clone())));
}

/// Why no volume is made.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Refusal {
    #[error("claim Selector is not supported")]
    Selector,
    #[error("volumes are folders: volumeMode Block is not supported")]
    Block,
    #[error("access mode {0} is not supported: the volume is a folder of one node")]
    Mode(String),
    #[error("no node was chosen: the class must have volumeBindingMode WaitForFirstConsumer")]
    NoNode,
}

fn refusal(claim: &PersistentVolumeClaim) -> Option<Refusal> {
    let spec = claim.spec.as_ref()?;
    if spec.selector.is_some() {
        return Some(Refusal::Selector);
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some(Refusal::Block);
    }
    let mut modes = spec.access_modes.iter().flatten();
    modes
        .find(|mode| !matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod"))
        .map(|mode| Refusal::Mode(mode.clone()))
}

fn annotation<'a>(claim: &'a PersistentVolumeClaim, name: &str) -> Option<&'a str> {
    claim.metadata.annotations.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Whether the claim is ours to serve.
fn is_asked(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_none()
        && claim.metadata.deletion_timestamp.is_none()
        && annotation(claim, annotations::PROVISIONER) == Some(local_path::PROVISIONER)
}

fn hostname(node: &Node) -> &str {
    let label = node.metadata.labels.as_ref().and_then(|labels| labels.get(HOSTNAME));
    label.or(node.metadata.name.as_ref()).map_or("", String::as_str)
}

/// The volume for the claim on the node with that host name.
fn volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    host: &str,
    root: &Path,
) -> Result<PersistentVolume, serde_json::Error> {
    let name = local_path::volume_name(claim);
    let (key, spec) = (Key::of(claim), claim.spec.as_ref());
    let folder = root.join(local_path::folder_name(&name, &key.namespace, &key.name));
    let requests =
        spec.and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {annotations::PROVISIONED_BY: local_path::PROVISIONER}},
        "spec": {
            "accessModes": spec.and_then(|spec| spec.access_modes.as_ref()),
            "capacity": requests,
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": key.name,
                "namespace": key.namespace, "uid": claim.metadata.uid,
                "resourceVersion": claim.metadata.resource_version},
            "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": HOSTNAME, "operator": "In", "values": [host]}]}]}},
            "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
            "storageClassName": class.metadata.name,
            "volumeMode": "Filesystem",
        },
    }))
}

#[async_trait]
impl Reconcile for Provision {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let world = &self.0;
        let Some(claim) = world.claims.get(key).filter(|claim| is_asked(claim)) else {
            return Ok(Next::AwaitChange);
        };
        if world.volumes.get(&Key::new("", local_path::volume_name(&claim))).is_some() {
            return Ok(Next::AwaitChange);
        }
        let class = claims::of_claim(&claim).and_then(|name| world.classes.get(&Key::new("", name)));
        let Some(class) = class else { return Ok(Next::AwaitChange) };
        if let Some(refusal) = refusal(&claim) {
            world.failed(&claim, &class, &refusal);
            return Ok(Next::AwaitChange);
        }
        let Some(node) = annotation(&claim, annotations::SELECTED_NODE) else {
            world.failed(&claim, &class, &Refusal::NoNode);
            return Ok(Next::AwaitChange);
        };
        match world.nodes.get(&Key::new("", node)) {
            Some(node) => world.provision(&claim, &class, hostname(&node)).await?,
            None => world.reschedule(&claim).await?,
        }
        Ok(Next::AwaitChange)
    }
}

impl World {
    /// A cluster that has no storage class at all gets one.
    async fn make_class(&self) -> kube::Result<()> {
        if !self.classes.list().is_empty() {
            return Ok(());
        }
        let metadata = kube::core::ObjectMeta {
            name: Some(local_path::CLASS.to_owned()),
            annotations: Some([(annotations::DEFAULT_CLASS.to_owned(), "true".to_owned())].into()),
            ..kube::core::ObjectMeta::default()
        };
        let class = StorageClass {
            metadata,
            provisioner: local_path::PROVISIONER.to_owned(),
            reclaim_policy: Some("Delete".to_owned()),
            volume_binding_mode: Some("WaitForFirstConsumer".to_owned()),
            allow_volume_expansion: Some(true),
            ..StorageClass::default()
        };
        let api: Api<StorageClass> = Api::all(self.context.client.clone());
        match api.create(&PostParams::default(), &class).await {
            Err(error) if !client::is_already_exists(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn say(&self, claim: &PersistentVolumeClaim, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&reference(claim), kind, reason, message);
    }

    fn failed(&self, claim: &PersistentVolumeClaim, class: &StorageClass, why: &Refusal) {
        let class = class.metadata.name.as_deref().unwrap_or_default();
        let message = format!("failed to provision volume with StorageClass \"{class}\": {why}");
        self.say(claim, EventType::Warning, "ProvisioningFailed", message);
    }

    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        host: &str,
    ) -> Result<(), BoxError> {
        let message = format!("External provisioner is provisioning volume for claim \"{}\"", Key::of(claim));
        self.say(claim, EventType::Normal, "Provisioning", message);
        let volume = volume(claim, class, host, &self.root)?;
        let api: Api<PersistentVolume> = Api::all(self.context.client.clone());
        match api.create(&PostParams::default(), &volume).await {
            Err(error) if !client::is_already_exists(&error) => return Err(error.into()),
            _ => {}
        }
        let message = format!("Successfully provisioned volume {}", local_path::volume_name(claim));
        self.say(claim, EventType::Normal, "ProvisioningSucceeded", message);
        Ok(())
    }

    /// The node is gone: the scheduler has to choose again.
    async fn reschedule(&self, claim: &PersistentVolumeClaim) -> kube::Result<()> {
        let mut claim = claim.clone();
        claim.metadata.annotations.get_or_insert_default().remove(annotations::SELECTED_NODE);
        let key = Key::of(&claim);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &key.namespace);
        ignore_gone(api.replace(&key.name, &PostParams::default(), &claim).await).map(drop)
    }

    /// Whether a node that the volume can be reached on is there.
    fn has_node(&self, volume: &PersistentVolume) -> bool {
        self.nodes.list().iter().any(|node| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            claims::admits(volume, claims::NodeLabels { name, labels: node.metadata.labels.as_ref() })
        })
    }
}

#[async_trait]
impl Reconcile for Delete {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let world = &self.0;
        let Some(volume) = world.volumes.get(key).filter(|volume| local_path::is_to_be_removed(volume))
        else {
            return Ok(Next::AwaitChange);
        };
        // With its node the folder is gone, or out of reach for good.
        let done = local_path::is_removed(&volume) || !world.has_node(&volume);
        if !done || volume.metadata.deletion_timestamp.is_some() {
            return Ok(Next::AwaitChange);
        }
        let api: Api<PersistentVolume> = Api::all(world.context.client.clone());
        let same = Preconditions { uid: volume.metadata.uid.clone(), resource_version: None };
        ignore_gone(api.delete(&key.name, &DeleteParams::default().preconditions(same)).await)?;
        Ok(Next::AwaitChange)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn claim(spec: Value) -> PersistentVolumeClaim {
        let value = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
        serde_json::from_value(value).expect("a claim")
    }

    #[test]
    fn makes_a_volume_that_the_kubelet_knows_as_ours() {
        let claim =
            claim(json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}));
        let class: StorageClass =
            serde_json::from_value(json!({"metadata": {"name": "c"}, "provisioner": "p"})).expect("a class");
        let mut volume = volume(&claim, &class, "h", Path::new("/data")).expect("a volume");
        assert_eq!(local_path::folder(&volume), Some(PathBuf::from("/data/pvc-u_n_p")));
        assert!(claims::is_bound_to(&volume, &claim) && !local_path::is_to_be_removed(&volume));
        let spec = volume.spec.as_mut().expect("has one");
        spec.host_path.as_mut().expect("has one").path = "/etc/passwd".to_owned();
        assert_eq!(local_path::folder(&volume), None);
    }

    #[test]
    fn refuses_what_a_folder_cannot_do() {
        let refused = |spec: Value| refusal(&claim(spec)).map(|refusal| refusal.to_string());
        assert_eq!(refused(json!({"accessModes": ["ReadWriteOncePod"]})), None);
        assert_eq!(refused(json!({"selector": {}})).as_deref(), Some("claim Selector is not supported"));
        let shared = refused(json!({"accessModes": ["ReadWriteMany"]}));
        let expected = "access mode ReadWriteMany is not supported: the volume is a folder of one node";
        assert_eq!(shared.as_deref(), Some(expected));
    }
}
