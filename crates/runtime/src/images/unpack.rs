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
        let given = entry.path().map_err(UnpackError::Read)?.into_owned();
        let path = below_root(&given).ok_or_else(|| UnpackError::EscapesRoot { path: given.clone() })?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else { return Ok(()) };
        let parent = self.parent(&path)?;
        if name.as_bytes() == OPAQUE {
            return self.opaque(&path);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            // `.wh...` would hide the folder above, and `.wh..` the folder itself.
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(UnpackError::EscapesRoot { path: given });
            }
            return whiteout(&parent, OsStr::from_bytes(hidden)).map_err(|error| failed(&path, error));
        }
        let kind = entry.header().entry_type();
        clear(&parent, &name, kind == EntryType::Directory).map_err(|error| failed(&path, error))?;
        self.create(&mut entry, kind, &parent, &name, &path)?;
        if kind == EntryType::Link {
            return Ok(());
        }
        self.metadata(&mut entry, kind, &parent, &name, &path)
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

    fn opaque(&self, path: &Path) -> Result<(), UnpackError> {
        let set = || {
            let folder = path.parent().unwrap_or(Path::new(""));
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat2(&self.root, folder, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
            fsetxattr(&folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())
        };
        set().map_err(|error| failed(path, error))
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

/// Marks a name of a lower layer as gone.
fn whiteout(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    clear(parent, name, false)?;
    mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
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
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use tar::{Builder, Header};

    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o640);
        header.set_mtime(1000);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    /// A path or link target as it stands, checked by nobody.
    fn raw(kind: EntryType, path: &str, target: &str) -> Vec<u8> {
        let mut header = header(kind, 0);
        let fields = header.as_ustar_mut().expect("made as ustar");
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, io::empty()).expect("appends");
        builder.into_inner().expect("finishes")
    }

    fn refused(tar: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        std::fs::create_dir(&root).expect("created");
        std::fs::write(folder.path().join("outside"), "x").expect("written");
        let error = unpack(&mut &tar[..], &root).expect_err("refused");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            2,
            "nothing outside the root"
        );
        error.to_string()
    }

    #[test]
    fn nothing_leaves_the_root() {
        assert_eq!(
            refused(&raw(EntryType::Regular, "../evil", "")),
            r#"entry "../evil" leaves the root of the layer"#
        );
        assert_eq!(
            refused(&raw(EntryType::Regular, "/evil", "")),
            r#"entry "/evil" leaves the root of the layer"#
        );
        assert_eq!(
            refused(&raw(EntryType::Regular, "a/../../evil", "")),
            r#"entry "a/../../evil" leaves the root of the layer"#
        );
        for whiteout in [".wh...", ".wh..", ".wh.", "a/.wh..."] {
            let expected = format!("entry {whiteout:?} leaves the root of the layer");
            assert_eq!(refused(&raw(EntryType::Regular, whiteout, "")), expected);
        }
        assert_eq!(
            refused(&raw(EntryType::Link, "l", "../outside")),
            r#"hard link "l" to "../outside" leaves the root of the layer"#
        );
    }

    #[test]
    fn links_in_the_way_are_followed_below_the_root_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        std::fs::create_dir(&root).expect("created");
        let mut builder = Builder::new(Vec::new());
        let mut link = header(EntryType::Symlink, 0);
        builder.append_link(&mut link, "up", "../..").expect("appends");
        let mut file = header(EntryType::Regular, 4);
        builder.append_data(&mut file, "up/file", &b"text"[..]).expect("appends");
        let tar = builder.into_inner().expect("finishes");
        unpack(&mut &tar[..], &root).expect("unpacks");
        assert_eq!(std::fs::read_to_string(root.join("file")).expect("inside"), "text");
        assert_eq!(std::fs::metadata(root.join("file")).expect("there").permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn whiteouts_become_overlays_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let tar = raw(EntryType::Regular, "a/.wh.gone", "");
        unpack(&mut &tar[..], folder.path()).expect("unpacks");
        let gone = std::fs::symlink_metadata(folder.path().join("a/gone")).expect("there");
        assert_eq!((gone.rdev(), gone.mode() & 0o170_000), (0, 0o020_000));
    }
}
