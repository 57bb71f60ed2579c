//! From a CRI container to what its shim is told. Pure, but for looking at nothing.

use std::path::{Path, PathBuf};

use cri::v1;

use crate::error::Error;
use crate::images::Rootfs;
use crate::record::Sandbox;
use crate::shim::protocol::{
    BindMount, ContainerSpec, Device, PidMode, Process, Propagation, Resources, UserSpec,
};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Files of the sandbox that a container sees unless something else is mounted there.
const SANDBOX_FILES: [(&str, &str); 4] = [
    ("/etc/hosts", "hosts"),
    ("/etc/hostname", "hostname"),
    ("/etc/resolv.conf", "resolv.conf"),
    ("/dev/shm", "shm"),
];

/// Where things lie.
pub struct Places<'a> {
    /// The sandbox's folder.
    pub sandbox: &'a Path,
    /// The container's folder.
    pub container: &'a Path,
}

/// Describes the container `id` to its shim.
pub fn container(
    id: &str,
    config: &v1::ContainerConfig,
    sandbox: &Sandbox,
    rootfs: &Rootfs,
    image_volumes: &[(usize, PathBuf)],
    places: &Places<'_>,
) -> Result<ContainerSpec, Error> {
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.clone().unwrap_or_default();
    let resources = resources(&linux.resources.unwrap_or_default());
    Ok(ContainerSpec {
        id: id.to_owned(),
        cgroup: format!("{}/{id}", sandbox.cgroup_parent),
        rootfs: rootfs.path.clone(),
        readonly_rootfs: security.readonly_rootfs,
        privileged: security.privileged,
        pid: pid_mode(&security),
        mounts: mounts(config, sandbox, image_volumes, places)?,
        devices: config.devices.iter().map(device).collect(),
        masked_paths: security.masked_paths.clone(),
        readonly_paths: security.readonly_paths.clone(),
        process: process(config, sandbox, &security, rootfs, resources.oom_score_adj)?,
        resources,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        log: log_path(config, sandbox),
        exit_file: places.container.join("exit.json"),
    })
}

fn log_path(config: &v1::ContainerConfig, sandbox: &Sandbox) -> Option<PathBuf> {
    let given = !config.log_path.is_empty() && !sandbox.config.log_directory.is_empty();
    given.then(|| Path::new(&sandbox.config.log_directory).join(&config.log_path))
}

fn pid_mode(security: &v1::LinuxContainerSecurityContext) -> PidMode {
    let Some(options) = &security.namespace_options else { return PidMode::Own };
    match options.pid() {
        v1::NamespaceMode::Pod => PidMode::Pod,
        v1::NamespaceMode::Container => PidMode::Own,
        v1::NamespaceMode::Node => PidMode::Host,
        v1::NamespaceMode::Target => PidMode::Container(options.target_id.clone()),
    }
}

fn mounts(
    config: &v1::ContainerConfig,
    sandbox: &Sandbox,
    image_volumes: &[(usize, PathBuf)],
    places: &Places<'_>,
) -> Result<Vec<BindMount>, Error> {
    let mut found = Vec::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        let image = image_volumes.iter().find(|(at, _)| *at == index).map(|(_, path)| path.as_path());
        found.push(bind(mount, image)?);
    }
    let host_ipc = sandbox.namespaces().ipc() == v1::NamespaceMode::Node;
    for (target, name) in SANDBOX_FILES {
        if found.iter().any(|mount| mount.target == Path::new(target)) {
            continue;
        }
        let source =
            if name == "shm" && host_ipc { PathBuf::from(target) } else { places.sandbox.join(name) };
        found.push(BindMount { source, target: target.into(), ..BindMount::default() });
    }
    Ok(found)
}

fn bind(mount: &v1::Mount, image: Option<&Path>) -> Result<BindMount, Error> {
    let target = Path::new("/").join(&mount.container_path);
    let propagation = match mount.propagation() {
        v1::MountPropagation::PropagationPrivate => Propagation::Private,
        v1::MountPropagation::PropagationHostToContainer => Propagation::HostToContainer,
        v1::MountPropagation::PropagationBidirectional => Propagation::Bidirectional,
    };
    let source = match image {
        Some(image) => inside(image, &mount.image_sub_path)?,
        None if mount.host_path.is_empty() => {
            return Err(Error::Invalid(format!("mount {:?} has no source", mount.container_path)));
        }
        None => PathBuf::from(&mount.host_path),
    };
    let read_only = mount.readonly || image.is_some();
    Ok(BindMount { source, target, read_only, recursive_read_only: mount.recursive_read_only, propagation })
}

/// A path below an image's root, which it may not leave.
fn inside(image: &Path, sub_path: &str) -> Result<PathBuf, Error> {
    use std::path::Component;
    let sub_path = Path::new(sub_path);
    if sub_path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(image.join(sub_path))
    } else {
        Err(Error::Invalid(format!("sub path {sub_path:?} leaves the image")))
    }
}

fn device(device: &v1::Device) -> Device {
    let container = if device.container_path.is_empty() { &device.host_path } else { &device.container_path };
    Device {
        host_path: PathBuf::from(&device.host_path),
        container_path: PathBuf::from(container),
        permissions: device.permissions.clone(),
    }
}

fn process(
    config: &v1::ContainerConfig,
    sandbox: &Sandbox,
    security: &v1::LinuxContainerSecurityContext,
    rootfs: &Rootfs,
    oom_score_adj: i64,
) -> Result<Process, Error> {
    let capabilities = capabilities(security);
    let ambient =
        security.capabilities.as_ref().map(|c| c.add_ambient_capabilities.clone()).unwrap_or_default();
    let profile = security.seccomp.as_ref().map(v1::SecurityProfile::profile_type);
    Ok(Process {
        args: arguments(config, rootfs)?,
        env: environment(config, sandbox, rootfs),
        cwd: if config.working_dir.is_empty() {
            rootfs.working_dir.clone()
        } else {
            config.working_dir.clone()
        },
        user: user(security, rootfs),
        tty: config.tty,
        capabilities,
        ambient,
        no_new_privs: security.no_new_privs,
        seccomp: !security.privileged && profile == Some(v1::security_profile::ProfileType::RuntimeDefault),
        oom_score_adj,
    })
}

/// A command replaces entrypoint and cmd of the image, arguments only its cmd.
fn arguments(config: &v1::ContainerConfig, rootfs: &Rootfs) -> Result<Vec<String>, Error> {
    let mut all = config.command.clone();
    if all.is_empty() {
        all.clone_from(&rootfs.entrypoint);
        all.extend(if config.args.is_empty() { rootfs.cmd.clone() } else { config.args.clone() });
    } else {
        all.extend(config.args.iter().cloned());
    }
    if all.is_empty() { Err(Error::Invalid("no command specified".to_owned())) } else { Ok(all) }
}

/// Later entries win over earlier ones of the same name.
fn environment(config: &v1::ContainerConfig, sandbox: &Sandbox, rootfs: &Rootfs) -> Vec<String> {
    let mut all = vec![DEFAULT_PATH.to_owned()];
    if !sandbox.config.hostname.is_empty() {
        all.push(format!("HOSTNAME={}", sandbox.config.hostname));
    }
    if config.tty {
        all.push("TERM=xterm".to_owned());
    }
    all.extend(rootfs.env.iter().cloned());
    all.extend(config.envs.iter().map(|env| format!("{}={}", env.key, env.value)));
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::new();
    for entry in all {
        match kept.iter_mut().find(|other| name(other) == name(&entry)) {
            Some(other) => *other = entry,
            None => kept.push(entry),
        }
    }
    kept
}

fn user(security: &v1::LinuxContainerSecurityContext, rootfs: &Rootfs) -> UserSpec {
    let user = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(uid), _) => uid.value.to_string(),
        (None, "") => rootfs.user.clone(),
        (None, name) => name.to_owned(),
    };
    UserSpec {
        user,
        gid: security.run_as_group.as_ref().map(|gid| gid.value as u32),
        supplemental: security.supplemental_groups.iter().map(|gid| *gid as u32).collect(),
        strict: security.supplemental_groups_policy() == v1::SupplementalGroupsPolicy::Strict,
    }
}

/// The default set with what is added and dropped; `ALL` stands for every one. Dropping all keeps what is added.
fn capabilities(security: &v1::LinuxContainerSecurityContext) -> Vec<String> {
    let every = || linux::caps::bounding().iter_names().map(|(name, _)| name.to_owned()).collect();
    if security.privileged {
        return every();
    }
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    let change = security.capabilities.clone().unwrap_or_default();
    let add: Vec<String> = change.add_capabilities.iter().map(plain).collect();
    let drop: Vec<String> = change.drop_capabilities.iter().map(plain).collect();
    let all = "ALL".to_owned();
    let mut held: Vec<String> = match (add.contains(&all), drop.contains(&all)) {
        (true, _) => every(),
        (false, true) => Vec::new(),
        (false, false) => linux::caps::DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
    };
    held.retain(|name| !drop.contains(name));
    held.extend(add.into_iter().filter(|name| *name != all));
    held.sort_unstable();
    held.dedup();
    held
}

/// Zero and empty are "not given".
pub fn resources(from: &v1::LinuxContainerResources) -> Resources {
    let given = |n: i64| (n != 0).then_some(n);
    Resources {
        cpu_shares: u64::try_from(from.cpu_shares).ok().filter(|n| *n != 0),
        cpu_quota: given(from.cpu_quota),
        cpu_period: u64::try_from(from.cpu_period).ok().filter(|n| *n != 0),
        cpuset_cpus: from.cpuset_cpus.clone(),
        cpuset_mems: from.cpuset_mems.clone(),
        memory_limit: given(from.memory_limit_in_bytes),
        memory_swap_limit: given(from.memory_swap_limit_in_bytes),
        unified: from.unified.clone().into_iter().collect(),
        hugepages: from.hugepage_limits.iter().map(|h| (h.page_size.clone(), h.limit)).collect(),
        oom_score_adj: from.oom_score_adj,
    }
}

/// The kernel's number of `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; 15 for nothing and nonsense.
pub fn signal_number(name: &str) -> i32 {
    const TERM: i32 = 15;
    if let Ok(number) = name.parse() {
        return number;
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    // glibc keeps 32 and 33 for itself: programs see real-time signals from 34 to 64.
    if let Some(rest) = short.strip_prefix("RTMIN") {
        return 34 + rest.trim_start_matches(['+', 'P', 'L', 'U', 'S']).parse().unwrap_or(0);
    }
    if let Some(rest) = short.strip_prefix("RTMAX") {
        return 64 - rest.trim_start_matches(['-', 'M', 'I', 'N', 'U', 'S']).parse().unwrap_or(0);
    }
    let aliased = match short {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        other => other,
    };
    format!("SIG{aliased}").parse::<nix::sys::signal::Signal>().map_or(TERM, |signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_any_name() {
        let names = [
            "SIGTERM",
            "TERM",
            "15",
            "",
            "SIGKILL",
            "SIGRTMIN+3",
            "SIGRTMINPLUS3",
            "SIGRTMAX",
            "SIGCLD",
            "x",
        ];
        let numbers = names.map(signal_number);
        assert_eq!(numbers, [15, 15, 15, 15, 9, 37, 37, 64, 17, 15]);
    }

    #[test]
    fn commands_and_arguments_replace_the_images() {
        let image = Rootfs { entrypoint: vec!["e".into()], cmd: vec!["c".into()], ..Rootfs::default() };
        let check = |command: &[&str], args: &[&str], expected: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let config = v1::ContainerConfig {
                command: own(command),
                args: own(args),
                ..v1::ContainerConfig::default()
            };
            assert_eq!(arguments(&config, &image).unwrap(), own(expected));
        };
        check(&[], &[], &["e", "c"]);
        check(&[], &["a"], &["e", "a"]);
        check(&["x"], &[], &["x"]);
        check(&["x"], &["a"], &["x", "a"]);
    }

    #[test]
    fn all_capabilities_can_be_dropped_and_some_kept() {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let check = |add: &[&str], drop: &[&str]| {
            let change = v1::Capability {
                add_capabilities: own(add),
                drop_capabilities: own(drop),
                add_ambient_capabilities: Vec::new(),
            };
            capabilities(&v1::LinuxContainerSecurityContext {
                capabilities: Some(change),
                ..Default::default()
            })
        };
        assert_eq!(check(&["NET_ADMIN"], &["ALL"]), ["NET_ADMIN"]);
        assert_eq!(check(&[], &[]).len(), linux::caps::DEFAULT.len());
        assert!(!check(&[], &["CAP_KILL"]).contains(&"KILL".to_owned()));
    }
}
