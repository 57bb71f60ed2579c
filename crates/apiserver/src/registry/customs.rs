//! The definitions of custom resources that are in service. Fixed; a change makes another table.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Served, Storage};
use crate::custom::Installed;

/// By the name of the definition, `boats.sea.example.com`.
#[derive(Default)]
pub struct Customs {
    pub generation: u64,
    installed: HashMap<String, Arc<Installed>>,
    by_prefix: HashMap<String, Arc<Storage>>,
}

impl Customs {
    /// The same with a definition added, replaced, or without it.
    pub fn with(&self, name: &str, installed: Option<Arc<Installed>>) -> Self {
        let mut all = self.installed.clone();
        match installed {
            Some(installed) => all.insert(name.to_owned(), installed),
            None => all.remove(name),
        };
        let by_prefix = all.values().map(|one| (one.storage.prefix.clone(), one.storage.clone())).collect();
        Self { generation: self.generation + 1, installed: all, by_prefix }
    }

    pub fn is_empty(&self) -> bool {
        self.installed.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Installed>> {
        self.installed.values()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.installed.keys().map(String::as_str)
    }

    pub fn named(&self, name: &str) -> Option<Arc<Installed>> {
        self.installed.get(name).cloned()
    }

    pub fn get(&self, group: &str, plural: &str) -> Option<Arc<Installed>> {
        if self.installed.is_empty() {
            return None;
        }
        self.named(&format!("{plural}.{group}"))
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        let installed = self.get(group, plural)?;
        installed.served.iter().find(|served| served.version == version).cloned()
    }

    pub fn of_prefix(&self, prefix: &str) -> Option<Arc<Storage>> {
        self.by_prefix.get(prefix).cloned()
    }

    /// In discovery's order within each group: versions by priority, then by name.
    pub fn served(&self) -> Vec<Arc<Served>> {
        let mut served: Vec<Arc<Served>> = self.iter().flat_map(|one| one.served.iter().cloned()).collect();
        served.sort_by_cached_key(|s| (priority(&s.version), s.version.clone(), s.resource.clone()));
        served
    }
}

/// Smaller comes first: v2, v1, v1beta2, v1beta1, v1alpha1, then everything else.
///
/// Upstream: apimachinery/pkg/version/helpers.go.
fn priority(version: &str) -> (u8, i64, i64) {
    let parse = || -> Option<(u8, i64, i64)> {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: i64 = rest[..end].parse().ok()?; // not a number: not such a version
        let (stage, minor) = match &rest[end..] {
            "" => return Some((0, -major, 0)),
            tail if tail.starts_with("beta") => (1, &tail[4..]),
            tail if tail.starts_with("alpha") => (2, &tail[5..]),
            _ => return None,
        };
        let minor: i64 = if minor.is_empty() { 0 } else { minor.parse().ok()? }; // as above
        Some((stage, -major, -minor))
    };
    parse().unwrap_or((3, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn versions_are_ordered_as_upstream_orders_them() {
        let mut versions = ["foo10", "v1alpha1", "v3", "v12alpha1", "v10", "v11beta2", "v2", "v1", "v3beta1"];
        versions.sort_by_key(|version| priority(version));
        let wanted = ["v10", "v3", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "foo10"];
        assert_eq!(versions, wanted);
    }
}
