//! The program that the tests run as server and as shim: `runtime-helper serve ROOT`, `runtime-helper shim DIR`.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri::v1;
use network::{Attachment, Pod, PodNetwork};
use runtime::Config;
use runtime::images::{Error, Images, Rootfs, Usage};
use stdx::{Clock, Random, Shutdown};

fn main() -> Result<(), Box<dyn StdError>> {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("shim") => std::process::exit(runtime::shim_main(&args[2..])),
        Some("serve") => serve(Path::new(&args[2])),
        _ => Err("usage: runtime-helper serve ROOT | shim DIR".into()),
    }
}

fn serve(root: &Path) -> Result<(), Box<dyn StdError>> {
    let (_trigger, shutdown) = Shutdown::new();
    let (ready, _) = tokio::sync::oneshot::channel();
    let config = Config {
        root: root.join("runtime"),
        socket: root.join("cri.sock"),
        cgroup_parent: format!("/{}", root.file_name().unwrap_or_default().to_string_lossy()),
        shim: vec![std::env::current_exe()?.into(), "shim".into()],
        images: Arc::new(Busybox { root: root.join("rootfs") }),
        network: Arc::new(NoNetwork),
        clock: Clock::system(),
        random: Random::system(),
    };
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(tokio.block_on(runtime::serve(config, shutdown, ready))?)
}

/// One image, `busybox`: folders with the host's static busybox.
struct Busybox {
    root: PathBuf,
}

impl Busybox {
    fn make(&self, id: &str) -> std::io::Result<PathBuf> {
        let root = self.root.join(id);
        for folder in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::copy("/usr/bin/busybox", root.join("bin/busybox"))?;
        for name in [
            "sh", "cat", "echo", "sleep", "id", "hostname", "ls", "mount", "touch", "stty", "head", "nc",
            "wc",
        ] {
            symlink("busybox", root.join("bin").join(name))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:w:/srv:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\nstaff:x:50:web\n")?;
        Ok(root)
    }
}

fn failed(step: &str) -> impl FnOnce(std::io::Error) -> Error {
    let step = step.to_owned();
    move |source| Error::Failed { step, source: source.into() }
}

#[async_trait::async_trait]
impl Images for Busybox {
    async fn prepare_rootfs(&self, image: &str, id: &str) -> Result<Rootfs, Error> {
        if image != "busybox" {
            return Err(Error::NotFound { image: image.to_owned() });
        }
        let path = self.make(id).map_err(failed("cannot make the root"))?;
        Ok(Rootfs {
            path,
            image_id: "sha256:1".to_owned(),
            env: vec!["FROM=image".to_owned()],
            ..Rootfs::default()
        })
    }
    async fn remove_rootfs(&self, id: &str) -> Result<(), Error> {
        match fs::remove_dir_all(self.root.join(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("cannot remove the root")(error))
            }
            _ => Ok(()),
        }
    }
    async fn prepare_volume(&self, image: &str, _: &str) -> Result<PathBuf, Error> {
        Err(Error::NotFound { image: image.to_owned() })
    }
    async fn rootfs_usage(&self, _: &str) -> Result<Usage, Error> {
        Ok(Usage::default())
    }
    async fn retain(&self, _: &HashSet<String>) -> Result<(), Error> {
        Ok(())
    }
    async fn list(&self, _: Option<&str>) -> Result<Vec<v1::Image>, Error> {
        Ok(Vec::new())
    }
    async fn status(&self, _: &str) -> Result<Option<v1::Image>, Error> {
        Ok(None)
    }
    async fn pull(&self, image: &v1::ImageSpec, _: Option<&v1::AuthConfig>) -> Result<String, Error> {
        Err(Error::NotFound { image: image.image.clone() })
    }
    async fn remove(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    async fn fs_info(&self) -> Result<v1::ImageFsInfoResponse, Error> {
        Ok(v1::ImageFsInfoResponse::default())
    }
}

/// Sandboxes with a loopback interface and no more.
struct NoNetwork;

#[async_trait::async_trait]
impl PodNetwork for NoNetwork {
    async fn attach(&self, _: &Pod) -> Result<Attachment, network::Error> {
        Ok(Attachment::default())
    }
    async fn detach(&self, _: &Pod) -> Result<(), network::Error> {
        Ok(())
    }
    fn not_ready(&self) -> Option<String> {
        None
    }
    fn set_pod_cidr(&self, _: &str) -> Result<(), network::Error> {
        Ok(())
    }
}
