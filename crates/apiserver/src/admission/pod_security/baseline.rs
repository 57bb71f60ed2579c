//! The baseline level: nothing that is known to lead out of a container.
//!
//! Upstream: k8s.io/pod-security-admission/policy, check_*.go.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Rule, containers, plural, quoted};
use crate::auth::fields;

type Broken = Option<(String, String)>;

/// By id.
pub(super) const RULES: &[Rule] = &[
    Rule { id: "appArmorProfile", since: 0, check: app_armor },
    Rule { id: "capabilities_baseline", since: 0, check: capabilities },
    Rule { id: "hostNamespaces", since: 0, check: host_namespaces },
    Rule { id: "hostPathVolumes", since: 0, check: host_paths },
    Rule { id: "hostPorts", since: 0, check: host_ports },
    Rule { id: "hostProbesAndHostLifecycle", since: 34, check: host_probes },
    Rule { id: "privileged", since: 0, check: privileged },
    Rule { id: "procMount", since: 0, check: proc_mount },
    Rule { id: "seLinuxOptions", since: 0, check: selinux },
    Rule { id: "seccompProfile_baseline", since: 19, check: seccomp },
    Rule { id: "sysctls", since: 0, check: sysctls },
    Rule { id: "windowsHostProcess", since: 0, check: host_process },
];

fn broken(reason: &str, detail: String) -> Broken {
    Some((reason.to_owned(), detail))
}

/// What `pointer` says below the security contexts of the containers and the pod.
fn said<'a>(pod: &'a Pod<'_>, pointer: &'a str) -> impl Iterator<Item = &'a str> {
    let holders = pod.containers().chain([pod.spec]);
    holders.filter_map(move |holder| holder["securityContext"].pointer(pointer)?.as_str())
}

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

fn app_armor(pod: &Pod<'_>) -> Broken {
    let setters = pod.setters("/appArmorProfile/type", |kind| kind == "Unconfined");
    let mut bad = Vec::new();
    if !setters.is_empty() {
        bad.push(format!("{} must not set AppArmor profile type to \"Unconfined\"", setters.join(" and ")));
    }
    for (key, value) in pod.metadata["annotations"].as_object().into_iter().flatten() {
        let profile = value.as_str().unwrap_or("");
        let allowed = profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
        if key.starts_with(APP_ARMOR) && !allowed {
            bad.push(format!("annotations may not set AppArmor profile type to {key}={profile:?}"));
        }
    }
    let reason = plural(bad.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    if bad.is_empty() { None } else { broken(reason, bad.join(", ")) }
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Containers that add capabilities other than `allowed`, and which.
pub(super) fn added(pod: &Pod<'_>, allowed: &[&str]) -> Option<(Vec<String>, BTreeSet<String>)> {
    let more = |container: &Value| -> Vec<String> {
        let add = fields::texts(container, "/securityContext/capabilities/add");
        add.filter(|capability| !allowed.contains(capability)).map(str::to_owned).collect()
    };
    let bad = pod.bad(|container| !more(container).is_empty());
    (!bad.is_empty()).then(|| (bad, pod.containers().flat_map(more).collect()))
}

fn capabilities(pod: &Pod<'_>) -> Broken {
    let (bad, more) = added(pod, &CAPABILITIES)?;
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&bad),
        quoted(&more)
    );
    broken("non-default capabilities", detail)
}

fn host_namespaces(pod: &Pod<'_>) -> Broken {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let set: Vec<String> = fields
        .iter()
        .filter(|field| pod.spec[**field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if set.is_empty() { None } else { broken("host namespaces", set.join(", ")) }
}

fn host_paths(pod: &Pod<'_>) -> Broken {
    let volumes = fields::list(pod.spec, "/volumes").iter().filter(|volume| volume["hostPath"].is_object());
    let names: Vec<&str> = volumes.map(|volume| fields::text(volume, "/name")).collect();
    if names.is_empty() {
        return None;
    }
    broken("hostPath volumes", format!("{} {}", plural(names.len(), "volume", "volumes"), quoted(&names)))
}

fn host_ports(pod: &Pod<'_>) -> Broken {
    let ports = |container: &Value| -> Vec<String> {
        let all = fields::list(container, "/ports").iter().filter_map(|port| port["hostPort"].as_i64());
        all.filter(|port| *port != 0).map(|port| port.to_string()).collect()
    };
    let bad = pod.bad(|container| !ports(container).is_empty());
    let all: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    if bad.is_empty() {
        return None;
    }
    let word = plural(all.len(), "hostPort", "hostPorts");
    let list: Vec<String> = all.iter().cloned().collect();
    let uses = plural(bad.len(), "uses", "use");
    broken(word, format!("{} {uses} {word} {}", containers(&bad), list.join(", ")))
}

fn host_probes(pod: &Pod<'_>) -> Broken {
    let places =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    let hosts = |container: &Value| -> Vec<String> {
        let at =
            |place: &str, kind: &str| fields::text(container, &format!("{place}/{kind}/host")).to_owned();
        let all = places.iter().flat_map(|place| [at(place, "httpGet"), at(place, "tcpSocket")]);
        all.filter(|host| !host.is_empty()).collect()
    };
    let bad: BTreeSet<String> = pod.bad(|container| !hosts(container).is_empty()).into_iter().collect();
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<String> = bad.into_iter().collect();
    let word = plural(all.len(), "probe or lifecycle host", "probe or lifecycle hosts");
    let uses = plural(bad.len(), "uses", "use");
    broken("probe or lifecycle host", format!("{} {uses} {word} {}", containers(&bad), quoted(&all)))
}

fn privileged(pod: &Pod<'_>) -> Broken {
    let bad = pod.bad(|container| container["securityContext"]["privileged"] == true);
    if bad.is_empty() {
        return None;
    }
    broken("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

fn proc_mount(pod: &Pod<'_>) -> Broken {
    if pod.has_own_users() {
        return None;
    }
    let kind = |container: &Value| fields::text(container, "/securityContext/procMount").to_owned();
    let is_bad = |kind: &str| !matches!(kind, "" | "Default");
    let bad = pod.bad(|container| is_bad(&kind(container)));
    if bad.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = pod.containers().map(kind).filter(|kind| is_bad(kind)).collect();
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(&kinds));
    broken("procMount", detail)
}

fn selinux(pod: &Pod<'_>) -> Broken {
    let engine_type = if pod.minor >= 31 { "container_engine_t" } else { "" };
    let is_good = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t") || kind == engine_type
    };
    let text = |options: &Value, field: &str| options[field].as_str().unwrap_or("").to_owned();
    let is_bad = |options: &Value| {
        !is_good(&text(options, "type"))
            || !text(options, "user").is_empty()
            || !text(options, "role").is_empty()
    };
    let setters = pod.setters("/seLinuxOptions", is_bad);
    if setters.is_empty() {
        return None;
    }
    let types: BTreeSet<&str> = said(pod, "/seLinuxOptions/type").filter(|kind| !is_good(kind)).collect();
    let mut bad = Vec::new();
    if !types.is_empty() {
        bad.push(format!("{} {}", plural(types.len(), "type", "types"), quoted(&types)));
    }
    for field in ["user", "role"] {
        if said(pod, &format!("/seLinuxOptions/{field}")).any(|value| !value.is_empty()) {
            bad.push(format!("{field} may not be set"));
        }
    }
    let detail =
        format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), bad.join("; "));
    broken("seLinuxOptions", detail)
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Broken {
    let is_bad = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let pointer = "/seccompProfile/type";
    let setters = pod.setters(pointer, |kind| kind.as_str().is_some_and(is_bad));
    if setters.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> = said(pod, pointer).filter(|kind| is_bad(kind)).collect();
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        setters.join(" and "),
        quoted(&kinds)
    );
    broken("seccompProfile", detail)
}

/// Name and the minor version that allowed it.
const SYSCTLS: [(&str, u32); 14] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
    ("net.ipv4.tcp_slow_start_after_idle", 36),
    ("net.ipv4.tcp_notsent_lowat", 36),
];

fn sysctls(pod: &Pod<'_>) -> Broken {
    let allowed = |name: &str| SYSCTLS.iter().any(|(own, since)| *own == name && *since <= pod.minor);
    let set = fields::list(pod.spec, "/securityContext/sysctls").iter();
    let bad: Vec<&str> =
        set.map(|sysctl| fields::text(sysctl, "/name")).filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { broken("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Pod<'_>) -> Broken {
    let setters = pod.setters("/windowsOptions/hostProcess", |set| *set == true);
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    broken("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
