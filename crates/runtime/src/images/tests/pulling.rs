//! Pulls from a registry on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci_client::secrets::RegistryAuth;
use serde_json::json;

use super::super::{Images, Progress, PullError, Record, Store, digest};
use super::registry::{Behavior, Registry};
use super::{Built, MANIFEST, Packing, count, described, store, tar};

fn noise(seed: u32) -> Vec<u8> {
    (0..200_000).map(|n: u32| (n ^ seed).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn image(packing: Packing) -> Built {
    Built::new(&[tar(&[("one", noise(1))]), tar(&[("two", noise(2))])], packing)
}

fn quiet() -> Progress {
    Arc::new(|_, _| {})
}

async fn pull(store: &Store, name: &str) -> Result<Record, PullError> {
    store.fetch(name, RegistryAuth::Anonymous, quiet()).await
}

async fn pulled(store: &Store, name: &str) -> Record {
    pull(store, name).await.unwrap_or_else(|error| panic!("{}", stdx::error_chain(&error)))
}

async fn refused(store: &Store, name: &str) -> String {
    stdx::error_chain(&pull(store, name).await.expect_err("refused"))
}

struct Here {
    folder: tempfile::TempDir,
    store: Store,
    registry: Registry,
}

async fn here(behavior: Behavior) -> Here {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    Here { folder, store, registry: Registry::start(behavior).await }
}

#[tokio::test]
async fn an_image_of_an_index_is_pulled_with_a_token_and_its_layers_only_once() {
    let Here { folder, store, registry } = here(Behavior { token: Some(None), ..Behavior::default() }).await;
    let image = image(Packing::Zstd);
    registry.add("own", &image);
    let mut own = described(MANIFEST, &image.manifest);
    own["platform"] = json!({"os": "linux", "architecture": super::super::platform::ARCHITECTURE});
    let mut other = described(MANIFEST, b"other");
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let media = "application/vnd.oci.image.index.v1+json";
    let index =
        json!({"schemaVersion": 2, "mediaType": media, "manifests": [other, own]}).to_string().into_bytes();
    registry.add_manifest("1", media, &index);
    let name = registry.name("team/app:1");
    let (most, all) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (heard_most, heard_all) = (most.clone(), all.clone());
    let progress: Progress = Arc::new(move |done, total| {
        heard_most.fetch_max(done, Ordering::Relaxed);
        heard_all.store(total, Ordering::Relaxed);
    });
    let record = store.fetch(&name, RegistryAuth::Anonymous, progress).await.expect("pulls");
    let size: u64 = image.layers.iter().map(|layer| layer.len() as u64).sum();
    assert_eq!((most.load(Ordering::Relaxed), all.load(Ordering::Relaxed)), (size, size));
    assert_eq!((record.id, record.names), (image.id(), vec![name.clone()]));
    // What the name stands for is the index.
    assert_eq!(record.digests, [format!("{}@{}", registry.name("team/app"), digest::of(&index))]);
    assert_eq!(registry.blobs_asked().len(), 2);
    pulled(&store, &name).await;
    let by_digest = registry.name(&format!("team/app@{}", digest::of(&image.manifest)));
    assert!(pulled(&store, &by_digest).await.digests.contains(&by_digest));
    assert_eq!(registry.blobs_asked().len(), 2, "the layers are there already");
    let root = store.prepare_rootfs(&by_digest, "c").await.expect("mounts");
    assert_eq!(std::fs::read(root.path.join("two")).expect("there"), noise(2));
    store.remove_rootfs("c").await.expect("unmounts");
    assert_eq!(count(&folder.path().join("tmp")), 0);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_ended() {
    let Here { folder: _folder, store, registry } =
        here(Behavior { broken: 3, unavailable: 2, ..Behavior::default() }).await;
    let image = Built::new(&[tar(&[("one", noise(1))])], Packing::Gzip);
    registry.add("1", &image);
    assert_eq!(pulled(&store, &registry.name("app:1")).await.id, image.id());
    let asked = registry.blobs_asked();
    assert!(asked[0].ends_with(" whole"), "{asked:?}");
    assert!(asked.len() == 4 && asked[1..].iter().all(|asked| asked.contains("bytes=")), "{asked:?}");
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_again_from_the_start() {
    let Here { folder: _folder, store, registry } =
        here(Behavior { broken: 1, no_ranges: true, ..Behavior::default() }).await;
    let image = Built::new(&[tar(&[("one", noise(1))])], Packing::Gzip);
    registry.add("1", &image);
    assert_eq!(pulled(&store, &registry.name("app:1")).await.id, image.id());
    assert_eq!(registry.blobs_asked().len(), 2);
}

#[tokio::test]
async fn a_registry_that_never_gets_well_is_given_up() {
    let Here { folder, store, registry } =
        here(Behavior { broken: 100, no_ranges: true, ..Behavior::default() }).await;
    // Half of what there is comes each time, and each time from the start: that is no progress.
    registry.add("1", &Built::new(&[tar(&[("one", noise(1))])], Packing::Gzip));
    let text = refused(&store, &registry.name("app:1")).await;
    assert!(text.starts_with("failed to copy blob sha256:"), "{text}");
    assert_eq!((count(&folder.path().join("tmp")), count(&folder.path().join("l"))), (0, 0));
}

#[tokio::test]
async fn what_another_pull_fetches_is_not_fetched_again() {
    let Here { folder: _folder, store, registry } = here(Behavior::default()).await;
    registry.add("1", &image(Packing::Gzip));
    registry.add("2", &Built::new(&[tar(&[("one", noise(1))]), tar(&[("three", "3")])], Packing::Gzip));
    let (one, two) = (registry.name("app:1"), registry.name("app:2"));
    let (a, b, c) = tokio::join!(pull(&store, &one), pull(&store, &two), pull(&store, &one));
    for result in [a, b, c] {
        result.unwrap_or_else(|error| panic!("{}", stdx::error_chain(&error)));
    }
    let mut asked = registry.blobs_asked();
    asked.sort();
    asked.dedup();
    assert_eq!((asked.len(), registry.blobs_asked().len()), (3, 3), "{asked:?}");
}

#[tokio::test]
async fn refusals_are_said_in_containerds_words() {
    let Here { folder, store, registry } = here(Behavior::default()).await;
    let name = registry.name("app:none");
    assert_eq!(
        refused(&store, &name).await,
        format!("failed to resolve reference \"{name}\": {name}: not found")
    );
    let gone = format!("127.0.0.1:{}/app:1", closed_port());
    let text = refused(&store, &gone).await;
    assert!(text.starts_with(&format!("failed to resolve reference \"{gone}\"")), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
    let text = refused(&store, "not a name").await;
    assert_eq!(text, "couldn't parse image name \"not a name\": invalid reference format");
    assert_eq!(count(&folder.path().join("tmp")), 0);
}

fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn credentials_open_the_door() {
    let right = RegistryAuth::Basic("me".into(), "secret".into());
    let wrong = RegistryAuth::Basic("me".into(), "guess".into());
    for behavior in [
        Behavior { token: Some(Some(("me", "secret"))), ..Behavior::default() },
        Behavior { basic: Some(("me", "secret")), ..Behavior::default() },
    ] {
        let Here { folder: _folder, store, registry } = here(behavior).await;
        registry.add("1", &image(Packing::Gzip));
        let name = registry.name("app:1");
        for auth in [RegistryAuth::Anonymous, wrong.clone()] {
            let error = store.fetch(&name, auth, quiet()).await.expect_err("refused");
            assert!(matches!(error, PullError::Denied { .. }), "{}", stdx::error_chain(&error));
        }
        store.fetch(&name, right.clone(), quiet()).await.expect("pulls");
    }
}

#[tokio::test]
async fn a_registry_that_gives_something_else_is_caught() {
    let built = image(Packing::Gzip);
    let mut other = built.layers[0].clone();
    *other.last_mut().expect("not empty") ^= 1;
    for wrong in [other, vec![7; built.layers[0].len()], b"short".to_vec(), vec![7; 1 << 20]] {
        let Here { folder, store, registry } =
            here(Behavior { wrong: Some(wrong), ..Behavior::default() }).await;
        registry.add("1", &Built { tars: built.tars.clone(), ..image(Packing::Gzip) });
        let text = refused(&store, &registry.name("app:1")).await;
        assert!(text.starts_with("failed to copy blob sha256:"), "{text}");
        assert_eq!((count(&folder.path().join("tmp")), count(&folder.path().join("l"))), (0, 0));
        assert!(store.index().expect("reads").images.is_empty());
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_where_it_lacks_the_image() {
    let Here { folder, store, registry } = here(Behavior::default()).await;
    let mirror = Registry::start(Behavior::default()).await;
    let (image, other) = (image(Packing::Gzip), Built::new(&[tar(&[("x", "y")])], Packing::Gzip));
    mirror.add("1", &image);
    registry.add("2", &other);
    let file = json!({"mirrors": {registry.address.to_string(): [format!("http://{}", mirror.address)]}});
    std::fs::write(folder.path().join("registries.json"), file.to_string()).expect("written");
    let record = pulled(&store, &registry.name("app:1")).await;
    assert_eq!(record.names, [registry.name("app:1")]);
    assert_eq!(pulled(&store, &registry.name("app:2")).await.id, other.id());
    assert_eq!((mirror.blobs_asked().len(), registry.blobs_asked().len()), (2, 1));
}

#[tokio::test]
async fn a_registry_of_an_own_authority_is_trusted_when_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let (registry, authority) = Registry::start_tls(Behavior::default()).await;
    registry.add("1", &image(Packing::Gzip));
    let name = registry.name("app:1");
    let settings = |value: serde_json::Value| {
        std::fs::write(folder.path().join("registries.json"), value.to_string()).expect("written");
    };
    settings(json!({"mirrors": {registry.address.to_string(): [format!("https://{}", registry.address)]},
        "plainHttp": []}));
    let text = refused(&store, &name).await;
    assert!(text.starts_with(&format!("failed to resolve reference \"{name}\"")), "{text}");
    settings(json!({"authorities": {registry.address.to_string(): "ca.pem"}}));
    assert!(refused(&store, &name).await.contains("cannot read the registry's authority"));
    std::fs::write(folder.path().join("ca.pem"), authority).expect("written");
    pulled(&store, &name).await;
}
