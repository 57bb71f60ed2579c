//! Which image of an index is this machine's.

use oci_spec::image::{Descriptor, ImageIndex, MediaType};

/// The machine's architecture in OCI's words.
pub(super) const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "arm64",
    _ => "amd64",
};

/// An OCI index or docker's manifest list.
pub(super) fn is_index(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageIndex || media_type.to_string().contains("manifest.list")
}

/// Build records and the like stand beside images, with a platform that says that they are for none.
pub(super) fn is_image(descriptor: &Descriptor) -> bool {
    let os = descriptor.platform().as_ref().map(|platform| platform.os().to_string());
    os.is_none_or(|os| os == "linux") && descriptor.artifact_type().is_none()
}

/// The image for this machine: one that says so, else the first that says nothing.
pub(super) fn choose(index: &ImageIndex) -> Option<&Descriptor> {
    let images = || index.manifests().iter().filter(|found| is_image(found));
    let said = |found: &&Descriptor| {
        found.platform().as_ref().is_some_and(|platform| platform.architecture().to_string() == ARCHITECTURE)
    };
    images().find(said).or_else(|| images().find(|found| found.platform().is_none()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_machines_own_image_is_chosen() {
        let digest = |number: u8| format!("sha256:{}", format!("{number:02x}").repeat(32));
        let entry = |number: u8, platform: Value| {
            let mut entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(number), "size": 1});
            if !platform.is_null() {
                entry["platform"] = platform;
            }
            entry
        };
        let here = || json!({"os": "linux", "architecture": ARCHITECTURE});
        for (entries, expected) in [
            (vec![entry(1, json!({"os": "linux", "architecture": "s390x"})), entry(2, here())], Some(2)),
            (
                vec![entry(1, json!({"os": "windows", "architecture": ARCHITECTURE})), entry(2, here())],
                Some(2),
            ),
            (vec![entry(1, json!({"os": "unknown", "architecture": "unknown"}))], None),
            (vec![entry(1, Value::Null), entry(2, here())], Some(2)),
            (vec![entry(1, Value::Null)], Some(1)),
        ] {
            let index: ImageIndex =
                serde_json::from_value(json!({"schemaVersion": 2, "manifests": entries})).expect("an index");
            assert_eq!(choose(&index).map(|found| found.digest().to_string()), expected.map(digest));
        }
    }
}
