//! Arguments to targets: `pods`, `po,svc`, `pod a b`, `pod/a svc/b`, with selectors.

use super::Info;
use super::files;
use crate::context::Context;
use crate::discovery::Resource;
use crate::error::{Error, Result};

/// What a call asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub files: Vec<String>,
    pub recursive: bool,
    pub args: Vec<String>,
    pub labels: String,
    pub fields: String,
    pub all_namespaces: bool,
    /// Types without names mean all of them.
    pub all: bool,
    /// Types without names or selector are wrong.
    pub needs_names: bool,
    /// Objects per request; 0 asks for all at once.
    pub chunk: i64,
    /// Files' objects are read from the server.
    pub latest: bool,
    /// Files' objects are taken as they stand, without a server.
    pub local: bool,
    pub subresource: String,
}

impl Wanted {
    /// By the usual flags.
    pub fn of(cx: &Context) -> Self {
        let flags = &cx.flags;
        Self {
            files: flags.list("filename"),
            recursive: flags.on("recursive"),
            args: cx.args.clone(),
            labels: flags.text("selector").to_owned(),
            fields: flags.text("field-selector").to_owned(),
            all_namespaces: flags.on("all-namespaces"),
            all: flags.on("all"),
            needs_names: true,
            chunk: if flags.text("chunk-size").is_empty() { 500 } else { flags.int("chunk-size") },
            latest: false,
            local: flags.on("local"),
            subresource: flags.text("subresource").to_owned(),
        }
    }

    #[must_use]
    pub fn args(mut self, args: &[String]) -> Self {
        self.args = args.to_vec();
        self
    }

    #[must_use]
    pub fn latest(mut self) -> Self {
        self.latest = true;
        self
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.args.is_empty()
    }
}

/// One thing to get.
#[derive(Clone, Debug)]
pub enum Target {
    File(Box<Info>),
    Name { resource: Resource, namespace: Option<String>, name: String },
    List { resource: Resource, namespace: Option<String> },
}

pub const NOTHING_GIVEN: &str = "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

/// # Errors
/// A call that means nothing, or names a type that is not served.
pub async fn targets(cx: &Context, wanted: &Wanted) -> Result<Vec<Result<Target>>> {
    if !cx.flags.text("kustomize").is_empty() {
        return Err(Error::said("kustomizations (-k) are not built yet"));
    }
    if wanted.is_empty() {
        return Err(Error::said(NOTHING_GIVEN));
    }
    if !wanted.files.is_empty() {
        return from_files(cx, wanted).await;
    }
    if wanted.all && !(wanted.labels.is_empty() && wanted.fields.is_empty()) {
        return Err(Error::said("setting 'all' parameter but found a non empty selector. "));
    }
    let args: Vec<String> = wanted.args.iter().map(|arg| arg.trim_end_matches('/').to_owned()).collect();
    if args.iter().any(|arg| arg.contains('/')) {
        pairs(cx, wanted, &args).await
    } else {
        typed(cx, wanted, &args).await
    }
}

async fn from_files(cx: &Context, wanted: &Wanted) -> Result<Vec<Result<Target>>> {
    if !wanted.args.is_empty() {
        return Err(Error::said(
            "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
        ));
    }
    let mut targets = Vec::new();
    for info in files::infos(cx, &wanted.files, wanted.recursive, wanted.local).await? {
        let info = match info {
            Ok(info) => info,
            Err(error) => {
                targets.push(Err(error));
                continue;
            }
        };
        if !wanted.labels.is_empty() && !matches_labels(&wanted.labels, &info)? {
            continue;
        }
        targets.push(Ok(match wanted.latest && !wanted.local {
            true => Target::Name { resource: info.resource, namespace: info.namespace, name: info.name },
            false => Target::File(Box::new(info)),
        }));
    }
    Ok(targets)
}

fn matches_labels(labels: &str, info: &Info) -> Result<bool> {
    let selector =
        api::selector::LabelSelector::parse(labels).map_err(|error| Error::said(error.to_string()))?;
    Ok(selector.matches_value(info.object["metadata"].get("labels")))
}

/// `type/name` each.
async fn pairs(cx: &Context, wanted: &Wanted, args: &[String]) -> Result<Vec<Result<Target>>> {
    if wanted.all_namespaces {
        return Err(Error::said("a resource cannot be retrieved by name across all namespaces"));
    }
    if !(wanted.labels.is_empty() && wanted.fields.is_empty()) {
        return Err(Error::said("name cannot be provided when a selector is specified"));
    }
    let mut targets = Vec::new();
    for arg in args {
        let Some((kind, name)) = arg.split_once('/') else {
            return Err(Error::said(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'",
            ));
        };
        if name.contains('/') {
            return Err(Error::said("arguments in resource/name form may not have more than one slash"));
        }
        if kind.is_empty() || name.is_empty() {
            return Err(Error::said("arguments in resource/name form must have a single resource and name"));
        }
        let resource = cx.resource(kind).await?;
        targets.push(Ok(named(cx, resource, name).await?));
    }
    Ok(targets)
}

async fn named(cx: &Context, resource: Resource, name: &str) -> Result<Target> {
    let namespace = cx.namespace_for(&resource).await?;
    Ok(Target::Name { resource, namespace, name: name.to_owned() })
}

/// `type[,type] [name…]`.
async fn typed(cx: &Context, wanted: &Wanted, args: &[String]) -> Result<Vec<Result<Target>>> {
    let (types, names) = args.split_first().ok_or_else(|| Error::said(NOTHING_GIVEN))?;
    let has_selector = !(wanted.labels.is_empty() && wanted.fields.is_empty());
    if !names.is_empty() {
        if has_selector {
            return Err(Error::said("name cannot be provided when a selector is specified"));
        }
        if wanted.all {
            return Err(Error::said("name cannot be provided when a selector is specified"));
        }
        if wanted.all_namespaces {
            return Err(Error::said("a resource cannot be retrieved by name across all namespaces"));
        }
    }
    let resources = resources(cx, types).await?;
    let mut targets = Vec::new();
    for resource in resources {
        if names.is_empty() {
            if wanted.needs_names && !has_selector && !wanted.all {
                return Err(Error::said("resource(s) were provided, but no name was specified"));
            }
            let namespace = if wanted.all_namespaces { None } else { cx.namespace_for(&resource).await? };
            targets.push(Ok(Target::List { resource, namespace }));
            continue;
        }
        for name in names {
            targets.push(named(cx, resource.clone(), name).await);
        }
    }
    Ok(targets)
}

/// The resources of `po,svc,all`.
///
/// # Errors
/// A type that is not served.
pub async fn resources(cx: &Context, types: &str) -> Result<Vec<Resource>> {
    let mut found: Vec<Resource> = Vec::new();
    for name in types.split(',').filter(|name| !name.is_empty()) {
        let category = cx.discovery().await?.category(name);
        if category.is_empty() {
            found.push(cx.resource(name).await?);
        } else {
            found.extend(category.into_iter().cloned());
        }
    }
    let mut unique: Vec<Resource> = Vec::new();
    for resource in found {
        if !unique.contains(&resource) {
            unique.push(resource);
        }
    }
    Ok(unique)
}
