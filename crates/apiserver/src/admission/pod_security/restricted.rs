//! The restricted level: what a hardened pod does without.
//!
//! Upstream: k8s.io/pod-security-admission/policy, check_*.go.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Rule, baseline, containers, plural, quoted};
use crate::auth::fields;

type Broken = Option<(String, String)>;

/// By id.
pub(super) const RULES: &[Rule] = &[
    Rule { id: "allowPrivilegeEscalation", since: 8, check: escalation },
    Rule { id: "capabilities_restricted", since: 22, check: capabilities },
    Rule { id: "restrictedVolumes", since: 0, check: volumes },
    Rule { id: "runAsNonRoot", since: 0, check: non_root },
    Rule { id: "runAsUser", since: 23, check: user },
    Rule { id: "seccompProfile_restricted", since: 19, check: seccomp },
];

/// Rules of the baseline that one of these says more strictly.
pub(super) const REPLACED: [&str; 2] = ["capabilities_baseline", "seccompProfile_baseline"];

/// Since then rules that mean nothing on Windows do not apply there.
const WINDOWS_EXEMPT: u32 = 25;

fn is_exempt(pod: &Pod<'_>) -> bool {
    pod.minor >= WINDOWS_EXEMPT && pod.is_windows()
}

fn escalation(pod: &Pod<'_>) -> Broken {
    if is_exempt(pod) {
        return None;
    }
    let bad = pod.bad(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    Some(("allowPrivilegeEscalation != false".into(), detail))
}

fn capabilities(pod: &Pod<'_>) -> Broken {
    if is_exempt(pod) {
        return None;
    }
    let drops_all = |container: &Value| {
        fields::texts(container, "/securityContext/capabilities/drop").any(|dropped| dropped == "ALL")
    };
    let keeping = pod.bad(|container| !drops_all(container));
    let mut bad = Vec::new();
    if !keeping.is_empty() {
        bad.push(format!(r#"{} must set securityContext.capabilities.drop=["ALL"]"#, containers(&keeping)));
    }
    if let Some((adding, more)) = baseline::added(pod, &["NET_BIND_SERVICE"]) {
        bad.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(&more)
        ));
    }
    (!bad.is_empty()).then(|| ("unrestricted capabilities".into(), bad.join("; ")))
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volumes(pod: &Pod<'_>) -> Broken {
    let kind = |volume: &Value| -> Option<String> {
        let kinds = volume.as_object()?.keys().filter(|field| *field != "name");
        kinds.into_iter().find(|kind| !VOLUMES.contains(&kind.as_str())).cloned()
    };
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in fields::list(pod.spec, "/volumes") {
        if let Some(kind) = kind(volume) {
            names.push(fields::text(volume, "/name"));
            kinds.insert(kind);
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} restricted volume {} {}",
        plural(names.len(), "volume", "volumes"),
        quoted(&names),
        plural(names.len(), "uses", "use"),
        plural(kinds.len(), "type", "types"),
        quoted(&kinds)
    );
    Some(("restricted volume types".into(), detail))
}

fn non_root(pod: &Pod<'_>) -> Broken {
    if pod.has_own_users() {
        return None;
    }
    let reason = "runAsNonRoot != true".to_owned();
    let setters = pod.setters("/runAsNonRoot", |set| *set == false);
    if !setters.is_empty() {
        let who = setters.join(" and ");
        return Some((reason, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    if pod.spec["securityContext"]["runAsNonRoot"] == true {
        return None;
    }
    let bad = pod.bad(|container| container["securityContext"]["runAsNonRoot"].is_null());
    if bad.is_empty() {
        return None;
    }
    Some((reason, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&bad))))
}

fn user(pod: &Pod<'_>) -> Broken {
    if pod.has_own_users() {
        return None;
    }
    let setters = pod.setters("/runAsUser", |user| *user == 0);
    (!setters.is_empty())
        .then(|| ("runAsUser=0".into(), format!("{} must not set runAsUser=0", setters.join(" and "))))
}

fn seccomp(pod: &Pod<'_>) -> Broken {
    if is_exempt(pod) {
        return None;
    }
    if let Some(explicit) = baseline::seccomp(pod) {
        return Some(explicit);
    }
    if pod.spec["securityContext"]["seccompProfile"].is_object() {
        return None;
    }
    let bad = pod.bad(|container| !container["securityContext"]["seccompProfile"].is_object());
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        r#"pod or {} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#,
        containers(&bad)
    );
    Some(("seccompProfile".into(), detail))
}
