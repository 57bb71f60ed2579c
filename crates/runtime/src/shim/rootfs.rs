//! A container's view of files: its root, the kernel's file systems, devices, volumes, hidden paths.
//!
//! Everything that comes from the host is taken as a detached mount first; then the container's root is entered,
//! and all paths after that are the container's own: no link of an image can lead out.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use linux::cgroup::Hierarchies;
use linux::mount::{self, Attributes, attach, clone_tree, new_filesystem, set_attributes, set_propagation};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::child::{Step, StepError};
use super::protocol::{BindMount, ContainerSpec, Device, Propagation};

/// What was taken from the host.
pub struct Taken {
    root: OwnedFd,
    volumes: Vec<Volume>,
    devices: Vec<Node>,
}

struct Volume {
    mount: OwnedFd,
    is_folder: bool,
    spec: BindMount,
}

/// A device to be made anew.
struct Node {
    path: PathBuf,
    kind: FileType,
    device: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Takes root, volumes and devices; runs in the host's mount namespace.
pub fn take(spec: &ContainerSpec) -> Result<Taken, StepError> {
    let root =
        clone_tree(&spec.rootfs).step(&format!("cannot open the root file system {:?}", spec.rootfs))?;
    set_propagation(root.as_fd(), mount::Propagation::Private).step("cannot make the root private")?;
    let mut volumes = spec.mounts.iter().map(take_volume).collect::<Result<Vec<_>, _>>()?;
    // Parents first, or a volume would hide what was mounted below its place.
    volumes.sort_by_key(|volume| volume.spec.target.components().count());
    let mut devices = Vec::new();
    for device in &spec.devices {
        take_device(device, &mut devices).step(&format!("cannot read the device {:?}", device.host_path))?;
    }
    if spec.privileged {
        take_host_devices(Path::new("/dev"), &mut devices).step("cannot list the host's devices")?;
    }
    Ok(Taken { root, volumes, devices })
}

fn take_volume(spec: &BindMount) -> Result<Volume, StepError> {
    let what = || format!("cannot mount {:?} at {:?}", spec.source, spec.target);
    if !spec.source.exists() {
        fs::create_dir_all(&spec.source).step(&what())?;
    }
    // A link of the host is followed on the host.
    let source = fs::canonicalize(&spec.source).step(&what())?;
    let is_folder = source.is_dir();
    let mount = clone_tree(&source).step(&what())?;
    let propagation = match spec.propagation {
        Propagation::Private => mount::Propagation::Private,
        Propagation::HostToContainer => mount::Propagation::Slave,
        Propagation::Bidirectional => mount::Propagation::Shared,
    };
    set_propagation(mount.as_fd(), propagation).step(&what())?;
    let attributes = Attributes { read_only: spec.read_only, ..Attributes::default() };
    if spec.read_only {
        set_attributes(mount.as_fd(), attributes, spec.recursive_read_only).step(&what())?;
    }
    Ok(Volume { mount, is_folder, spec: spec.clone() })
}

fn take_device(device: &Device, into: &mut Vec<Node>) -> io::Result<()> {
    let meta = fs::metadata(&device.host_path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(&device.host_path)? {
            let name = entry?.file_name();
            let inner = Device {
                host_path: device.host_path.join(&name),
                container_path: device.container_path.join(&name),
                permissions: device.permissions.clone(),
            };
            take_device(&inner, into)?;
        }
        return Ok(());
    }
    into.extend(node(device.container_path.clone(), &meta));
    Ok(())
}

fn take_host_devices(folder: &Path, into: &mut Vec<Node>) -> io::Result<()> {
    /// Folders and nodes that every container has of its own.
    const OWN: [&str; 7] = ["pts", "shm", "mqueue", "fd", "console", "ptmx", ".lxc"];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if OWN.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let meta = entry.metadata()?;
        if meta.is_dir() {
            take_host_devices(&entry.path(), into)?;
        } else {
            into.extend(node(entry.path(), &meta));
        }
    }
    Ok(())
}

fn node(path: PathBuf, meta: &fs::Metadata) -> Option<Node> {
    let kind = match meta.file_type() {
        kind if kind.is_char_device() => FileType::CharacterDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        _ => return None,
    };
    let mode = meta.permissions().mode() & 0o7777;
    Some(Node { path, kind, device: meta.rdev(), mode, uid: meta.uid(), gid: meta.gid() })
}

/// Makes the container's root this process's own and completes it; runs in a mount namespace of its own.
pub fn enter(taken: Taken, spec: &ContainerSpec, hierarchies: &Hierarchies) -> Result<(), StepError> {
    mount::isolate().step("cannot leave the host's mounts")?;
    attach(taken.root.as_fd(), &spec.rootfs).step("cannot attach the root")?;
    mount::enter_root(&spec.rootfs).step("cannot enter the root")?;
    kernel_filesystems(spec, hierarchies)?;
    standard_devices().step("cannot make the standard devices")?;
    for device in &taken.devices {
        make_node(device).step(&format!("cannot make the device {:?}", device.path))?;
    }
    for volume in &taken.volumes {
        let spec = &volume.spec;
        place(volume).step(&format!("cannot mount {:?} at {:?}", spec.source, spec.target))?;
    }
    // While the root can still be written.
    fs::create_dir_all(Path::new("/").join(&spec.process.cwd)).step("cannot make the working directory")?;
    if !spec.privileged {
        hide(spec)?;
    }
    if spec.readonly_rootfs {
        let root =
            rustix::fs::open("/", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, Mode::empty());
        let root = root.step("cannot open the root")?;
        let attributes = Attributes { read_only: true, ..Attributes::default() };
        set_attributes(root.as_fd(), attributes, false).step("cannot make the root read-only")?;
    }
    Ok(())
}

const PLAIN: Attributes = Attributes { read_only: false, no_suid: true, no_dev: true, no_exec: true };

fn kernel_filesystems(spec: &ContainerSpec, hierarchies: &Hierarchies) -> Result<(), StepError> {
    let read_only = Attributes { read_only: !spec.privileged, ..PLAIN };
    let dev = Attributes { no_dev: false, ..PLAIN };
    let dev = Attributes { no_exec: false, ..dev };
    let pts = Attributes { no_dev: false, ..PLAIN };
    mount_new("proc", "/proc", &[], PLAIN)?;
    mount_new("tmpfs", "/dev", &[("mode", "0755"), ("size", "65536k")], dev)?;
    mount_new(
        "devpts",
        "/dev/pts",
        &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")],
        pts,
    )?;
    mount_new("mqueue", "/dev/mqueue", &[], PLAIN)?;
    fs::create_dir_all("/dev/shm").step("cannot make /dev/shm")?;
    mount_new("sysfs", "/sys", &[], read_only)?;
    cgroup_filesystems(hierarchies, read_only)
}

fn cgroup_filesystems(hierarchies: &Hierarchies, attributes: Attributes) -> Result<(), StepError> {
    if hierarchies.is_v2() {
        return mount_new("cgroup2", "/sys/fs/cgroup", &[], attributes);
    }
    mount_new("tmpfs", "/sys/fs/cgroup", &[("mode", "0755")], PLAIN)?;
    let mut seen: Vec<&Path> = Vec::new();
    for (controller, point) in hierarchies.v1() {
        let name =
            point.file_name().map_or(controller.to_owned(), |name| name.to_string_lossy().into_owned());
        let folder = format!("/sys/fs/cgroup/{name}");
        if !seen.contains(&point) {
            seen.push(point);
            let mut options = vec![(controller, "")];
            // A hierarchy of several controllers is mounted by all their names.
            options.extend(
                hierarchies.v1().filter(|(c, p)| *c != controller && *p == point).map(|(c, _)| (c, "")),
            );
            mount_new("cgroup", &folder, &options, attributes)?;
        }
        if name != controller {
            symlink(&name, format!("/sys/fs/cgroup/{controller}")).step("cannot link a controller")?;
        }
    }
    Ok(())
}

fn mount_new(
    kind: &str,
    path: &str,
    options: &[(&str, &str)],
    attributes: Attributes,
) -> Result<(), StepError> {
    let mounted = fs::create_dir_all(path)
        .and_then(|()| new_filesystem(kind, kind, options, attributes))
        .and_then(|fs| attach(fs.as_fd(), Path::new(path)));
    mounted.step(&format!("cannot mount {kind} at {path}"))
}

fn standard_devices() -> io::Result<()> {
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        make_character(&format!("/dev/{name}"), 1, minor)?;
    }
    make_character("/dev/tty", 5, 0)?;
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("/proc/kcore", "/dev/core"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    links.into_iter().try_for_each(|(target, link)| symlink(target, link))
}

fn make_character(path: &str, major: u32, minor: u32) -> io::Result<()> {
    let device = rustix::fs::makedev(major, minor);
    let path = PathBuf::from(path);
    make_node(&Node { path, kind: FileType::CharacterDevice, device, mode: 0o666, uid: 0, gid: 0 })
}

/// A node that is there already stays: the standard ones win.
fn make_node(node: &Node) -> io::Result<()> {
    if let Some(folder) = node.path.parent() {
        fs::create_dir_all(folder)?;
    }
    match mknodat(CWD, &node.path, node.kind, Mode::from_raw_mode(node.mode), node.device) {
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        made => made?,
    }
    fs::set_permissions(&node.path, fs::Permissions::from_mode(node.mode))?;
    std::os::unix::fs::chown(&node.path, Some(node.uid), Some(node.gid))
}

fn place(volume: &Volume) -> io::Result<()> {
    let target = &volume.spec.target;
    if volume.is_folder {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::File::create(target)?;
    }
    attach(volume.mount.as_fd(), target)
}

fn hide(spec: &ContainerSpec) -> Result<(), StepError> {
    for path in &spec.masked_paths {
        mask(Path::new(path)).step(&format!("cannot mask {path}"))?;
    }
    for path in spec.readonly_paths.iter().map(Path::new).filter(|path| path.exists()) {
        let attributes = Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true };
        let done = clone_tree(path)
            .and_then(|tree| set_attributes(tree.as_fd(), attributes, true).map(|()| tree))
            .and_then(|tree| attach(tree.as_fd(), path));
        done.step(&format!("cannot make {path:?} read-only"))?;
    }
    Ok(())
}

/// Paths that this kernel does not have need no mask.
fn mask(path: &Path) -> io::Result<()> {
    let Ok(meta) = fs::metadata(path) else { return Ok(()) };
    let cover = if meta.is_dir() {
        new_filesystem("tmpfs", "tmpfs", &[("size", "4k")], Attributes { read_only: true, ..PLAIN })?
    } else {
        clone_tree(Path::new("/dev/null"))?
    };
    attach(cover.as_fd(), path)
}
