//! A pod as the CRI wants its sandbox described.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go.

use cri::v1 as pb;
use k8s_openapi::api::core::v1::{Pod, SeccompProfile};

use super::cgroups;
use crate::config::Config;
use crate::dns;
use crate::pods;
use crate::runtime::labels;

pub(crate) fn sandbox_config(config: &Config, pod: &Pod, attempt: u32) -> pb::PodSandboxConfig {
    let host = pods::host_network(pod);
    pb::PodSandboxConfig {
        metadata: Some(pb::PodSandboxMetadata {
            name: pods::name(pod).into(),
            uid: pods::uid(pod).into(),
            namespace: pods::namespace(pod).into(),
            attempt,
        }),
        hostname: if host { String::new() } else { dns::hostname(pod, &config.cluster_domain).shown },
        log_directory: log_directory(config, pod).to_string_lossy().into_owned(),
        dns_config: Some(dns::config(config, pod)),
        port_mappings: port_mappings(pod),
        labels: labels::pod_labels(pod).into_iter().collect(),
        annotations: pods::annotations(pod).clone().into_iter().collect(),
        linux: Some(linux(config, pod)),
    }
}

/// `<namespace>_<name>_<uid>`.
pub(crate) fn log_directory(config: &Config, pod: &Pod) -> std::path::PathBuf {
    config.logs.join(format!("{}_{}_{}", pods::namespace(pod), pods::name(pod), pods::uid(pod)))
}

fn port_mappings(pod: &Pod) -> Vec<pb::PortMapping> {
    let sidecars = pods::init_containers(pod).iter().filter(|c| pods::is_sidecar(c));
    sidecars.chain(pods::containers(pod)).flat_map(|c| c.ports.iter().flatten()).map(port_mapping).collect()
}

fn port_mapping(port: &k8s_openapi::api::core::v1::ContainerPort) -> pb::PortMapping {
    let protocol = match port.protocol.as_deref() {
        Some("UDP") => pb::Protocol::Udp,
        Some("SCTP") => pb::Protocol::Sctp,
        _ => pb::Protocol::Tcp,
    };
    pb::PortMapping {
        protocol: protocol as i32,
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    }
}

fn linux(config: &Config, pod: &Pod) -> pb::LinuxPodSandboxConfig {
    let context = pods::spec(pod).security_context.clone().unwrap_or_default();
    let sysctls = context.sysctls.into_iter().flatten().map(|s| (s.name, s.value)).collect();
    let mut groups: Vec<i64> = context.fs_group.into_iter().collect();
    groups.extend(context.supplemental_groups.into_iter().flatten());
    pb::LinuxPodSandboxConfig {
        cgroup_parent: cgroups::pod_cgroup(config, pod),
        sysctls,
        security_context: Some(pb::LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces(pod)),
            run_as_user: context.run_as_user.map(|value| pb::Int64Value { value }),
            run_as_group: context.run_as_group.map(|value| pb::Int64Value { value }),
            supplemental_groups: groups,
            supplemental_groups_policy: groups_policy(pod) as i32,
            privileged: pods::containers(pod)
                .iter()
                .chain(pods::init_containers(pod))
                .any(|c| c.security_context.as_ref().and_then(|s| s.privileged) == Some(true)),
            seccomp: Some(pb::SecurityProfile {
                profile_type: pb::security_profile::ProfileType::RuntimeDefault as i32,
                localhost_ref: String::new(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Whether the groups of the image count beside the pod's.
pub(crate) fn groups_policy(pod: &Pod) -> pb::SupplementalGroupsPolicy {
    let policy =
        pods::spec(pod).security_context.as_ref().and_then(|s| s.supplemental_groups_policy.as_deref());
    match policy {
        Some("Strict") => pb::SupplementalGroupsPolicy::Strict,
        _ => pb::SupplementalGroupsPolicy::Merge,
    }
}

pub(crate) fn namespaces(pod: &Pod) -> pb::NamespaceOption {
    let spec = pods::spec(pod);
    let of =
        |host: Option<bool>, otherwise| if host == Some(true) { pb::NamespaceMode::Node } else { otherwise };
    let shared = spec.share_process_namespace == Some(true);
    let own_pid = if shared { pb::NamespaceMode::Pod } else { pb::NamespaceMode::Container };
    pb::NamespaceOption {
        network: of(spec.host_network, pb::NamespaceMode::Pod) as i32,
        pid: of(spec.host_pid, own_pid) as i32,
        ipc: of(spec.host_ipc, pb::NamespaceMode::Pod) as i32,
        ..Default::default()
    }
}

pub(crate) fn seccomp(profile: Option<&SeccompProfile>, privileged: bool) -> pb::SecurityProfile {
    use pb::security_profile::ProfileType;
    let (kind, reference) = match profile.map(|p| p.type_.as_str()) {
        Some("RuntimeDefault") if !privileged => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") if !privileged => {
            (ProfileType::Localhost, profile.and_then(|p| p.localhost_profile.clone()).unwrap_or_default())
        }
        // Upstream's default without the SeccompDefault setting.
        _ => (ProfileType::Unconfined, String::new()),
    };
    pb::SecurityProfile { profile_type: kind as i32, localhost_ref: reference }
}
