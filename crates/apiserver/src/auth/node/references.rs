//! What a pod refers to.
//!
//! Upstream: pkg/api/v1/pod/util.go, `VisitPodSecretNames` and its like.

use serde_json::Value;

use crate::auth::fields;

/// One object that a pod needs. The resource is the plural; namespaces are the pod's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    resource: String,
    namespace: String,
    name: String,
}

impl Reference {
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// Everything that `pod` refers to.
pub(super) fn of(pod: &Value) -> Vec<Reference> {
    let mut found = Found { namespace: fields::namespace(pod), references: Vec::new() };
    let spec = &pod["spec"];
    found.add("serviceaccounts", fields::text(spec, "/serviceAccountName"));
    for secret in fields::list(spec, "/imagePullSecrets") {
        found.add("secrets", fields::text(secret, "/name"));
    }
    for list in ["/initContainers", "/containers", "/ephemeralContainers"] {
        for container in fields::list(spec, list) {
            found.container(container);
        }
    }
    for volume in fields::list(spec, "/volumes") {
        found.volume(pod, volume);
    }
    for status in fields::list(pod, "/status/resourceClaimStatuses") {
        found.add("resourceclaims", fields::text(status, "/resourceClaimName"));
    }
    for claim in fields::list(spec, "/resourceClaims") {
        found.add("resourceclaims", fields::text(claim, "/resourceClaimName"));
    }
    found.references
}

struct Found<'a> {
    namespace: &'a str,
    references: Vec<Reference>,
}

/// Volume sources that name a secret, and where.
const VOLUME_SECRETS: [&str; 10] = [
    "/secret/secretName",
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/flexVolume/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/iscsi/secretRef/name",
    "/storageos/secretRef/name",
    "/csi/nodePublishSecretRef/name",
];

impl Found<'_> {
    fn add(&mut self, resource: &str, name: &str) {
        if !name.is_empty() {
            self.references.push(Reference::new(resource, self.namespace, name));
        }
    }

    fn container(&mut self, container: &Value) {
        for variable in fields::list(container, "/env") {
            self.add("secrets", fields::text(variable, "/valueFrom/secretKeyRef/name"));
            self.add("configmaps", fields::text(variable, "/valueFrom/configMapKeyRef/name"));
        }
        for source in fields::list(container, "/envFrom") {
            self.add("secrets", fields::text(source, "/secretRef/name"));
            self.add("configmaps", fields::text(source, "/configMapRef/name"));
        }
    }

    fn volume(&mut self, pod: &Value, volume: &Value) {
        for pointer in VOLUME_SECRETS {
            self.add("secrets", fields::text(volume, pointer));
        }
        self.add("configmaps", fields::text(volume, "/configMap/name"));
        self.add("persistentvolumeclaims", fields::text(volume, "/persistentVolumeClaim/claimName"));
        if !volume["ephemeral"].is_null() {
            let claim = format!("{}-{}", fields::name(pod), fields::text(volume, "/name"));
            self.add("persistentvolumeclaims", &claim);
        }
        for source in fields::list(volume, "/projected/sources") {
            self.add("secrets", fields::text(source, "/secret/name"));
            self.add("configmaps", fields::text(source, "/configMap/name"));
        }
    }
}
