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
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 2, "nothing outside the root");
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

fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::lgetxattr(folder, "trusted.overlay.opaque", &mut value).is_ok_and(|_| value == *b"y")
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    for order in [["d/.wh.x", "d/x/"], ["d/x/", "d/.wh.x"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut builder = Builder::new(Vec::new());
        for path in order {
            let kind = if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
            builder.append_data(&mut header(kind, 0), path, io::empty()).expect("appends");
        }
        builder.append_data(&mut header(EntryType::Regular, 1), "d/x/own", &b"1"[..]).expect("appends");
        unpack(&mut &builder.into_inner().expect("finishes")[..], folder.path()).expect("unpacks");
        assert!(folder.path().join("d/x/own").is_file(), "{order:?}");
        assert!(is_opaque(&folder.path().join("d/x")), "{order:?}");
    }
}

#[test]
fn whiteouts_of_no_name_are_refused_and_foreign_marks_ignored() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        assert_eq!(
            refused(&raw(EntryType::Regular, name, "")),
            format!("entry {name:?} leaves the root of the layer")
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (kind, path) in
        [(EntryType::Regular, ".wh..wh.plnk"), (EntryType::XGlobalHeader, "pax_global_header")]
    {
        unpack(&mut &raw(kind, path, "")[..], folder.path()).expect("unpacks");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn owners_modes_links_devices_and_attributes_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut builder = Builder::new(Vec::new());
    let mut file = header(EntryType::Regular, 2);
    file.set_mode(0o4755);
    file.set_uid(12);
    file.set_gid(34);
    let attributes =
        [("SCHILY.xattr.user.note", &b"kept"[..]), ("SCHILY.xattr.trusted.overlay.opaque", b"y")];
    builder.append_pax_extensions(attributes).expect("appends");
    builder.append_data(&mut file, "bin/tool", &b"#!"[..]).expect("appends");
    builder.append_link(&mut header(EntryType::Link, 0), "bin/same", "bin/tool").expect("appends");
    builder.append_link(&mut header(EntryType::Symlink, 0), "etc", "/bin").expect("appends");
    let mut device = header(EntryType::Char, 0);
    device.set_device_major(1).expect("a number");
    device.set_device_minor(3).expect("a number");
    builder.append_data(&mut device, "null", io::empty()).expect("appends");
    unpack(&mut &builder.into_inner().expect("finishes")[..], folder.path()).expect("unpacks");
    let found = |name: &str| std::fs::symlink_metadata(folder.path().join(name)).expect("there");
    let tool = found("bin/tool");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4755, 12, 34, 1000));
    assert_eq!(found("bin/same").ino(), tool.ino());
    assert_eq!(std::fs::read_link(folder.path().join("etc")).expect("a link"), Path::new("/bin"));
    assert_eq!((found("null").rdev(), found("null").mode() & 0o777), (makedev(1, 3), 0o640));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(folder.path().join("bin/tool"), "user.note", &mut value);
    assert_eq!(length.map(|length| value[..length].to_vec()), Ok(b"kept".to_vec()));
    assert!(!is_opaque(&folder.path().join("bin/tool")));
}
