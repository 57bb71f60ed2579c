//! Archives and registries made up here, against a real store.

mod archives;
mod pulling;
mod registry;

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use stdx::Clock;
use tar::{Builder, EntryType, Header};

use super::{Store, digest};

fn store(folder: &Path) -> Store {
    Store::open(folder, Clock::system()).expect("opens")
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("readable").count()
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn tar<B: AsRef<[u8]>>(files: &[(&str, B)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let content = content.as_ref();
        builder.append_data(&mut header(EntryType::Regular, content.len()), path, content).expect("appends");
    }
    builder.into_inner().expect("finishes")
}

/// A tar of one entry whose path and link target are checked by nobody.
fn raw(kind: EntryType, path: &str, target: &str) -> Vec<u8> {
    let mut header = header(kind, 0);
    let fields = header.as_gnu_mut().expect("made as gnu");
    fields.name[..path.len()].copy_from_slice(path.as_bytes());
    fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, io::empty()).expect("appends");
    builder.into_inner().expect("finishes")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("packs");
                encoder.finish().expect("packs")
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("packs"),
        }
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn described(media: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media, "digest": digest::of(bytes), "size": bytes.len()})
}

/// An image as blobs.
#[derive(Clone)]
struct Built {
    tars: Vec<Vec<u8>>,
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Built {
    fn new(tars: &[Vec<u8>], packing: Packing) -> Self {
        let diff_ids = tars.iter().map(|tar| digest::of(tar)).collect();
        Self::with_diff_ids(tars, packing, diff_ids)
    }

    fn with_diff_ids(tars: &[Vec<u8>], packing: Packing, diff_ids: Vec<String>) -> Self {
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/run"], "User": "7"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
        .into_bytes();
        let layers: Vec<Vec<u8>> = tars.iter().map(|tar| packing.pack(tar)).collect();
        let media = match packing {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let described_layers: Vec<Value> = layers.iter().map(|layer| described(media, layer)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", &config), "layers": described_layers})
        .to_string()
        .into_bytes();
        Self { tars: tars.to_vec(), layers, config, manifest }
    }

    fn id(&self) -> String {
        digest::of(&self.config)
    }

    fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.layers.iter().chain([&self.config, &self.manifest])
    }

    fn docker(&self, name: &str) -> Vec<u8> {
        let names: Vec<String> = (0..self.tars.len()).map(|number| format!("{number}/layer.tar")).collect();
        let saved = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]).to_string();
        let mut files: Vec<(&str, &[u8])> =
            vec![("config.json", &self.config), ("manifest.json", saved.as_bytes())];
        files.extend(names.iter().map(String::as_str).zip(self.tars.iter().map(Vec::as_slice)));
        tar(&files)
    }
}

fn oci(images: &[(&str, &Built)]) -> Vec<u8> {
    let entries: Vec<Value> = images
        .iter()
        .map(|(name, image)| {
            let mut entry = described(MANIFEST, &image.manifest);
            entry["annotations"] = json!({"io.containerd.image.name": name});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string().into_bytes();
    let mut files = vec![("index.json".to_owned(), index)];
    for blob in images.iter().flat_map(|(_, image)| image.blobs()) {
        let path = format!("blobs/sha256/{}", digest::of(blob).trim_start_matches("sha256:"));
        files.push((path, blob.clone()));
    }
    let files: Vec<(&str, &Vec<u8>)> = files.iter().map(|(path, bytes)| (path.as_str(), bytes)).collect();
    tar(&files)
}
