//! What a running command has: its call, the kubeconfig, the server, what the server serves. Made when first asked for.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::cli::Given;
use crate::config::{Access, Kubeconfig, Overrides, resolve};
use crate::discovery::{Discovery, Resource, no_such_type};
use crate::error::{Error, Result};
use crate::rest::Rest;

pub struct Context {
    pub flags: Given,
    pub args: Vec<String>,
    /// How many arguments stand before `--`.
    pub dash: Option<usize>,
    /// `kubectl create secret`.
    pub path: String,
    access: OnceCell<Access>,
    rest: OnceCell<Arc<Rest>>,
    discovery: OnceCell<Discovery>,
    /// What the disk said was not enough.
    fresh: OnceCell<Discovery>,
}

impl Context {
    pub fn new(flags: Given, args: Vec<String>, dash: Option<usize>, path: String) -> Self {
        Self {
            flags,
            args,
            dash,
            path,
            access: OnceCell::new(),
            rest: OnceCell::new(),
            discovery: OnceCell::new(),
            fresh: OnceCell::new(),
        }
    }

    /// # Errors
    /// The kubeconfig cannot be read or lacks what was asked for.
    pub async fn access(&self) -> Result<&Access> {
        self.access
            .get_or_try_init(|| async {
                let config = Kubeconfig::load(self.flags.text("kubeconfig"))?;
                resolve(&config, &Overrides::of(&self.flags))
            })
            .await
    }

    /// # Errors
    /// As [`Context::access`].
    pub async fn namespace(&self) -> Result<&str> {
        Ok(&self.access().await?.namespace)
    }

    /// # Errors
    /// As [`Context::access`]; a wrong time-out.
    pub async fn rest(&self) -> Result<&Arc<Rest>> {
        self.rest
            .get_or_try_init(|| async {
                let limit = self.flags.text("request-timeout");
                let seconds = match limit.parse::<f64>() {
                    Ok(seconds) => seconds,
                    Err(_) => crate::cli::given::duration_of(limit).ok_or_else(|| {
                        Error::said("Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)")
                    })?,
                };
                let limit = (seconds > 0.0).then(|| std::time::Duration::from_secs_f64(seconds));
                let rest = Rest::new(self.access().await?.clone(), limit, self.flags.int("v"))?;
                Ok(Arc::new(rest))
            })
            .await
    }

    /// # Errors
    /// The server is not reached.
    pub async fn discovery(&self) -> Result<&Discovery> {
        if let Some(fresh) = self.fresh.get() {
            return Ok(fresh);
        }
        let rest = self.rest().await?;
        self.discovery.get_or_try_init(|| Discovery::load(rest, self.flags.text("cache-dir"))).await
    }

    /// Asks the server, unless that was done already.
    ///
    /// # Errors
    /// The server is not reached.
    pub async fn discover_again(&self) -> Result<&Discovery> {
        let known = self.discovery().await?;
        if !known.from_disk {
            return Ok(known);
        }
        let rest = self.rest().await?;
        self.fresh.get_or_try_init(|| Discovery::ask(rest, self.flags.text("cache-dir"))).await
    }

    /// The resource of a kind.
    ///
    /// # Errors
    /// The server does not serve it.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Resource> {
        if let Some(found) = self.discovery().await?.kind(api_version, kind) {
            return Ok(found.clone());
        }
        let found = self.discover_again().await?.kind(api_version, kind).cloned();
        found.ok_or_else(|| {
            Error::said(format!(
                "no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first"
            ))
        })
    }

    /// A resource by what a user types.
    ///
    /// # Errors
    /// The server does not serve it.
    pub async fn resource(&self, typed: &str) -> Result<Resource> {
        if let Some(found) = self.discovery().await?.named(typed) {
            return Ok(found.clone());
        }
        let again = self.discover_again().await?;
        again.named(typed).cloned().ok_or_else(|| self.unknown_type(typed, again))
    }

    fn unknown_type(&self, typed: &str, known: &Discovery) -> Error {
        let error = no_such_type(typed);
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            return error;
        }
        let names = known.resources.iter().map(|resource| resource.plural.as_str());
        match crate::cli::parse::nearest(typed, names) {
            Some(near) => Error::Said(format!("{error}\n\nDid you mean {near:?}?")),
            None => error,
        }
    }

    pub fn usage(&self, text: impl AsRef<str>) -> Error {
        Error::usage(&self.path, text)
    }

    /// The namespace that a request for `resource` goes to.
    ///
    /// # Errors
    /// As [`Context::access`].
    pub async fn namespace_for(&self, resource: &Resource) -> Result<Option<String>> {
        if resource.namespaced { Ok(Some(self.namespace().await?.to_owned())) } else { Ok(None) }
    }
}
