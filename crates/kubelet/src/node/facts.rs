//! What the operating system says about itself.

use std::fs;

use k8s_openapi::api::core::v1::NodeSystemInfo;

/// The release of Kubernetes that this kubelet behaves as.
pub(crate) const VERSION: &str = "v1.36.0";

pub(crate) fn system_info(runtime: &str) -> NodeSystemInfo {
    let uname = rustix::system::uname();
    NodeSystemInfo {
        machine_id: line("/etc/machine-id"),
        system_uuid: Some(line("/sys/class/dmi/id/product_uuid"))
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| line("/etc/machine-id")),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        kernel_version: uname.release().to_string_lossy().into_owned(),
        os_image: os_image(),
        container_runtime_version: runtime.into(),
        kubelet_version: VERSION.into(),
        kube_proxy_version: String::new(),
        operating_system: "linux".into(),
        architecture: architecture().into(),
        ..NodeSystemInfo::default()
    }
}

/// As Go names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Empty where there is no such file: a container or a minimal system.
fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn os_image() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
