//! What the server serves: asked once, kept on disk, asked again when something is missing.
//!
//! Upstream: client-go/discovery (aggregated), client-go/restmapper.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::rest::{Ask, Rest};

/// How long an answer on disk holds: upstream's six hours.
const FRESH: Duration = Duration::from_secs(6 * 3600);
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// A served resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        api::api_version(&self.group, &self.version)
    }

    /// `deployments.apps`, `pods`.
    pub fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `deployment.apps`, `pod`: how objects are named in messages.
    pub fn told_name(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { kind } else { format!("{kind}.{}", self.group) }
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// The path of the collection.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The path of one object.
    pub fn object_path(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{}", self.path(namespace), crate::text::escape_path(name))
    }
}

/// All resources of a server: groups in the server's order, preferred versions first.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub resources: Vec<Resource>,
    /// `v1`, `apps/v1`, in the server's order.
    pub versions: Vec<String>,
    pub from_disk: bool,
}

impl Discovery {
    /// From disk where that is fresh enough, else from the server.
    ///
    /// # Errors
    /// The server is not reached, or gives no discovery.
    pub async fn load(rest: &Rest, cache: &str) -> Result<Self> {
        if let Some(known) = read_cache(rest, cache) {
            return Ok(Self { from_disk: true, ..known });
        }
        Self::ask(rest, cache).await
    }

    /// From the server, whatever the disk says.
    ///
    /// # Errors
    /// As [`Discovery::load`].
    pub async fn ask(rest: &Rest, cache: &str) -> Result<Self> {
        let core = rest.json(&Ask::get("/api").accept(AGGREGATED)).await?;
        let groups = rest.json(&Ask::get("/apis").accept(AGGREGATED)).await?;
        let (core, groups) = if core["kind"] == "APIGroupDiscoveryList" {
            (core, groups)
        } else {
            legacy(rest, &core, &groups).await?
        };
        let whole = json!({"core": core, "groups": groups});
        write_cache(rest, cache, &whole);
        Ok(Self::of(&whole))
    }

    fn of(whole: &Value) -> Self {
        let mut all = Self::default();
        for list in [&whole["core"], &whole["groups"]] {
            for group in items(&list["items"]) {
                all.add_group(group);
            }
        }
        all
    }

    fn add_group(&mut self, group: &Value) {
        let name = text(&group["metadata"]["name"]);
        for version in items(&group["versions"]) {
            let number = text(&version["version"]);
            self.versions.push(api::api_version(&name, &number));
            for resource in items(&version["resources"]) {
                let kind = &resource["responseKind"];
                let strings = |field: &str| items(&resource[field]).iter().map(text).collect();
                self.resources.push(Resource {
                    group: name.clone(),
                    version: number.clone(),
                    plural: text(&resource["resource"]),
                    singular: text(&resource["singularResource"]),
                    kind: text(&kind["kind"]),
                    namespaced: resource["scope"] == "Namespaced",
                    short_names: strings("shortNames"),
                    categories: strings("categories"),
                    verbs: strings("verbs"),
                    subresources: items(&resource["subresources"])
                        .iter()
                        .map(|sub| text(&sub["subresource"]))
                        .collect(),
                });
            }
        }
    }

    /// The resource of a kind.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api::split_api_version(api_version);
        self.resources.iter().find(|r| r.group == group && r.version == version && r.kind == kind)
    }

    /// By what a user types: `pods`, `po`, `deployment.v1.apps`, `deployments.apps`, `Pod`.
    pub fn named(&self, typed: &str) -> Option<&Resource> {
        let lower = typed.to_lowercase();
        let mut parts = lower.splitn(3, '.');
        let name = parts.next().unwrap_or("");
        let (second, third) = (parts.next(), parts.next());
        let matching = |group: Option<&str>, version: Option<&str>| {
            self.resources.iter().find(|r| {
                group.is_none_or(|group| r.group == group)
                    && version.is_none_or(|v| r.version == v)
                    && r.is_called(name)
            })
        };
        match (second, third) {
            (None, _) => matching(None, None)
                .or_else(|| self.resources.iter().find(|r| r.short_names.iter().any(|short| short == name))),
            (Some(second), None) => matching(Some(second), None)
                .or_else(|| self.prefixed(name, second))
                .or_else(|| matching(Some(""), Some(second)))
                .or_else(|| self.short(name, second)),
            (Some(second), Some(third)) => matching(Some(third), Some(second)).or_else(|| {
                let group = format!("{second}.{third}");
                self.resources
                    .iter()
                    .find(|r| r.group == group && r.is_called(name))
                    .or_else(|| self.short(name, &group))
            }),
        }
    }

    fn short(&self, name: &str, group: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.group == group && r.short_names.iter().any(|short| short == name))
    }

    /// A group may be cut short at any place.
    fn prefixed(&self, name: &str, group: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.group.starts_with(group) && r.is_called(name))
    }

    /// The resources of a category, by plural name.
    pub fn category(&self, name: &str) -> Vec<&Resource> {
        let mut found: Vec<&Resource> = Vec::new();
        for resource in self.resources.iter().filter(|r| r.categories.iter().any(|own| own == name)) {
            if found.iter().all(|known| (&known.group, &known.plural) != (&resource.group, &resource.plural))
            {
                found.push(resource);
            }
        }
        found
    }
}

impl Resource {
    fn is_called(&self, name: &str) -> bool {
        self.plural == name || self.singular == name || self.kind.to_lowercase() == name
    }
}

/// `the server doesn't have a resource type …`
pub fn no_such_type(typed: &str) -> Error {
    let lower = typed.to_lowercase();
    let mut parts = lower.splitn(3, '.');
    let name = parts.next().unwrap_or("").to_owned();
    Error::Said(format!("the server doesn't have a resource type {name:?}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

/// Older servers answer one document per version: put into the newer shape.
async fn legacy(rest: &Rest, core: &Value, groups: &Value) -> Result<(Value, Value)> {
    let mut core_versions = Vec::new();
    for version in items(&core["versions"]) {
        core_versions.push(legacy_version(rest, &format!("/api/{}", text(version)), version).await?);
    }
    let mut list = Vec::new();
    for group in items(&groups["groups"]) {
        let name = text(&group["name"]);
        let mut versions = Vec::new();
        for version in items(&group["versions"]) {
            let path = format!("/apis/{}", text(&version["groupVersion"]));
            versions.push(legacy_version(rest, &path, &version["version"]).await?);
        }
        list.push(json!({"metadata": {"name": name}, "versions": versions}));
    }
    Ok((json!({"items": [{"metadata": {"name": ""}, "versions": core_versions}]}), json!({"items": list})))
}

async fn legacy_version(rest: &Rest, path: &str, version: &Value) -> Result<Value> {
    let list = rest.json(&Ask::get(path)).await?;
    let all = items(&list["resources"]);
    let is_sub = |r: &&Value| text(&r["name"]).contains('/');
    let resources: Vec<Value> = all.iter().filter(|r| !is_sub(r)).map(|r| {
        let name = text(&r["name"]);
        let subs: Vec<Value> = all.iter().filter_map(|sub| {
            let sub = text(&sub["name"]);
            Some(json!({"subresource": sub.strip_prefix(&format!("{name}/"))?}))
        }).collect();
        json!({
            "resource": name, "singularResource": r["singularName"], "responseKind": {"kind": r["kind"]},
            "scope": if r["namespaced"] == true { "Namespaced" } else { "Cluster" },
            "shortNames": r["shortNames"], "categories": r["categories"], "verbs": r["verbs"], "subresources": subs,
        })
    }).collect();
    Ok(json!({"version": version, "resources": resources}))
}

fn cache_file(rest: &Rest, cache: &str) -> PathBuf {
    let folder = match cache {
        "" => crate::config::file::home().join(".kube/cache"),
        given => given.into(),
    };
    let host = rest.server().split("://").last().unwrap_or("");
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    folder.join("discovery").join(host).join("dromon.json")
}

/// A cache that cannot be read is no cache.
fn read_cache(rest: &Rest, cache: &str) -> Option<Discovery> {
    let path = cache_file(rest, cache);
    let written = std::fs::metadata(&path).ok()?.modified().ok()?;
    let age = SystemTime::UNIX_EPOCH + Duration::from_millis(crate::now().as_millisecond().try_into().ok()?);
    if age.duration_since(written).is_ok_and(|age| age > FRESH) {
        return None;
    }
    let whole: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(Discovery::of(&whole)).filter(|known| !known.resources.is_empty())
}

/// Without a cache everything works, only slower.
fn write_cache(rest: &Rest, cache: &str, whole: &Value) {
    let path = cache_file(rest, cache);
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = pki::write_atomic(&path, whole.to_string().as_bytes(), 0o640);
}

/// Forgets what the disk knows of this server.
pub fn forget(rest: &Rest, cache: &str) {
    // What is not there need not be removed.
    let _ = std::fs::remove_file(cache_file(rest, cache));
}
