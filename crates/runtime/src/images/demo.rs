//! An image made from this program, so that a first example runs without a registry.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::digest;

/// The name under which the demo image is imported.
pub const DEMO_IMAGE: &str = "dromon.dev/demo:latest";
/// Where the program stands in it.
const PROGRAM: &str = "dromon";

/// An OCI archive with the program and, where it is linked dynamically, what it needs to start.
pub fn demo_archive(program: &Path) -> io::Result<Vec<u8>> {
    let layer = layer(program)?;
    let diff_id = digest::of(&layer);
    let config = json!({
        "architecture": super::platform::ARCHITECTURE, "os": "linux",
        "config": {"Entrypoint": [format!("/{PROGRAM}")], "Cmd": ["demo", "serve"], "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    })
    .to_string()
    .into_bytes();
    let described = |media: &str, bytes: &[u8]| json!({"mediaType": media, "digest": digest::of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string()
    .into_bytes();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": DEMO_IMAGE});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, Path::new("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    add(&mut archive, Path::new("index.json"), &index, 0o644)?;
    for blob in [&config, &manifest, &layer] {
        let path = format!("blobs/sha256/{}", digest::of(blob).trim_start_matches("sha256:"));
        add(&mut archive, Path::new(&path), blob, 0o644)?;
    }
    archive.into_inner()
}

fn layer(program: &Path) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for folder in ["tmp", "etc", "proc", "sys", "dev"] {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(if folder == "tmp" { 0o1777 } else { 0o755 });
        header.set_size(0);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        layer.append_data(&mut header, folder, io::empty())?;
    }
    add(&mut layer, Path::new(PROGRAM), &fs::read(program)?, 0o755)?;
    for library in libraries()? {
        let inside = library.strip_prefix("/").unwrap_or(&library);
        add(&mut layer, inside, &fs::read(&library)?, 0o755)?;
    }
    layer.into_inner()
}

/// The loader and the libraries that this process has mapped; none for a static program.
fn libraries() -> io::Result<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.starts_with('/') && path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    found.sort();
    found.dedup();
    // The kernel looks for the loader under this name.
    let loader = PathBuf::from("/lib64/ld-linux-x86-64.so.2");
    if !found.is_empty() && loader.exists() && !found.contains(&loader) {
        found.push(loader);
    }
    Ok(found)
}

fn add(archive: &mut Builder<Vec<u8>>, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, path, bytes)
}
