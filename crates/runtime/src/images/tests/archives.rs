//! Import, removal and what lies on disk then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tar::EntryType;

use super::super::layout::Layout;
use super::super::{Images, Store};
use super::{Built, Packing, count, oci, raw, store, tar};

fn import(store: &Store, archive: &[u8]) -> Vec<String> {
    let records =
        store.import(&mut &*archive, |_| {}).unwrap_or_else(|e| panic!("{}", stdx::error_chain(&e)));
    records.into_iter().map(|record| record.id).collect()
}

fn refused(store: &Store, archive: &[u8]) -> String {
    stdx::error_chain(&store.import(&mut &*archive, |_| {}).expect_err("refused"))
}

/// Two layers: the second hides a file of the first and changes another.
fn two_layers() -> [Vec<u8>; 2] {
    [tar(&[("gone", "1"), ("changed", "old"), ("kept", "k")]), tar(&[(".wh.gone", ""), ("changed", "new")])]
}

#[tokio::test]
async fn every_form_and_packing_gives_the_same_root() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let image = Built::new(&two_layers(), packing);
        for (form, archive) in
            [("docker", image.docker("x.test/a:1")), ("oci", oci(&[("x.test/a:1", &image)]))]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let store = store(folder.path());
            // The archive itself may be packed too.
            assert_eq!(import(&store, &packing.pack(&archive)), [image.id()], "{form} {packing:?}");
            let root = store.prepare_rootfs("x.test/a:1", "c").await.expect("mounts");
            let names: Vec<_> =
                fs::read_dir(&root.path).expect("readable").map(|e| e.expect("entry").file_name()).collect();
            assert_eq!(names.len(), 2, "{form} {packing:?}: {names:?}");
            assert_eq!(fs::read_to_string(root.path.join("changed")).expect("there"), "new");
            assert_eq!((root.user.as_str(), &root.cmd[..]), ("7", &["/run".to_owned()][..]));
            store.remove_rootfs("c").await.expect("unmounts");
        }
    }
}

#[tokio::test]
async fn shared_layers_are_unpacked_once_and_stay_while_one_image_needs_them() {
    let [first, second] = two_layers();
    let (small, large) = (
        Built::new(std::slice::from_ref(&first), Packing::Gzip),
        Built::new(&[first, second], Packing::Gzip),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let (layers, blobs) = (folder.path().join("l"), folder.path().join("blobs"));
    import(&store, &oci(&[("small", &small), ("large", &large)]));
    assert_eq!((count(&layers), count(&blobs)), (2, 4));
    assert!(store.forget("small").expect("removes"));
    assert_eq!((count(&layers), count(&blobs)), (2, 2));
    assert!(store.forget("docker.io/library/large:latest").expect("removes"));
    assert_eq!((count(&layers), count(&blobs)), (0, 0));
    assert!(!store.forget("large").expect("nothing to do"));
}

#[tokio::test]
async fn a_name_moves_to_the_image_imported_last() {
    let [first, second] = two_layers();
    let (old, new) = (Built::new(&[first], Packing::Plain), Built::new(&[second], Packing::Plain));
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    import(&store, &old.docker("app:1"));
    import(&store, &new.docker("app:1"));
    let found = store.status("app:1").await.expect("answers").expect("there");
    assert_eq!((found.id, found.repo_tags), (new.id(), vec!["docker.io/library/app:1".to_owned()]));
    let nameless = store.status(&old.id()).await.expect("answers").expect("there");
    assert!(nameless.repo_tags.is_empty());
}

#[test]
fn archives_that_lead_outside_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("store");
    fs::create_dir(&root).expect("made");
    fs::write(folder.path().join("outside"), "untouched").expect("written");
    let store = store(&root);
    let layer = |kind, path, target| Built::new(&[raw(kind, path, target)], Packing::Gzip);
    let long = "../".repeat(12);
    let planted =
        |diff_id: &str| Built::with_diff_ids(&[tar(&[("a", "b")])], Packing::Plain, vec![diff_id.into()]);
    for (archive, expected) in [
        (raw(EntryType::Regular, "../evil", ""), r#"entry "../evil" leaves the archive"#),
        (raw(EntryType::Regular, "/evil", ""), r#"entry "/evil" leaves the archive"#),
        (raw(EntryType::Link, "a", "../../outside"), r#"entry "a" leaves the archive"#),
        (raw(EntryType::Symlink, "a", "/etc/passwd"), r#"entry "a" leaves the archive"#),
        (
            oci(&[("x", &layer(EntryType::Regular, "../evil", ""))]),
            r#"entry "../evil" leaves the root of the layer"#,
        ),
        (layer(EntryType::Regular, "/evil", "").docker("x"), r#"entry "/evil" leaves the root of the layer"#),
        (
            layer(EntryType::Link, "a", "../../../outside").docker("x"),
            r#"hard link "a" to "../../../outside" leaves the root of the layer"#,
        ),
        (
            layer(EntryType::Regular, ".wh...", "").docker("x"),
            r#"entry ".wh..." leaves the root of the layer"#,
        ),
        // The names of layers become paths.
        (oci(&[("x", &planted(&long))]), "in the image's configuration is no digest"),
        (
            planted("sha256:../../../../../../../../../etc").docker("x"),
            "in the image's configuration is no digest",
        ),
    ] {
        let text = refused(&store, &archive);
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("outside")).expect("there"), "untouched");
    assert_eq!(count(folder.path()), 2, "nothing beside the store");
    for part in ["l", "blobs", "tmp"] {
        assert_eq!(count(&root.join(part)), 0, "{part}");
    }
}

#[test]
fn what_is_no_image_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let good = Built::new(&[tar(&[("a", "b")])], Packing::Gzip);
    let text = refused(&store, &tar(&[("readme", "hello")]));
    assert_eq!(text, "this is no image archive: it has neither index.json nor manifest.json");
    let mut cut = oci(&[("x", &good)]);
    cut.truncate(1500);
    assert!(refused(&store, &cut).starts_with("cannot read the archive"));
    let mut fewer = good.clone();
    fewer.layers.clear();
    let text = refused(&store, &oci(&[("x", &fewer)]));
    assert!(text.contains("is missing from the archive"), "{text}");
    let mut other = good.clone();
    other.config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
    let text = refused(&store, &other.docker("x"));
    assert!(text.contains("the image has 1 layers but its configuration names 0"), "{text}");
    assert_eq!(count(&folder.path().join("tmp")), 0);
}

/// A file system of a few pages, unmounted with the test.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &std::ffi::CStr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), size).expect("mounts");
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // The folder's own removal says what went wrong.
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_no_half_layer() {
    let place = Small::new(c"size=2m");
    let store = store(&place.path());
    let zeros = Built::new(&[tar(&[("zeros", vec![0; 4 << 20])])], Packing::Gzip);
    // Small as an archive, too large unpacked.
    let text = refused(&store, &oci(&[("zeros", &zeros)]));
    assert!(text.contains(r#"no space left to unpack "zeros""#), "{text}");
    // Too large as it comes.
    assert_eq!(refused(&store, &zeros.docker("zeros")), "no space left to unpack the archive");
    for part in ["l", "blobs", "tmp"] {
        assert_eq!(count(&place.path().join(part)), 0, "{part}");
    }
    import(&store, &oci(&[("small", &Built::new(&two_layers(), Packing::Gzip))]));
}

#[tokio::test]
async fn images_of_many_layers_and_of_none_can_be_mounted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let tars: Vec<Vec<u8>> = (0..129).map(|n| tar(&[(format!("f{n}").as_str(), "x")])).collect();
    let id = "c".repeat(64);
    for (layers, expected) in [(0, Ok(0)), (1, Ok(1)), (128, Ok(128)), (129, Err("the image has 129 layers"))]
    {
        import(&store, &Built::new(&tars[..layers], Packing::Plain).docker("many"));
        let mounted = store.prepare_rootfs("many", &id).await;
        match (mounted, expected) {
            (Ok(root), Ok(files)) => assert_eq!(count(&root.path), files),
            (Err(error), Err(expected)) => {
                let text = stdx::error_chain(&error);
                assert!(text.contains(expected), "{text}");
            }
            (mounted, expected) => panic!("{mounted:?} is not {expected:?}"),
        }
        let volume = store.prepare_volume("many", &id).await;
        assert_eq!(volume.map(|path| count(&path)).ok(), expected.ok());
        store.remove_rootfs(&id).await.expect("unmounts");
    }
}

/// What an import has put in place and not named yet survives a removal, and goes once the import is dead.
#[test]
fn removal_waits_for_imports_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    import(&store, &Built::new(&two_layers(), Packing::Gzip).docker("a"));
    let layout = Layout::open(folder.path()).expect("opens");
    let under_way = layout.naming().expect("locks");
    let half_named = folder.path().join("l/half-named");
    fs::create_dir(&half_named).expect("made");
    assert!(store.forget("a").expect("removes"));
    assert!(half_named.exists() && count(&folder.path().join("l")) == 3);
    drop(under_way);
    Store::open(folder.path(), stdx::Clock::system()).expect("opens again");
    assert_eq!(count(&folder.path().join("l")), 0);
}

/// Two clients of one folder, as the runtime and `dromon image` are.
#[test]
fn several_imports_at_once_leave_one_of_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let content: Vec<u8> =
        (0..1 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let image = Built::new(&[tar(&[("data", content)])], Packing::Gzip);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (image, path) = (&image, folder.path());
            scope.spawn(move || import(&store(path), &image.docker(&format!("many:{number}"))));
        }
    });
    let index = store(folder.path()).index().expect("reads");
    let record = index.images.get(&image.id()).expect("there");
    assert_eq!(
        (record.names.len(), count(&folder.path().join("l")), count(&folder.path().join("tmp"))),
        (4, 1, 0)
    );
    let layer =
        fs::read_dir(folder.path().join("l")).expect("readable").next().expect("one").expect("entry").path();
    assert_eq!(fs::metadata(Path::new(&layer).join("data")).expect("there").size(), 1 << 20);
}
