//! Registry credentials from a pod's imagePullSecrets.
//!
//! Upstream: pkg/credentialprovider.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cri::v1 as pb;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

/// The first credentials in `secrets` whose registry matches the image.
pub(crate) fn find<'a>(image: &str, secrets: impl Iterator<Item = &'a Secret>) -> Option<pb::AuthConfig> {
    let registry = registry_of(image);
    secrets
        .filter_map(registries)
        .flatten()
        .find(|(host, _)| matches(host, registry, image))
        .map(|(_, auth)| auth)
}

fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

fn registries(secret: &Secret) -> Option<Vec<(String, pb::AuthConfig)>> {
    let data = secret.data.as_ref()?;
    let modern =
        data.get(".dockerconfigjson").and_then(|b| parsed(&b.0)).and_then(|v| v.get("auths").cloned());
    let auths = modern.or_else(|| data.get(".dockercfg").and_then(|b| parsed(&b.0)))?;
    let entries = auths.as_object()?.iter();
    Some(entries.filter_map(|(host, entry)| Some((host.clone(), auth(entry)?))).collect())
}

/// A secret that holds something else than JSON gives no credentials; the pull then says what is wrong.
fn parsed(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn auth(entry: &Value) -> Option<pb::AuthConfig> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    if username.is_empty() {
        let decoded = STANDARD.decode(text("auth")).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, secret) = decoded.split_once(':')?;
        (username, password) = (user.to_owned(), secret.to_owned());
    }
    Some(pb::AuthConfig { username, password, ..Default::default() })
}

fn matches(host: &str, registry: &str, image: &str) -> bool {
    let host = host.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let host = host.trim_end_matches("/v1").trim_end_matches("/v2");
    let hub = |name: &str| matches!(name, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    host == registry || (hub(host) && hub(registry)) || image.starts_with(&format!("{host}/"))
}
