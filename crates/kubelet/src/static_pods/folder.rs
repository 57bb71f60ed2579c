//! The folder of manifests: which pods it asks for now.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use stdx::error_chain;

use super::{full_name, manifest};

/// What the files of one folder asked for last, by file.
pub(super) struct Manifests {
    folder: PathBuf,
    node: String,
    known: HashMap<PathBuf, Arc<Pod>>,
}

impl Manifests {
    pub fn new(folder: PathBuf, node: String) -> Self {
        Self { folder, node, known: HashMap::new() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at every file; the pods by full name. A file that cannot be understood keeps its last pod.
    pub fn read(&mut self, now: Timestamp) -> io::Result<BTreeMap<String, Arc<Pod>>> {
        let files = files(&self.folder)?;
        self.known.retain(|path, _| files.contains(path));
        for path in files {
            match self.one(&path, now) {
                Ok(Some(pod)) => drop(self.known.insert(path, pod)),
                Ok(None) => drop(self.known.remove(&path)),
                Err(error) => {
                    tracing::warn!(?path, error = error_chain(&error), "manifest not understood");
                }
            }
        }
        let mut paths: Vec<&PathBuf> = self.known.keys().collect();
        // Of two files with one name the last one counts, always the same.
        paths.sort();
        Ok(paths.into_iter().map(|path| &self.known[path]).map(|pod| (full_name(pod), pod.clone())).collect())
    }

    /// `None` if the file went away.
    fn one(&self, path: &Path, now: Timestamp) -> Result<Option<Arc<Pod>>, manifest::ManifestError> {
        let Ok(bytes) = fs::read(path) else { return Ok(None) };
        let pod = manifest::parse(&bytes, path, &self.node, now)?;
        let same = self.known.get(path).filter(|known| known.metadata.uid == pod.metadata.uid);
        Ok(Some(same.cloned().unwrap_or_else(|| Arc::new(pod))))
    }
}

/// Plain files whose names begin with no dot: those are files in the making.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, image: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}"
        )
    }

    #[test]
    fn follows_its_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut manifests = Manifests::new(dir.path().into(), "n".into());
        let mut names = || -> Vec<String> {
            manifests.read(Timestamp::UNIX_EPOCH).expect("readable").into_keys().collect()
        };
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).expect("written");
        write(".hidden", &manifest("no", "i"));
        write("a.yaml", &manifest("a", "i"));
        assert_eq!(names(), ["a-n_default"]);
        write("b.json", &manifest("b", "i"));
        write("a.yaml", "half a");
        assert_eq!(names(), ["a-n_default", "b-n_default"], "a broken file keeps its pod");
        fs::remove_file(dir.path().join("a.yaml")).expect("removed");
        assert_eq!(names(), ["b-n_default"]);
    }
}
