//! A container as the CRI wants it described. Pure but for the folders and bind mounts that it needs.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go and kubelet_pods.go, makeMounts.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cri::v1 as pb;
use k8s_openapi::api::core::v1::{Container, Pod, SecurityContext, VolumeMount};

use super::{cgroups, sandbox_config};
use crate::config::Config;
use crate::env::expand::expand;
use crate::pods;
use crate::runtime::labels;
use crate::volumes::sub_path::{self, SubPathError};
use crate::volumes::{pod_dir, set_up};

/// Why a container could not be described.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("volume {volume:?} of mount {path:?} is not there")]
    NoVolume { volume: String, path: String },
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")]
    SubPath { volume: String, container: String, source: SubPathError },
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    Root { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: {pod:?}, container: {container})"
    )]
    UnknownUser { user: String, pod: String, container: String },
    #[error("cannot prepare {path:?}")]
    File { path: PathBuf, source: io::Error },
}

/// What a container is made from.
pub(crate) struct Parts<'a> {
    pub config: &'a Config,
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub restarts: i32,
    pub env: &'a [(String, String)],
    pub volumes: &'a set_up::Ready,
    pub image: &'a pb::Image,
    /// Images that are volumes, by the volume's name.
    pub image_volumes: &'a HashMap<String, pb::Image>,
    pub hosts_file: Option<&'a Path>,
    pub node_memory: u64,
    /// The container whose processes an ephemeral one shall see.
    pub target: Option<&'a str>,
}

pub(crate) fn container_config(parts: &Parts<'_>) -> Result<pb::ContainerConfig, ConfigError> {
    check_user(parts)?;
    let (pod, container) = (parts.pod, parts.container);
    let known: BTreeMap<String, String> = parts.env.iter().cloned().collect();
    let expanded =
        |list: &Option<Vec<String>>| list.iter().flatten().map(|text| expand(text, &known)).collect();
    let log = format!("{}/{}.log", container.name, parts.restarts);
    let log_dir = sandbox_config::log_directory(parts.config, pod).join(&container.name);
    fs::create_dir_all(&log_dir).map_err(|source| ConfigError::File { path: log_dir, source })?;
    Ok(pb::ContainerConfig {
        metadata: Some(pb::ContainerMetadata {
            name: container.name.clone(),
            attempt: u32::try_from(parts.restarts).unwrap_or(0),
        }),
        image: Some(pb::ImageSpec {
            image: parts.image.id.clone(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: parts
            .env
            .iter()
            .map(|(key, value)| pb::KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: mounts(parts)?,
        labels: labels::container_labels(pod, container).into_iter().collect(),
        annotations: labels::container_annotations(pod, container, parts.restarts).into_iter().collect(),
        log_path: log,
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(pb::LinuxContainerConfig {
            resources: Some(cgroups::resources(pod, container, parts.node_memory)),
            security_context: Some(security(parts)),
        }),
        ..Default::default()
    })
}

fn check_user(parts: &Parts<'_>) -> Result<(), ConfigError> {
    let own = parts.container.security_context.clone().unwrap_or_default();
    let pods_own = pods::spec(parts.pod).security_context.clone().unwrap_or_default();
    if own.run_as_non_root.or(pods_own.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let (pod, container) = (pods::described(parts.pod), parts.container.name.clone());
    if let Some(user) = own.run_as_user.or(pods_own.run_as_user) {
        return if user == 0 { Err(ConfigError::Root { pod, container }) } else { Ok(()) };
    }
    match &parts.image.uid {
        Some(uid) if uid.value == 0 => Err(ConfigError::Root { pod, container }),
        Some(_) => Ok(()),
        None if parts.image.username.is_empty() => Err(ConfigError::Root { pod, container }),
        None => Err(ConfigError::UnknownUser { user: parts.image.username.clone(), pod, container }),
    }
}

fn security(parts: &Parts<'_>) -> pb::LinuxContainerSecurityContext {
    let own = parts.container.security_context.clone().unwrap_or_default();
    let pods_own = pods::spec(parts.pod).security_context.clone().unwrap_or_default();
    let privileged = own.privileged == Some(true);
    let user = own.run_as_user.or(pods_own.run_as_user).or_else(|| parts.image.uid.as_ref().map(|u| u.value));
    let mut groups: Vec<i64> = pods_own.supplemental_groups.clone().unwrap_or_default();
    groups.extend(pods_own.fs_group);
    let masked = own.proc_mount.as_deref() != Some("Unmasked") && !privileged;
    pb::LinuxContainerSecurityContext {
        capabilities: own.capabilities.clone().map(|c| pb::Capability {
            add_capabilities: c.add.unwrap_or_default(),
            drop_capabilities: c.drop.unwrap_or_default(),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(namespaces(parts)),
        run_as_user: user.map(|value| pb::Int64Value { value }),
        run_as_group: own.run_as_group.or(pods_own.run_as_group).map(|value| pb::Int64Value { value }),
        run_as_username: if user.is_none() { parts.image.username.clone() } else { String::new() },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups,
        no_new_privs: no_new_privileges(&own),
        supplemental_groups_policy: sandbox_config::groups_policy(parts.pod) as i32,
        masked_paths: if masked { strings(&MASKED) } else { Vec::new() },
        readonly_paths: if masked { strings(&READ_ONLY) } else { Vec::new() },
        seccomp: Some(sandbox_config::seccomp(
            own.seccomp_profile.as_ref().or(pods_own.seccomp_profile.as_ref()),
            privileged,
        )),
        ..Default::default()
    }
}

/// Upstream: pkg/securitycontext/util.go.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn no_new_privileges(own: &SecurityContext) -> bool {
    own.allow_privilege_escalation == Some(false)
}

fn namespaces(parts: &Parts<'_>) -> pb::NamespaceOption {
    let mut options = sandbox_config::namespaces(parts.pod);
    if let Some(target) = parts.target {
        options.pid = pb::NamespaceMode::Target as i32;
        options.target_id = target.into();
    }
    options
}

fn mounts(parts: &Parts<'_>) -> Result<Vec<pb::Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for (index, mount) in parts.container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(volume_mount(parts, index, mount)?);
    }
    let mounted = |path: &str| parts.container.volume_mounts.iter().flatten().any(|m| m.mount_path == path);
    if let Some(hosts) = parts.hosts_file.filter(|_| !mounted("/etc/hosts")) {
        mounts.push(pb::Mount {
            container_path: "/etc/hosts".into(),
            host_path: hosts.to_string_lossy().into_owned(),
            ..Default::default()
        });
    }
    mounts.push(termination_log(parts)?);
    Ok(mounts)
}

fn volume_mount(parts: &Parts<'_>, index: usize, mount: &VolumeMount) -> Result<pb::Mount, ConfigError> {
    if let Some(image) = parts.image_volumes.get(&mount.name) {
        return Ok(image_mount(parts, image, mount));
    }
    let volume = parts.volumes.paths.get(&mount.name).ok_or_else(|| ConfigError::NoVolume {
        volume: mount.name.clone(),
        path: mount.mount_path.clone(),
    })?;
    let host = match sub_path_of(parts, mount) {
        None => volume.clone(),
        Some(sub) => {
            let target = pod_dir(&parts.config.root, pods::uid(parts.pod))
                .join("volume-subpaths")
                .join(&mount.name)
                .join(&parts.container.name)
                .join(index.to_string());
            sub_path::prepare(volume, &sub, &target).map_err(|source| ConfigError::SubPath {
                volume: mount.name.clone(),
                container: parts.container.name.clone(),
                source,
            })?
        }
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("Bidirectional") => pb::MountPropagation::PropagationBidirectional,
        Some("HostToContainer") => pb::MountPropagation::PropagationHostToContainer,
        _ => pb::MountPropagation::PropagationPrivate,
    };
    Ok(pb::Mount {
        container_path: absolute(&mount.mount_path),
        host_path: host.to_string_lossy().into_owned(),
        readonly: mount.read_only.unwrap_or(false) || always_read_only(parts.pod, &mount.name),
        propagation: propagation as i32,
        recursive_read_only: mount.read_only == Some(true) && wants_recursive(mount),
        ..Default::default()
    })
}

/// `IfPossible` is as good as `Enabled`: whether the kernel can, the runtime has told with its features.
pub(crate) fn wants_recursive(mount: &VolumeMount) -> bool {
    matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"))
}

/// An image as a volume is mounted by the runtime, read-only.
fn image_mount(parts: &Parts<'_>, image: &pb::Image, mount: &VolumeMount) -> pb::Mount {
    pb::Mount {
        container_path: absolute(&mount.mount_path),
        readonly: true,
        image: Some(pb::ImageSpec { image: image.id.clone(), ..Default::default() }),
        image_sub_path: sub_path_of(parts, mount).unwrap_or_default(),
        ..Default::default()
    }
}

/// Volumes that the kubelet writes are nobody else's to write, nor claims that the pod only reads.
fn always_read_only(pod: &Pod, name: &str) -> bool {
    pods::spec(pod).volumes.iter().flatten().filter(|v| v.name == name).any(|v| {
        let claim = v.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true));
        claim
            || v.config_map.is_some()
            || v.secret.is_some()
            || v.projected.is_some()
            || v.downward_api.is_some()
    })
}

fn sub_path_of(parts: &Parts<'_>, mount: &VolumeMount) -> Option<String> {
    let known = || parts.env.iter().cloned().collect();
    let expanded =
        mount.sub_path_expr.as_deref().filter(|s| !s.is_empty()).map(|text| expand(text, &known()));
    expanded.or_else(|| mount.sub_path.clone()).filter(|s| !s.is_empty())
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The file of a container's last words, one per container and restart.
fn termination_log(parts: &Parts<'_>) -> Result<pb::Mount, ConfigError> {
    let dir =
        pod_dir(&parts.config.root, pods::uid(parts.pod)).join("containers").join(&parts.container.name);
    let path = dir.join(format!("{:08x}", parts.config.random.u64() >> 32));
    let made = || -> io::Result<()> {
        fs::create_dir_all(&dir)?;
        fs::write(&path, b"")?;
        // Whoever the container runs as may write it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
    };
    made().map_err(|source| ConfigError::File { path: path.clone(), source })?;
    let inside = parts.container.termination_message_path.clone().filter(|p| !p.is_empty());
    Ok(pb::Mount {
        container_path: inside.unwrap_or_else(|| "/dev/termination-log".into()),
        host_path: path.to_string_lossy().into_owned(),
        ..Default::default()
    })
}
