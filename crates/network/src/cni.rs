//! The pod network as a CNI plugin: a program that any runtime may call.
//!
//! CNI 1.1.0 and below: the command comes by environment, the network's configuration by standard input, the result
//! goes to standard output. The configuration's own fields: `bridge`, `mtu`, `ipam.subnet` (wanted), `dataDir`.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::bridge::{Bridge, Config};
use crate::cidr::{CidrError, Ipv4Cidr};
use crate::{Attachment, Pod, PodNetwork};

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const INTERFACE: &str = "eth0";

/// Why a call failed; the numbers are the specification's.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    #[error("incompatible CNI versions: config is {0:?}, plugin supports {VERSIONS:?}")]
    Version(String),
    #[error("required env variables [{0}] missing")]
    Missing(&'static str),
    #[error("{name} cannot be {value:?}")]
    Environment { name: &'static str, value: String },
    #[error("cannot read the network configuration")]
    Read(#[source] io::Error),
    #[error("cannot understand the network configuration")]
    Decode(#[source] serde_json::Error),
    #[error("invalid ipam.subnet")]
    Subnet(#[source] CidrError),
    #[error("cannot run")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Network(#[from] crate::Error),
}

impl CniError {
    fn code(&self) -> u32 {
        match self {
            Self::Version(_) => 1,
            Self::Missing(_) | Self::Environment { .. } => 4,
            Self::Read(_) => 5,
            Self::Decode(_) => 6,
            Self::Subnet(_) => 7,
            Self::Start(_) | Self::Network(_) => 100,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conf {
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    name: String,
    #[serde(default = "default_bridge")]
    bridge: String,
    #[serde(default = "default_mtu")]
    mtu: u32,
    #[serde(default)]
    ipam: Ipam,
    data_dir: Option<PathBuf>,
    #[serde(rename = "cni.dev/valid-attachments", default)]
    valid_attachments: Vec<ValidAttachment>,
}

#[derive(Debug, Default, Deserialize)]
struct Ipam {
    #[serde(default)]
    subnet: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
}

fn default_bridge() -> String {
    "cni0".into()
}

fn default_mtu() -> u32 {
    1500
}

/// Serves one call; answers the exit code.
pub fn run(env: &dyn Fn(&str) -> Option<String>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> i32 {
    let (version, result) = match read(stdin) {
        Ok(conf) => (conf.cni_version.clone(), call(env, &conf)),
        Err(error) => (String::new(), Err(error)),
    };
    let (code, answer) = match result {
        Ok(answer) => (0, answer),
        Err(error) => (1, failure(&version, &error)),
    };
    let text = if answer.is_null() { String::new() } else { format!("{answer}\n") };
    match stdout.write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => 1,
    }
}

fn failure(version: &str, error: &CniError) -> Value {
    let version = if VERSIONS.contains(&version) { version } else { "1.0.0" };
    json!({"cniVersion": version, "code": error.code(), "msg": stdx::error_chain(error)})
}

fn read(stdin: &mut dyn Read) -> Result<Conf, CniError> {
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(CniError::Read)?;
    serde_json::from_slice(&bytes).map_err(CniError::Decode)
}

fn call(env: &dyn Fn(&str) -> Option<String>, conf: &Conf) -> Result<Value, CniError> {
    let command = env("CNI_COMMAND").ok_or(CniError::Missing("CNI_COMMAND"))?;
    if command == "VERSION" {
        let version = if VERSIONS.contains(&conf.cni_version.as_str()) { &conf.cni_version } else { "1.0.0" };
        return Ok(json!({"cniVersion": version, "supportedVersions": VERSIONS}));
    }
    if !VERSIONS.contains(&conf.cni_version.as_str()) {
        return Err(CniError::Version(conf.cni_version.clone()));
    }
    let bridge = Bridge::new(conf.network());
    match command.as_str() {
        "ADD" => {
            let pod = pod(env)?;
            bridge.set_pod_cidr(&conf.ipam.subnet)?;
            let attachment = wait(bridge.attach(&pod))??;
            conf.result(&pod, &attachment)
        }
        "DEL" => {
            let pod = pod_to_remove(env)?;
            bridge.resume(conf.range()?)?;
            wait(bridge.detach(&pod))??;
            Ok(Value::Null)
        }
        "CHECK" => {
            let pod = pod(env)?;
            bridge.resume(conf.range()?)?;
            bridge.check(&pod)?;
            Ok(Value::Null)
        }
        "GC" => {
            bridge.resume(conf.range()?)?;
            let live: HashSet<String> =
                conf.valid_attachments.iter().map(|valid| valid.container_id.clone()).collect();
            bridge.retain(&live)?;
            Ok(Value::Null)
        }
        "STATUS" => conf.range().map(|_| Value::Null),
        _ => Err(CniError::Environment { name: "CNI_COMMAND", value: command }),
    }
}

/// Waits for one thing on this thread.
fn wait<T>(work: impl Future<Output = T>) -> Result<T, CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(CniError::Start)?.block_on(work))
}

fn pod(env: &dyn Fn(&str) -> Option<String>) -> Result<Pod, CniError> {
    let netns = env("CNI_NETNS").filter(|path| !path.is_empty()).ok_or(CniError::Missing("CNI_NETNS"))?;
    Ok(Pod { netns: netns.into(), ..pod_to_remove(env)? })
}

/// When a pod goes, its namespace may be gone already.
fn pod_to_remove(env: &dyn Fn(&str) -> Option<String>) -> Result<Pod, CniError> {
    let sandbox_id = env("CNI_CONTAINERID").ok_or(CniError::Missing("CNI_CONTAINERID"))?;
    // It becomes the name of a file.
    if sandbox_id.is_empty() || !sandbox_id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Err(CniError::Environment { name: "CNI_CONTAINERID", value: sandbox_id });
    }
    let interface = env("CNI_IFNAME").ok_or(CniError::Missing("CNI_IFNAME"))?;
    if interface != INTERFACE {
        return Err(CniError::Environment { name: "CNI_IFNAME", value: interface });
    }
    let arguments = env("CNI_ARGS").unwrap_or_default();
    let argument = |name: &str| {
        let found =
            arguments.split(';').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    Ok(Pod {
        sandbox_id,
        namespace: argument("K8S_POD_NAMESPACE"),
        name: argument("K8S_POD_NAME"),
        uid: argument("K8S_POD_UID"),
        netns: PathBuf::new(),
        ports: Vec::new(),
    })
}

impl Conf {
    fn network(&self) -> Config {
        let folder = self.data_dir.clone().unwrap_or_else(|| "/var/lib/cni/networks".into());
        Config {
            bridge: self.bridge.clone(),
            state: folder.join(&self.name),
            table: format!("dromon-{}", self.bridge),
            mtu: self.mtu,
        }
    }

    fn range(&self) -> Result<Ipv4Cidr, CniError> {
        self.ipam.subnet.parse().map_err(CniError::Subnet)
    }

    fn result(&self, pod: &Pod, attachment: &Attachment) -> Result<Value, CniError> {
        let range = self.range()?;
        // Before 1.0 an address said its family.
        let families = self.cni_version.starts_with("0.");
        let addresses: Vec<Value> = attachment
            .addresses
            .iter()
            .map(|address| {
                let mut said = json!({"address": format!("{address}/{}", range.prefix()),
                    "gateway": range.gateway(), "interface": 1});
                if families {
                    said["version"] = "4".into();
                }
                said
            })
            .collect();
        Ok(json!({
            "cniVersion": self.cni_version,
            "interfaces": [{"name": self.bridge}, {"name": INTERFACE, "sandbox": pod.netns}],
            "ips": addresses,
            "routes": [{"dst": "0.0.0.0/0"}],
            "dns": {},
        }))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(environment: &[(&str, &str)], conf: &str, expected: Expect) {
        let env = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let mut out = Vec::new();
        let code = run(&env, &mut conf.as_bytes(), &mut out);
        expected.assert_eq(&format!("{code} {}", String::from_utf8_lossy(&out)));
    }

    #[test]
    fn calls_that_touch_nothing() {
        let add = [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
        check(
            &[("CNI_COMMAND", "VERSION")],
            r#"{"cniVersion": "0.4.0"}"#,
            expect![[r#"
                0 {"cniVersion":"0.4.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}
            "#]],
        );
        check(
            &add,
            r#"{"cniVersion": "9.0.0"}"#,
            expect![[r#"
                1 {"cniVersion":"1.0.0","code":1,"msg":"incompatible CNI versions: config is \"9.0.0\", plugin supports [\"0.3.0\", \"0.3.1\", \"0.4.0\", \"1.0.0\", \"1.1.0\"]"}
            "#]],
        );
        check(
            &add,
            r#"{"cniVersion": "1.0.0"}"#,
            expect![[r#"
                1 {"cniVersion":"1.0.0","code":4,"msg":"required env variables [CNI_NETNS] missing"}
            "#]],
        );
        check(
            &[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "../c"), ("CNI_IFNAME", "eth0")],
            r#"{"cniVersion": "1.0.0", "dataDir": "/proc/nowhere", "ipam": {"subnet": "10.0.0.0/24"}}"#,
            expect![[r#"
                1 {"cniVersion":"1.0.0","code":4,"msg":"CNI_CONTAINERID cannot be \"../c\""}
            "#]],
        );
        check(
            &[("CNI_COMMAND", "STATUS")],
            r#"{"cniVersion": "1.1.0", "ipam": {"subnet": "10.0.0.0"}}"#,
            expect![[r#"
                1 {"cniVersion":"1.1.0","code":7,"msg":"invalid ipam.subnet: invalid CIDR address: 10.0.0.0"}
            "#]],
        );
        check(
            &add,
            "nonsense",
            expect![[r#"
                1 {"cniVersion":"1.0.0","code":6,"msg":"cannot understand the network configuration: expected ident at line 1 column 2"}
            "#]],
        );
    }
}
