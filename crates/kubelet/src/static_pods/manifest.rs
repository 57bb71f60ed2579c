//! One manifest as a pod of this node: decoded, defaulted, checked, named.
//!
//! Upstream: pkg/kubelet/config/common.go, applyDefaults and tryDecodeSinglePod.

use std::path::Path;

use api::{Schema, Validation};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pods::CONFIG_HASH;

/// Why a file is no pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("not readable as a pod")]
    Decode { source: api::DecodeError },
    #[error("holds {kind:?} where a Pod is wanted")]
    Kind { kind: String },
    #[error("invalid pod: {why}")]
    Invalid { why: String },
    #[error("a static pod may not reference {what}")]
    Reference { what: &'static str },
    #[error("not a pod's shape")]
    Shape { source: serde_json::Error },
}

/// The pod that `bytes`, found at `path`, ask for on `node`.
pub(crate) fn parse(bytes: &[u8], path: &Path, node: &str, seen: Timestamp) -> Result<Pod, ManifestError> {
    let resource = Schema::builtin().resource("", "v1", "pods").expect("pods are built in");
    let decoded = api::decode_yaml(resource.object(), bytes, Validation::Ignore);
    let mut pod = decoded.map_err(|source| ManifestError::Decode { source })?.value;
    let kind = pod["kind"].as_str().unwrap_or_default();
    if kind != "Pod" || pod["apiVersion"] != "v1" {
        return Err(ManifestError::Kind { kind: kind.to_owned() });
    }
    place(&mut pod, path, node, seen);
    api::apply_defaults(resource.object(), &mut pod);
    let errors = api::validate_create(resource, &pod);
    if !errors.is_empty() {
        let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(ManifestError::Invalid { why: why.join(", ") });
    }
    check_references(&pod)?;
    pod["status"] = json!({"phase": "Pending"});
    serde_json::from_value(pod).map_err(|source| ManifestError::Shape { source })
}

/// What makes it this node's: names, identity, and that no taint evicts it.
fn place(pod: &mut Value, path: &Path, node: &str, seen: Timestamp) {
    let written = hash(pod, path, node);
    let uid = pod["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()).map(str::to_owned);
    let uid = uid.unwrap_or(written);
    let metadata = &mut pod["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default().to_owned();
    metadata["name"] = json!(format!("{name}-{}", node.to_lowercase()));
    if metadata["namespace"].as_str().unwrap_or_default().is_empty() {
        metadata["namespace"] = json!("default");
    }
    metadata["annotations"][CONFIG_HASH] = json!(uid);
    metadata["annotations"]["kubernetes.io/config.source"] = json!("file");
    metadata["annotations"]["kubernetes.io/config.seen"] = json!(seen.to_string());
    metadata["uid"] = json!(uid);
    let spec = &mut pod["spec"];
    spec["nodeName"] = json!(node);
    if spec["tolerations"].is_null() {
        spec["tolerations"] = json!([]);
    }
    if let Some(tolerations) = spec["tolerations"].as_array_mut() {
        tolerations.push(json!({"operator": "Exists", "effect": "NoExecute"}));
    }
}

/// Changes with every edit, and only then: a new identity means a new pod.
fn hash(pod: &Value, path: &Path, node: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(pod.to_string());
    hasher.update(format!("host:{node}file:{}", path.display()));
    // As long as upstream's, which is an MD5.
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The API is not there when a static pod starts: nothing of it may be needed.
fn check_references(pod: &Value) -> Result<(), ManifestError> {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let uses = |kind: &str| volumes.iter().any(|volume| !volume[kind].is_null());
    let refused = [
        ("secret", "secrets"),
        ("configMap", "configmaps"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("projected", "projected volumes of API objects"),
    ];
    if let Some((_, what)) = refused.iter().find(|(kind, _)| uses(kind)) {
        return Err(ManifestError::Reference { what });
    }
    match pod["spec"]["serviceAccountName"].as_str() {
        Some(name) if !name.is_empty() => Err(ManifestError::Reference { what: "serviceaccounts" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::pods;

    fn parsed(text: &str) -> Result<Pod, ManifestError> {
        parse(text.as_bytes(), Path::new("/m/a.yaml"), "node", Timestamp::UNIX_EPOCH)
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&match parsed(text) {
            Ok(pod) => format!(
                "{} in {}, {} toleration, {}",
                pods::name(&pod),
                pods::namespace(&pod),
                pods::spec(&pod).tolerations.as_ref().map_or(0, Vec::len),
                pods::restart_policy(&pod)
            ),
            Err(error) => stdx::error_chain(&error),
        });
    }

    #[test]
    fn manifests_become_pods_or_say_why_not() {
        let pod = |spec: &str| {
            format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{spec}}}}}\n")
        };
        check(&pod("containers: [{name: c, image: i}]"), expect!["a-node in default, 1 toleration, Always"]);
        check(&pod("containers: []"), expect!["invalid pod: spec.containers: Required value"]);
        check("{apiVersion: v1, kind: Service}", expect![[r#"holds "Service" where a Pod is wanted"#]]);
        check(
            &pod("containers: [{name: c, image: i}], volumes: [{name: v, secret: {secretName: s}}]"),
            expect!["a static pod may not reference secrets"],
        );
    }

    #[test]
    fn an_edit_makes_another_pod() {
        let text = |image: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}"
            )
        };
        let uid = |image: &str| pods::uid(&parsed(&text(image)).expect("a pod")).to_owned();
        assert_eq!(uid("i"), uid("i"));
        assert_ne!(uid("i"), uid("j"));
        assert_eq!(uid("i").len(), 32);
    }
}
