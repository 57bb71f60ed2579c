//! What an administrator may change: ConfigMap kube-system/kube-dns.
//!
//! `stubDomains` and `upstreamNameservers` are what kube-dns has always called them; `ttl` and `cacheSeconds` are ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use client::{Change, Hub};
use k8s_openapi::api::core::v1::ConfigMap;
use stdx::error_chain;

/// Where a name server listens unless its address says otherwise.
const PORT: u16 = 53;
/// As CoreDNS's.
const TTL: u32 = 5;
/// As kubeadm sets it for CoreDNS.
const CACHE_SECONDS: u32 = 30;
const LONGEST_TTL: u32 = 3600;
const LONGEST_CACHE: u32 = 86_400;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Seconds that an answer of the cluster's zone holds (5; 0 to 3600).
    pub ttl: u32,
    /// Seconds that another server's answer is kept at most (30; 0 keeps none).
    pub cache_seconds: u32,
    /// Instead of the node's own resolvers, if there are any.
    pub upstreams: Vec<SocketAddr>,
    /// Domains with resolvers of their own, in lower case.
    pub stubs: BTreeMap<String, Vec<SocketAddr>>,
}

pub(crate) type Shared = Arc<ArcSwap<Settings>>;

impl Default for Settings {
    fn default() -> Self {
        Self { ttl: TTL, cache_seconds: CACHE_SECONDS, upstreams: Vec::new(), stubs: BTreeMap::new() }
    }
}

/// Why a ConfigMap is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{key} is no JSON of the form {form}")]
    Json { key: &'static str, form: &'static str, source: serde_json::Error },
    #[error("{text:?} is no address of a name server")]
    Address { text: String },
    #[error("{key} is to be a number from 0 to {most}")]
    Number { key: &'static str, most: u32 },
}

/// The settings as they are now, and as they become.
pub(crate) fn follow(hub: &Hub) -> Shared {
    let settings = Shared::default();
    let maps = hub.selected::<ConfigMap>("metadata.namespace=kube-system,metadata.name=kube-dns");
    let (shared, shutdown, mut changes) = (settings.clone(), hub.shutdown().clone(), maps.subscribe());
    hub.tasks().spawn("dns settings", async move {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                change = changes.recv() => match change {
                    Some(change) => take(&shared, &change),
                    None => return,
                }
            }
        }
    });
    settings
}

fn take(shared: &Shared, change: &Change<ConfigMap>) {
    let Change::Applied { new, .. } = change else { return shared.store(Arc::default()) };
    match read(&new.data.clone().unwrap_or_default()) {
        Ok(settings) => shared.store(Arc::new(settings)),
        Err(error) => {
            tracing::warn!(
                error = error_chain(&error),
                "ConfigMap kube-system/kube-dns is not taken; the last good one stays"
            );
        }
    }
}

fn read(data: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
    let upstreams: Vec<String> = json(data, "upstreamNameservers", r#"["192.0.2.53"]"#)?;
    let stubs: BTreeMap<String, Vec<String>> =
        json(data, "stubDomains", r#"{"example.com": ["192.0.2.53"]}"#)?;
    let stubs = stubs
        .into_iter()
        .map(|(domain, servers)| Ok((domain.trim_matches('.').to_ascii_lowercase(), addresses(&servers)?)));
    Ok(Settings {
        ttl: number(data, "ttl", LONGEST_TTL)?.unwrap_or(TTL),
        cache_seconds: number(data, "cacheSeconds", LONGEST_CACHE)?.unwrap_or(CACHE_SECONDS),
        upstreams: addresses(&upstreams)?,
        stubs: stubs.collect::<Result<_, _>>()?,
    })
}

fn json<T: serde::de::DeserializeOwned + Default>(
    data: &BTreeMap<String, String>,
    key: &'static str,
    form: &'static str,
) -> Result<T, SettingsError> {
    let Some(text) = data.get(key).filter(|text| !text.trim().is_empty()) else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|source| SettingsError::Json { key, form, source })
}

fn number(
    data: &BTreeMap<String, String>,
    key: &'static str,
    most: u32,
) -> Result<Option<u32>, SettingsError> {
    let Some(text) = data.get(key) else { return Ok(None) };
    let number = text.trim().parse().ok().filter(|number| *number <= most);
    number.map(Some).ok_or(SettingsError::Number { key, most })
}

fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>, SettingsError> {
    texts.iter().map(|text| address(text)).collect()
}

/// `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`.
fn address(text: &str) -> Result<SocketAddr, SettingsError> {
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    plain.or_else(|_| text.parse()).map_err(|_| SettingsError::Address { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(key: &str, value: &str, expected: Expect) {
        let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let told = match read(&data) {
            Ok(settings) => format!("{settings:?}"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn settings_are_read_or_told_why_not() {
        check("ttl", "60", expect!["Settings { ttl: 60, cache_seconds: 30, upstreams: [], stubs: {} }"]);
        check("ttl", "-1", expect!["ttl is to be a number from 0 to 3600"]);
        check(
            "stubDomains",
            r#"{"Acme.Local.": ["10.0.0.1:5353"]}"#,
            expect![[
                r#"Settings { ttl: 5, cache_seconds: 30, upstreams: [], stubs: {"acme.local": [10.0.0.1:5353]} }"#
            ]],
        );
        check(
            "upstreamNameservers",
            r#"["2001:db8::1"]"#,
            expect!["Settings { ttl: 5, cache_seconds: 30, upstreams: [[2001:db8::1]:53], stubs: {} }"],
        );
        check(
            "upstreamNameservers",
            r#"["resolver"]"#,
            expect![[r#""resolver" is no address of a name server"#]],
        );
        check(
            "upstreamNameservers",
            "8.8.8.8",
            expect![[r#"upstreamNameservers is no JSON of the form ["192.0.2.53"]"#]],
        );
    }
}
