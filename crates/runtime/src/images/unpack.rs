//! Layers to folders. Every path is resolved below the folder, and nothing of an archive can lead outside.
//!
//! A layer's whiteouts become overlayfs' own: a character device 0:0, and an opaque mark on folders.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fsetxattr, linkat, makedev, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    #[error("entry {path:?} leaves the root of the layer")]
    EscapesRoot { path: PathBuf },
    #[error("hard link {path:?} to {target:?} leaves the root of the layer")]
    LinkEscapesRoot { path: PathBuf, target: PathBuf },
    #[error("entry {path:?} is of an unknown kind")]
    Kind { path: PathBuf },
    #[error("no space left to unpack {path:?}")]
    DiskFull { path: PathBuf },
    #[error("cannot unpack {path:?}")]
    Write { path: PathBuf, source: io::Error },
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks a tar into `root`, which exists and is empty.
pub(super) fn unpack(tar: &mut dyn Read, root: &Path) -> Result<(), UnpackError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root, flags, Mode::empty()).map_err(|error| failed(root, error))?;
    let mut unpacker = Unpacker { root, folders: Vec::new() };
    let mut archive = Archive::new(tar);
    for entry in archive.entries().map_err(UnpackError::Read)? {
        unpacker.entry(entry.map_err(UnpackError::Read)?)?;
    }
    unpacker.finish()
}

fn failed(path: &Path, error: impl Into<io::Error>) -> UnpackError {
    let source = error.into();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            UnpackError::DiskFull { path: path.to_owned() }
        }
        _ => UnpackError::Write { path: path.to_owned(), source },
    }
}

struct Unpacker {
    root: OwnedFd,
    /// Folders get their times last: what is put into them would change them.
    folders: Vec<(PathBuf, u64)>,
}

/// The parts of a path below the root; none for the root itself.
pub(super) fn below_root(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(clean)
}

impl Unpacker {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), UnpackError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            // A comment of the archiver: no file.
            return Ok(());
        }
        let given = entry.path().map_err(UnpackError::Read)?.into_owned();
        let escapes = || UnpackError::EscapesRoot { path: given.clone() };
        let path = below_root(&given).ok_or_else(escapes)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else { return Ok(()) };
        let mark = Mark::of(&name).ok_or_else(escapes)?;
        let parent = self.parent(&path)?;
        if mark != Mark::None {
            return self.mark(mark, &parent, &path).map_err(|error| failed(&path, error));
        }
        let replaces = is_whiteout(&parent, &name).map_err(|error| failed(&path, error))?;
        clear(&parent, &name, kind == EntryType::Directory).map_err(|error| failed(&path, error))?;
        self.create(&mut entry, kind, &parent, &name, &path)?;
        if kind == EntryType::Link {
            return Ok(());
        }
        self.metadata(&mut entry, kind, &parent, &name, &path)?;
        if replaces && kind == EntryType::Directory {
            // The layer hides a lower folder and has its own: without this mark the two would be shown as one.
            self.opaque(&path).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    /// The folder that the entry lies in, made where an archive leaves it out. Links in between are followed below the
    /// root only.
    fn parent(&self, path: &Path) -> Result<OwnedFd, UnpackError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.open_folder(parent) {
            Err(Errno::NOENT) => {
                let mut made = PathBuf::new();
                for part in parent.components() {
                    let above = self.open_folder(&made).map_err(|error| failed(path, error))?;
                    match mkdirat(&above, part.as_os_str(), Mode::from(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => made.push(part),
                        Err(error) => return Err(failed(path, error)),
                    }
                }
                self.open_folder(parent).map_err(|error| failed(path, error))
            }
            result => result.map_err(|error| failed(path, error)),
        }
    }

    fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    fn mark(&self, mark: Mark<'_>, parent: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
        match mark {
            Mark::None | Mark::Foreign => Ok(()),
            Mark::Opaque => self.opaque(path.parent().unwrap_or(Path::new(""))),
            Mark::Whiteout(hidden) => self.whiteout(parent, hidden, path),
        }
    }

    /// Hides what lower layers have in a folder.
    fn opaque(&self, folder: &Path) -> rustix::io::Result<()> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let folder = openat2(&self.root, folder, flags, Mode::empty(), resolve)?;
        fsetxattr(&folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())
    }

    /// Hides a name of the lower layers; what this layer itself has under the name stays.
    fn whiteout(&self, parent: &OwnedFd, name: &OsStr, path: &Path) -> rustix::io::Result<()> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
            }
            Err(error) => Err(error),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                self.opaque(&path.with_file_name(name))
            }
            Ok(_) => Ok(()),
        }
    }

    fn create<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), UnpackError> {
        let write = |error: Errno| failed(path, error);
        match kind {
            EntryType::Directory => match mkdirat(parent, name, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(error) => Err(write(error)),
            },
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file =
                    std::fs::File::from(openat(parent, name, flags, Mode::from(0o600)).map_err(write)?);
                io::copy(entry, &mut file).map_err(|error| failed(path, error))?;
                Ok(())
            }
            EntryType::Symlink => {
                let target = link_name(entry)?;
                symlinkat(target, parent, name).map_err(write)
            }
            EntryType::Link => {
                let target = link_name(entry)?;
                self.hard_link(&target, parent, name, path)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let header = entry.header();
                let number = |part: io::Result<Option<u32>>| {
                    part.map(Option::unwrap_or_default).map_err(UnpackError::Read)
                };
                let device = makedev(number(header.device_major())?, number(header.device_minor())?);
                let kind = match kind {
                    EntryType::Char => FileType::CharacterDevice,
                    EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                mknodat(parent, name, kind, Mode::from(0o600), device).map_err(write)
            }
            _ => Err(UnpackError::Kind { path: path.to_owned() }),
        }
    }

    fn hard_link(
        &self,
        target: &Path,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), UnpackError> {
        let escapes = || UnpackError::LinkEscapesRoot { path: path.to_owned(), target: target.to_owned() };
        let clean = below_root(target).ok_or_else(escapes)?;
        let target_name = clean.file_name().ok_or_else(escapes)?;
        let folder =
            self.open_folder(clean.parent().unwrap_or(Path::new(""))).map_err(|error| failed(path, error))?;
        linkat(&folder, target_name, parent, name, AtFlags::empty()).map_err(|error| failed(path, error))
    }

    fn metadata<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), UnpackError> {
        let header = entry.header();
        let id = |id: io::Result<u64>| id.map(|id| id as u32).map_err(UnpackError::Read);
        let (uid, gid) = (Uid::from_raw(id(header.uid())?), Gid::from_raw(id(header.gid())?));
        let (mode, time) =
            (header.mode().map_err(UnpackError::Read)?, header.mtime().map_err(UnpackError::Read)?);
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed(path, error))?;
        if kind != EntryType::Symlink {
            let attributes = extended_attributes(entry)?;
            mode_and_attributes(parent, name, kind, mode, &attributes)
                .map_err(|error| failed(path, error))?;
        }
        if kind == EntryType::Directory {
            self.folders.push((path.to_owned(), time));
            return Ok(());
        }
        utimensat(parent, name, &times(time), AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(path, error))
    }

    fn finish(self) -> Result<(), UnpackError> {
        for (path, time) in self.folders.iter().rev() {
            // A folder that a later entry replaced needs no time any more.
            let Ok(folder) = self.open_folder(path) else { continue };
            utimensat(&folder, "", &times(*time), AtFlags::EMPTY_PATH)
                .map_err(|error| failed(path, error))?;
        }
        Ok(())
    }
}

fn times(seconds: u64) -> Timestamps {
    let at = Timespec { tv_sec: seconds as i64, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

fn link_name<R: Read>(entry: &Entry<'_, R>) -> Result<PathBuf, UnpackError> {
    let name = entry.link_name().map_err(UnpackError::Read)?;
    name.map(std::borrow::Cow::into_owned).ok_or_else(|| {
        UnpackError::Read(io::Error::new(io::ErrorKind::InvalidData, "a link without a target"))
    })
}

/// What a name says beyond itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark<'a> {
    None,
    Whiteout(&'a OsStr),
    Opaque,
    /// Notes of the file system aufs, which no other reads.
    Foreign,
}

impl<'a> Mark<'a> {
    /// None where the name would hide what is no name: `.` or `..`.
    fn of(name: &'a OsStr) -> Option<Self> {
        match name.as_bytes() {
            OPAQUE => Some(Self::Opaque),
            name if name.starts_with(b".wh..wh.") => Some(Self::Foreign),
            name => match name.strip_prefix(WHITEOUT) {
                None => Some(Self::None),
                Some(b"" | b"." | b"..") => None,
                Some(hidden) => Some(Self::Whiteout(OsStr::from_bytes(hidden))),
            },
        }
    }
}

fn is_whiteout(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<bool> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
        Ok(found) => {
            let kind = FileType::from_raw_mode(found.st_mode);
            Ok(kind == FileType::CharacterDevice && found.st_rdev == 0)
        }
    }
}

/// Makes room for an entry; a folder may stay where a folder comes.
fn clear(parent: &OwnedFd, name: &OsStr, keep_folder: bool) -> rustix::io::Result<()> {
    let found = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    match (is_folder, keep_folder) {
        (true, true) => Ok(()),
        (true, false) => remove_tree(parent, name),
        (false, _) => unlinkat(parent, name, AtFlags::empty()),
    }
}

fn remove_tree(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
        }
    }
    for inner in names {
        clear(&folder, &inner, false)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// `SCHILY.xattr.` records of the entry's PAX header.
fn extended_attributes<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<(String, Vec<u8>)>, UnpackError> {
    let mut found = Vec::new();
    let Some(records) = entry.pax_extensions().map_err(UnpackError::Read)? else { return Ok(found) };
    for record in records {
        let record = record.map_err(UnpackError::Read)?;
        let name =
            record.key_bytes().strip_prefix(b"SCHILY.xattr.").and_then(|name| std::str::from_utf8(name).ok());
        // Marks of overlayfs would change what the layers below show.
        if let Some(name) = name.filter(|name| !name.starts_with("trusted.overlay.")) {
            found.push((name.to_owned(), record.value_bytes().to_owned()));
        }
    }
    Ok(found)
}

fn mode_and_attributes(
    parent: &OwnedFd,
    name: &OsStr,
    kind: EntryType,
    mode: u32,
    attributes: &[(String, Vec<u8>)],
) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    if matches!(kind, EntryType::Char | EntryType::Block | EntryType::Fifo) {
        // Opening a device or a pipe would do things.
        return rustix::fs::chmodat(parent, name, mode, AtFlags::empty());
    }
    let file = openat(parent, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    for (name, value) in attributes {
        match fsetxattr(file.as_fd(), name.as_str(), value, XattrFlags::empty()) {
            // A file system without this kind of attribute: the file is there all the same.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    fchmod(&file, mode)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
