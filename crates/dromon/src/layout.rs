//! What lies where under a cluster's folder.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The folder, made if it is not there, closed to others.
    pub fn create(root: &Path) -> Result<Self> {
        let build = fs::DirBuilder::new().recursive(true).mode(0o711).create(root);
        build.with_context(|| format!("cannot create {}", root.display()))?;
        // Containers of other users must reach their own volumes below; what is secret is closed on its own.
        fs::set_permissions(root, fs::Permissions::from_mode(0o711))
            .with_context(|| format!("cannot set the mode of {}", root.display()))?;
        let layout = Self::at(root)?;
        for folder in [layout.run(), layout.logs()] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(layout)
    }

    /// The folder as it is; its path is made absolute, since mounts and cgroups are named after it.
    pub fn at(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("admin.kubeconfig")
    }

    pub fn pid(&self) -> PathBuf {
        self.root.join("dromon.pid")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("dromon.log")
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn kubelet(&self) -> PathBuf {
        self.root.join("kubelet")
    }

    /// Folders that claims stand for.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    pub fn images(&self) -> PathBuf {
        self.runtime().join("images")
    }

    pub fn addresses(&self) -> PathBuf {
        self.root.join("network")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs/pods")
    }

    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Noted while the loopback device has an address of ours.
    pub fn dns_address(&self) -> PathBuf {
        self.run().join("dns.address")
    }

    pub fn cri_socket(&self) -> PathBuf {
        self.run().join("cri.sock")
    }

    /// Short, stable, and different for different folders: the default folder has none.
    pub fn suffix(&self) -> String {
        if self.root == Path::new("/var/lib/dromon") {
            return String::new();
        }
        let bytes = self.root.as_os_str().as_encoded_bytes();
        let hash = bytes
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        format!("-{hash:08x}")
    }

    /// The pod network's bridge: `cni0` of the default folder. Device names have 15 letters at most.
    pub fn bridge(&self) -> String {
        match self.suffix().as_str() {
            "" => "cni0".into(),
            suffix => format!("cni{suffix}"),
        }
    }

    /// The nftables table.
    pub fn table(&self) -> String {
        format!("dromon{}", self.suffix())
    }

    /// The cgroup of all pods.
    pub fn cgroup(&self) -> String {
        format!("kubepods{}", self.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that depended on which other clusters run would be another one at the reset.
    #[test]
    fn each_folder_has_a_bridge_of_its_own() {
        let bridge = |folder: &str| Layout::at(Path::new(folder)).expect("absolute").bridge();
        assert_eq!(bridge("/var/lib/dromon"), "cni0");
        let (one, two) = (bridge("/tmp/one"), bridge("/tmp/two"));
        assert!(one != two && one.starts_with("cni-") && one.len() <= 15, "{one} {two}");
    }
}
