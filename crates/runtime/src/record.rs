//! What the runtime remembers of sandboxes and containers, in memory and on disk.
//!
//! A record is written before the thing it describes is made, so that a crash leaves nothing unknown behind.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use cri::v1;
use serde::{Deserialize, Serialize};

use crate::shim::protocol::{ContainerSpec, Exit, User};

/// Name of a record's file in the folder of its sandbox or container.
const FILE: &str = "record.json";

/// A sandbox.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sandbox {
    pub id: String,
    #[serde(with = "message")]
    pub config: v1::PodSandboxConfig,
    pub runtime_handler: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    pub cgroup_parent: String,
    /// The parent was made by us and goes with the sandbox.
    pub owns_cgroup_parent: bool,
    /// False while it is being made: such a one is removed at the next start.
    pub complete: bool,
    /// The network was given back.
    pub detached: bool,
    pub addresses: Vec<IpAddr>,
    /// The pause process, while it lives.
    #[serde(skip)]
    pub pause: Option<i32>,
}

/// A container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    #[serde(with = "message")]
    pub config: v1::ContainerConfig,
    pub created_at: i64,
    pub image_id: String,
    pub image_ref: String,
    pub log_path: String,
    pub stop_signal: i32,
    pub spec: ContainerSpec,
    /// Why it could not be started.
    pub start_error: Option<String>,
    #[serde(skip)]
    pub state: State,
}

/// Where a container is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Created,
    Running {
        pid: i32,
        started_at: i64,
        user: User,
    },
    Exited(Exit),
}

impl Sandbox {
    pub fn is_ready(&self) -> bool {
        self.complete && self.pause.is_some()
    }

    pub fn host_network(&self) -> bool {
        self.namespaces().network == v1::NamespaceMode::Node as i32
    }

    pub fn namespaces(&self) -> v1::NamespaceOption {
        let linux = self.config.linux.as_ref();
        let options =
            linux.and_then(|l| l.security_context.as_ref()).and_then(|s| s.namespace_options.clone());
        options.unwrap_or_default()
    }

    pub fn metadata(&self) -> v1::PodSandboxMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }
}

impl Container {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}

/// Writes a record so that a reader sees the old or the new one, never a part.
pub fn save<T: Serialize>(folder: &Path, record: &T) -> io::Result<()> {
    let new = folder.join("record.new");
    fs::write(&new, serde_json::to_vec(record)?)?;
    fs::rename(new, folder.join(FILE))
}

/// Reads a record; `None` where none was written.
pub fn load<T: for<'de> Deserialize<'de>>(folder: &Path) -> io::Result<Option<T>> {
    match fs::read(folder.join(FILE)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Protobuf messages inside JSON records: their encoding in base64.
mod message {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::*;

    pub fn serialize<M: prost::Message, S: Serializer>(message: &M, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64::engine::general_purpose::STANDARD.encode(message.encode_to_vec()))
    }

    pub fn deserialize<'de, M: prost::Message + Default, D: Deserializer<'de>>(
        from: D,
    ) -> Result<M, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(D::Error::custom)?;
        M::decode(bytes.as_slice()).map_err(D::Error::custom)
    }
}
