//! Names: a pod's host name, its resolv.conf and its hosts file.
//!
//! Upstream: pkg/kubelet/network/dns, kubelet_pods.go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cri::v1 as pb;
use k8s_openapi::api::core::v1::Pod;

use crate::config::Config;
use crate::pods;
use crate::volumes::pod_dir;

/// Linux takes no longer host name.
const LONGEST: usize = 63;

/// A pod's host name, with and without its domain.
pub(crate) struct Hostname {
    pub short: String,
    pub domain: Option<String>,
    /// What `hostname` prints.
    pub shown: String,
}

pub(crate) fn hostname(pod: &Pod, cluster_domain: &str) -> Hostname {
    let spec = pods::spec(pod);
    if let Some(name) = spec.hostname_override.clone().filter(|n| !n.is_empty()) {
        return Hostname { short: name.clone(), domain: None, shown: name };
    }
    let name = spec.hostname.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| pods::name(pod).to_owned());
    let mut short = name.clone();
    short.truncate(LONGEST);
    let short = short.trim_end_matches(['-', '.']).to_owned();
    let domain = spec
        .subdomain
        .as_deref()
        .filter(|s| !s.is_empty())
        .map(|s| format!("{s}.{}.svc.{cluster_domain}", pods::namespace(pod)));
    let shown = match (&domain, spec.set_hostname_as_fqdn) {
        (Some(domain), Some(true)) => format!("{short}.{domain}"),
        _ => short.clone(),
    };
    Hostname { short, domain, shown }
}

/// What stands in the pod's resolv.conf.
pub(crate) fn config(config: &Config, pod: &Pod) -> pb::DnsConfig {
    let spec = pods::spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let host_network = pods::host_network(pod);
    let mut dns = match policy {
        "None" => pb::DnsConfig::default(),
        "ClusterFirstWithHostNet" => cluster(config, pod),
        "ClusterFirst" if !host_network => cluster(config, pod),
        _ => host(),
    };
    if let Some(extra) = &spec.dns_config {
        extend(&mut dns.servers, extra.nameservers.iter().flatten().cloned());
        extend(&mut dns.searches, extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            dns.options.retain(|o| o.split(':').next() != Some(&name));
            dns.options.push(match &option.value {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            });
        }
    }
    dns
}

fn extend(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn cluster(config: &Config, pod: &Pod) -> pb::DnsConfig {
    let host = host();
    if config.cluster_dns.is_empty() {
        return host;
    }
    let domain = &config.cluster_domain;
    let mut searches =
        vec![format!("{}.svc.{domain}", pods::namespace(pod)), format!("svc.{domain}"), domain.clone()];
    extend(&mut searches, host.searches.into_iter());
    pb::DnsConfig {
        servers: config.cluster_dns.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".into()],
    }
}

/// The host's own; without a resolv.conf there is nothing to pass on.
fn host() -> pb::DnsConfig {
    fs::read_to_string("/etc/resolv.conf").map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> pb::DnsConfig {
    let mut dns = pb::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(ToOwned::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.servers.extend(words.next()),
            Some("search") => dns.searches = words.collect(),
            Some("options") => dns.options = words.collect(),
            _ => {}
        }
    }
    dns
}

/// Writes the pod's hosts file unless it is there; a pod on the host's network gets the host's lines.
pub(crate) fn hosts_file(config: &Config, pod: &Pod, ips: &[String]) -> io::Result<PathBuf> {
    let path = pod_dir(&config.root, pods::uid(pod)).join("etc-hosts");
    let text = if pods::host_network(pod) { host_lines()? } else { own_lines(config, pod, ips) };
    let text = text + &aliases(pod);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(path);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, text)?;
    Ok(path)
}

fn host_lines() -> io::Result<String> {
    let own = match fs::read_to_string(Path::new("/etc/hosts")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    Ok(format!("# Kubernetes-managed hosts file (host network).\n{own}"))
}

fn own_lines(config: &Config, pod: &Pod, ips: &[String]) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let name = hostname(pod, &config.cluster_domain);
    for ip in ips {
        match &name.domain {
            Some(domain) => text.push_str(&format!("{ip}\t{}.{domain}\t{}\n", name.short, name.short)),
            None => text.push_str(&format!("{ip}\t{}\n", name.short)),
        }
    }
    text
}

fn aliases(pod: &Pod) -> String {
    let Some(aliases) = pods::spec(pod).host_aliases.as_ref().filter(|a| !a.is_empty()) else {
        return String::new();
    };
    let mut text = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t")));
    }
    text
}
