//! The files: reading, merging, and where each entry came from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// One file, or several merged: entries by name.
#[derive(Clone, Debug, Default)]
pub struct Kubeconfig {
    pub clusters: Vec<Entry>,
    pub users: Vec<Entry>,
    pub contexts: Vec<Entry>,
    pub current_context: String,
    pub extensions: Value,
    pub preferences: Value,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub value: Map<String, Value>,
    /// The file that it stands in.
    pub origin: PathBuf,
}

/// Fields that name files, relative to the kubeconfig's folder.
const PATHS: &[&str] = &["certificate-authority", "client-certificate", "client-key", "tokenFile"];

impl Kubeconfig {
    /// The files to read: `--kubeconfig`, or `$KUBECONFIG`, or the one at home.
    pub fn paths(explicit: &str) -> Vec<PathBuf> {
        if !explicit.is_empty() {
            return vec![explicit.into()];
        }
        let listed = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        match listed {
            Some(list) => {
                let mut paths: Vec<PathBuf> = Vec::new();
                for path in std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()) {
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
                paths
            }
            None => vec![home().join(".kube/config")],
        }
    }

    /// Reads and merges: for each name, and for the current context, the first file wins.
    ///
    /// # Errors
    /// A file that `--kubeconfig` names is missing; a file cannot be read or is no kubeconfig.
    pub fn load(explicit: &str) -> Result<Self> {
        let mut merged = Self::default();
        for path in Self::paths(explicit) {
            match Self::read(&path)? {
                Some(config) => merged.merge(config),
                None if !explicit.is_empty() => {
                    return Err(Error::said(format!("stat {explicit}: no such file or directory")));
                }
                None => {}
            }
        }
        Ok(merged)
    }

    /// One file; none where there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or is no kubeconfig.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::said(format!(
                    "error loading config file {:?}: open {}: {}",
                    path.display().to_string(),
                    path.display(),
                    crate::files::reason(&error)
                )));
            }
        };
        let (tree, _) = api::codec::yaml_tree(&text).map_err(|error| {
            Error::said(format!("error loading config file {:?}: {error}", path.display().to_string()))
        })?;
        Ok(Some(Self::from_value(&tree, path)))
    }

    fn from_value(tree: &Value, origin: &Path) -> Self {
        let entries = |list: &str, field: &str| -> Vec<Entry> {
            let items = tree.get(list).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| Entry::read(item, field, origin)).collect()
        };
        Self {
            clusters: entries("clusters", "cluster"),
            users: entries("users", "user"),
            contexts: entries("contexts", "context"),
            current_context: text(tree, "current-context"),
            extensions: tree.get("extensions").cloned().unwrap_or(Value::Null),
            preferences: tree.get("preferences").cloned().unwrap_or(Value::Null),
        }
    }

    fn merge(&mut self, other: Self) {
        let take = |own: &mut Vec<Entry>, others: Vec<Entry>| {
            for entry in others {
                if own.iter().all(|known| known.name != entry.name) {
                    own.push(entry);
                }
            }
        };
        take(&mut self.clusters, other.clusters);
        take(&mut self.users, other.users);
        take(&mut self.contexts, other.contexts);
        if self.current_context.is_empty() {
            self.current_context = other.current_context;
        }
        if self.extensions.is_null() {
            self.extensions = other.extensions;
        }
        if self.preferences.is_null() {
            self.preferences = other.preferences;
        }
    }

    pub fn cluster(&self, name: &str) -> Option<&Entry> {
        self.clusters.iter().find(|entry| entry.name == name)
    }

    pub fn user(&self, name: &str) -> Option<&Entry> {
        self.users.iter().find(|entry| entry.name == name)
    }

    pub fn context(&self, name: &str) -> Option<&Entry> {
        self.contexts.iter().find(|entry| entry.name == name)
    }

    /// As it is written: entries sorted by name, empty lists as null.
    pub fn to_value(&self) -> Value {
        let list = |entries: &[Entry], field: &str| -> Value {
            if entries.is_empty() {
                return Value::Null;
            }
            let mut sorted: Vec<&Entry> = entries.iter().collect();
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            sorted.iter().map(|entry| json!({"name": entry.name, field: entry.value})).collect()
        };
        let mut value = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": list(&self.clusters, "cluster"),
            "contexts": list(&self.contexts, "context"),
            "current-context": self.current_context,
            "users": list(&self.users, "user"),
        });
        if !self.extensions.is_null() {
            value["extensions"] = self.extensions.clone();
        }
        if self.preferences.as_object().is_some_and(|preferences| !preferences.is_empty()) {
            value["preferences"] = self.preferences.clone();
        }
        value
    }
}

impl Entry {
    fn read(item: &Value, field: &str, origin: &Path) -> Option<Self> {
        let name = item.get("name")?.as_str()?.to_owned();
        let mut value = item.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        value.retain(|_, value| !value.is_null());
        Some(Self { name, value, origin: origin.to_owned() })
    }

    pub fn text(&self, field: &str) -> &str {
        self.value.get(field).and_then(Value::as_str).unwrap_or("")
    }

    pub fn on(&self, field: &str) -> bool {
        self.value.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The same with file names that hold from any folder.
    #[must_use]
    pub fn with_absolute_paths(mut self) -> Self {
        let folder = self.origin.parent().unwrap_or(Path::new("")).to_owned();
        for field in PATHS {
            if let Some(Value::String(path)) = self.value.get_mut(*field)
                && !path.is_empty()
                && Path::new(path).is_relative()
            {
                *path = folder.join(&*path).display().to_string();
            }
        }
        self
    }
}

pub fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default()
}

fn text(tree: &Value, field: &str) -> String {
    tree.get(field).and_then(Value::as_str).unwrap_or("").to_owned()
}
