//! Which kernel parameters a pod may set: those that concern only itself.
//!
//! Upstream: pkg/kubelet/sysctl; the list is its safe_sysctls.go on a current kernel.

use k8s_openapi::api::core::v1::Pod;

use super::rejected_for;
use crate::pod::status::Verdict;
use crate::pods;

const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

pub(super) fn check(pod: &Pod) -> Result<(), Verdict> {
    let spec = pods::spec(pod);
    let context = spec.security_context.as_ref();
    for sysctl in context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten() {
        let name = sysctl.name.replace('/', ".");
        let why = if !SAFE.contains(&name.as_str()) {
            "not allowlisted"
        } else if name.starts_with("net.") && spec.host_network == Some(true) {
            "not allowed with host net enabled"
        } else if name.starts_with("kernel.") && spec.host_ipc == Some(true) {
            "not allowed with host ipc enabled"
        } else {
            continue;
        };
        return Err(rejected_for("SysctlForbidden", &format!("forbidden sysctl: {name:?} {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_pods_own_may_be_set() {
        let said = |name: &str, host: bool| {
            let context = json!({"sysctls": [{"name": name, "value": "1"}]});
            let spec = json!({"containers": [], "hostNetwork": host, "securityContext": context});
            check(&crate::testing::pod(json!({"spec": spec}))).err().map(|verdict| verdict.message)
        };
        assert_eq!(said("net.ipv4.tcp_syncookies", false), None);
        assert_eq!(said("net/ipv4/tcp_syncookies", false), None);
        assert_eq!(
            said("kernel.msgmax", false).as_deref(),
            Some("Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted")
        );
        assert_eq!(
            said("net.ipv4.tcp_syncookies", true).as_deref(),
            Some(
                "Pod was rejected: forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"
            )
        );
    }
}
