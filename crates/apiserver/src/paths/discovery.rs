//! Which groups, versions and resources there are, in the three forms that clients read: group by group, resource by
//! resource, and aggregated.
//!
//! Upstream: apiserver/pkg/endpoints/discovery.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::documents::Document;
use super::version::json_response;
use crate::Response;
use crate::error::{ApiError, Result};
use crate::media::{self, header_text};
use crate::registry::{Served, Subresource};
use crate::server::Core;

const AGGREGATED_V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A group with its versions, preferred first.
struct Group<'a> {
    name: &'a str,
    versions: Vec<&'a str>,
}

type All = [Arc<Served>];

fn groups_of(all: &All) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for served in all {
        match groups.last_mut() {
            Some(group) if group.name == served.group => {
                if !group.versions.contains(&served.version.as_str()) {
                    group.versions.push(&served.version);
                }
            }
            _ => groups.push(Group { name: &served.group, versions: vec![&served.version] }),
        }
    }
    groups
}

/// `/`
pub fn root(core: &Core) -> Response {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_string(),
        "/api".into(),
        "/api/v1".into(),
        "/apis".into(),
    ];
    for group in groups_of(&core.registry.all()).iter().filter(|group| !group.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{version}", group.name)));
    }
    let others = [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(others.map(str::to_string));
    paths.sort();
    let document = json!({ "paths": paths }).to_string();
    json_response(media::pretty(document.as_bytes()), media::JSON)
}

/// `/api` and `/apis`, aggregated for those that accept it.
pub fn groups(core: &Core, headers: &HeaderMap, path: &str) -> Result<Response> {
    let legacy = path == "/api";
    let accepted: String =
        header_text(headers, header::ACCEPT).chars().filter(|c| !c.is_whitespace()).collect();
    // Of both, the one that is named first.
    let wanted = accepted.split(',').find_map(|range| {
        let has = |part: &str| range.split(';').any(|own| own == part);
        if !has("as=APIGroupDiscoveryList") || !has("g=apidiscovery.k8s.io") {
            return None;
        }
        [("v=v2", AGGREGATED_V2), ("v=v2beta1", AGGREGATED_V2BETA1)]
            .into_iter()
            .find(|(version, _)| has(version))
            .map(|(_, media_type)| media_type)
    });
    if let Some(media_type) = wanted {
        let name = format!("{path} {media_type}");
        let document = core
            .documents
            .get(&name, || Document::new(aggregated(core, legacy, media_type).to_string(), media_type));
        return Ok(document.answer(headers));
    }
    let list = if legacy { legacy_versions(core) } else { group_list(core) };
    plain(core, headers, path, list)
}

fn legacy_versions(core: &Core) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": core.config.advertised()}
        ],
    })
}

fn group_list(core: &Core) -> Value {
    let groups: Vec<Value> = groups_of(&core.registry.all())
        .iter()
        .filter(|group| !group.name.is_empty())
        .map(group_value)
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_value(group: &Group<'_>) -> Value {
    let version =
        |version: &&str| json!({"groupVersion": api::api_version(group.name, version), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions[0]})
}

/// `/apis/GROUP`, `/apis/GROUP/VERSION`, `/api/v1`.
pub fn version_or_group(core: &Core, headers: &HeaderMap, path: &str) -> Result<Response> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["api", version] => resources(core, headers, path, "", version),
        ["apis", group, version] if !group.is_empty() => resources(core, headers, path, group, version),
        ["apis", name] => {
            let all = core.registry.all();
            let groups = groups_of(&all);
            let found = groups.iter().find(|group| group.name == *name && !name.is_empty());
            let mut value = group_value(found.ok_or_else(ApiError::no_such_path)?);
            value["kind"] = json!("APIGroup");
            value["apiVersion"] = json!("v1");
            plain(core, headers, path, value)
        }
        _ => Err(ApiError::no_such_path()),
    }
}

fn resources(core: &Core, headers: &HeaderMap, path: &str, group: &str, version: &str) -> Result<Response> {
    let all = core.registry.all();
    let served: Vec<_> = all.iter().filter(|s| s.group == group && s.version == version).collect();
    if served.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let mut resources = Vec::new();
    for one in served {
        resources.push(resource(one));
        resources.extend(one.subresources.iter().map(|sub| subresource(one, sub)));
    }
    let group_version = api::api_version(group, version);
    plain(
        core,
        headers,
        path,
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
        }),
    )
}

/// Encoded as the client accepts; made once an encoding.
fn plain(core: &Core, headers: &HeaderMap, path: &str, value: Value) -> Result<Response> {
    let accepted = media::accept(headers, media::Forms::ObjectOnly)?;
    let pretty = media::wants_pretty(headers, "");
    let mut value = value;
    if value["apiVersion"].is_null() {
        value["apiVersion"] = json!("v1");
    }
    let name = format!("{path} {:?} {pretty}", accepted.encoding);
    let (bytes, media_type) = crate::encode::plain(&value, accepted.encoding, pretty)?;
    Ok(core.documents.get(&name, || Document::new(bytes, media_type)).answer(headers))
}

fn resource(served: &Served) -> Value {
    let mut value = json!({
        "name": served.resource,
        "singularName": served.singular,
        "namespaced": served.namespaced,
        "kind": served.kind,
        "verbs": served.verbs,
    });
    if !served.short_names.is_empty() {
        value["shortNames"] = json!(served.short_names);
    }
    if !served.categories.is_empty() {
        value["categories"] = json!(served.categories);
    }
    if let Some(storage) = &served.storage {
        value["storageVersionHash"] = json!(storage_version_hash(&storage.api_version, &storage.kind));
    }
    value
}

fn subresource(owner: &Served, sub: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", owner.resource, sub.name),
        "singularName": "",
        "namespaced": owner.namespaced,
        "kind": sub.kind,
        "verbs": discovered_verbs(sub),
    });
    if sub.codec.is_some() && (&sub.group, &sub.version) != (&owner.group, &owner.version) {
        value["group"] = json!(sub.group);
        value["version"] = json!(sub.version);
    }
    value
}

/// What `connect` is over HTTP.
fn discovered_verbs(sub: &Subresource) -> Vec<&str> {
    if sub.verbs.iter().any(|verb| verb == "connect") {
        return match sub.name.as_str() {
            "proxy" => vec!["create", "delete", "get", "patch", "update"],
            _ => vec!["create", "get"],
        };
    }
    sub.verbs.iter().map(String::as_str).collect()
}

/// Tells clients whether the stored version is another than it was.
///
/// Upstream: apiserver/pkg/endpoints/discovery/storageversionhash.go.
fn storage_version_hash(api_version: &str, kind: &str) -> String {
    let (group, version) = api::split_api_version(api_version);
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&digest[..8])
}

fn aggregated(core: &Core, legacy: bool, media_type: &str) -> Value {
    let version = if media_type == AGGREGATED_V2 { "v2" } else { "v2beta1" };
    let all = core.registry.all();
    let items: Vec<Value> = groups_of(&all)
        .iter()
        .filter(|group| group.name.is_empty() == legacy)
        .map(|group| aggregated_group(&all, group))
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(all: &All, group: &Group<'_>) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let here = all.iter().filter(|s| s.group == group.name && s.version == *version);
            let resources: Vec<Value> = here.map(|served| aggregated_resource(served)).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.name.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group.name, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(served: &Served) -> Value {
    let mut value = json!({
        "resource": served.resource,
        "responseKind": {"group": served.group, "version": served.version, "kind": served.kind},
        "scope": if served.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": served.singular,
        "verbs": served.verbs,
    });
    if !served.short_names.is_empty() {
        value["shortNames"] = json!(served.short_names);
    }
    if !served.categories.is_empty() {
        value["categories"] = json!(served.categories);
    }
    if !served.subresources.is_empty() {
        let subresources = served.subresources.iter().map(|sub| aggregated_subresource(served, sub));
        value["subresources"] = subresources.collect();
    }
    value
}

fn aggregated_subresource(owner: &Served, sub: &Subresource) -> Value {
    let (group, version) = match sub.codec {
        Some(_) => (&sub.group, &sub.version),
        None => (&owner.group, &owner.version),
    };
    json!({
        "subresource": sub.name,
        "responseKind": {"group": group, "version": version, "kind": sub.kind},
        "verbs": discovered_verbs(sub),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_upstreams() {
        // As every Kubernetes cluster answers for pods and deployments.
        assert_eq!(storage_version_hash("v1", "Pod"), "xPOwRZ+Yhw8=");
        assert_eq!(storage_version_hash("apps/v1", "Deployment"), "8aSe+NMegvE=");
    }
}
