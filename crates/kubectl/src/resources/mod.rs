//! Which objects a call means: from files, from types and names, from selectors.
//!
//! Upstream: cli-runtime/pkg/resource (builder, visitor). Reading order: [`files`], [`args`], [`fetch`].

pub mod args;
pub mod fetch;
pub mod files;

use serde_json::Value;

use crate::context::Context;
use crate::discovery::Resource;
use crate::error::{Error, Result};

pub use args::{Target, Wanted};
pub use fetch::{get_one, list_all};

/// One object, and where it comes from.
#[derive(Clone, Debug)]
pub struct Info {
    pub resource: Resource,
    pub namespace: Option<String>,
    pub name: String,
    pub object: Value,
    /// The file; empty for what the server gave.
    pub source: String,
}

impl Info {
    pub fn path(&self) -> String {
        self.resource.object_path(self.namespace.as_deref(), &self.name)
    }

    /// `deployment.apps/web`.
    pub fn told(&self) -> String {
        format!("{}/{}", self.resource.told_name(), self.name)
    }

    /// Of an object that the server gave.
    pub fn of(resource: &Resource, mut object: Value) -> Self {
        if object.get("kind").is_none() {
            object["kind"] = resource.kind.clone().into();
            object["apiVersion"] = resource.api_version().into();
        }
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let namespace = text("namespace").filter(|_| resource.namespaced);
        let name = text("name").unwrap_or_default();
        Self { resource: resource.clone(), namespace, name, object, source: String::new() }
    }
}

/// Objects of files or arguments: each with its own failure, in order.
///
/// # Errors
/// A call that means nothing; a server that is not reached.
pub async fn infos(cx: &Context, wanted: &Wanted) -> Result<Vec<Result<Info>>> {
    let mut found = Vec::new();
    for target in args::targets(cx, wanted).await? {
        match target {
            Err(error) => found.push(Err(error)),
            Ok(Target::File(info)) => found.push(Ok(*info)),
            Ok(Target::Name { resource, namespace, name }) => {
                found.push(get_one(cx, &resource, namespace.as_deref(), &name).await);
            }
            Ok(Target::List { resource, namespace }) => {
                match list_all(cx, &resource, namespace.as_deref(), wanted).await {
                    Ok(all) => found.extend(all.into_iter().map(Ok)),
                    Err(error) => found.push(Err(error)),
                }
            }
        }
    }
    Ok(found)
}

/// Does `work` on each object, goes on after failures, and tells all of them.
///
/// # Errors
/// What looking for the objects or working on them failed with.
pub async fn for_each(
    cx: &Context,
    wanted: &Wanted,
    mut work: impl AsyncFnMut(Info) -> Result,
) -> Result<usize> {
    let (mut errors, mut done) = (Vec::new(), 0);
    for info in infos(cx, wanted).await? {
        let result = match info {
            Ok(info) => work(info).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => done += 1,
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map(|()| done)
}
