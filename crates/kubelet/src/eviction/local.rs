//! Limits that a pod set itself: of its emptyDir volumes and of what its containers write to disk.
//!
//! Upstream: pkg/kubelet/eviction/eviction_manager.go, localStorageEviction.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::rank::evicted;
use super::usage::Usage;
use crate::pod::qos::limit;
use crate::pod::status::Verdict;
use crate::pods;
use crate::quantity;

const STORAGE: &str = "ephemeral-storage";

/// Whether there is anything to check.
pub(super) fn has_limits(pod: &Pod) -> bool {
    let volumes = pods::spec(pod).volumes.iter().flatten();
    let sized = |volume: &k8s_openapi::api::core::v1::Volume| {
        volume
            .empty_dir
            .as_ref()
            .is_some_and(|s| s.size_limit.is_some() && s.medium.as_deref() != Some("Memory"))
    };
    volumes.into_iter().any(sized) || pods::containers(pod).iter().any(|c| limit(c, STORAGE) > 0)
}

/// Why the pod may not go on.
pub(super) fn check(pod: &Pod, usage: &Usage) -> Option<Verdict> {
    volume(pod, usage).or_else(|| whole(pod, usage)).or_else(|| container(pod, usage)).map(evicted)
}

fn volume(pod: &Pod, usage: &Usage) -> Option<String> {
    pods::spec(pod).volumes.iter().flatten().find_map(|volume| {
        let size = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        let used = usage.volumes.get(&volume.name)?;
        (quantity::bytes(size) > 0 && *used > quantity::bytes(size))
            .then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, size.0))
    })
}

/// Only if every container has a limit is there one for all together.
fn whole(pod: &Pod, usage: &Usage) -> Option<String> {
    let limits: Vec<i128> = pods::containers(pod).iter().map(|c| limit(c, STORAGE) / 1000).collect();
    let total: i128 = limits.iter().sum();
    let over = limits.iter().all(|limit| *limit > 0) && i128::from(usage.disk_bytes()) > total;
    over.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "))
}

fn container(pod: &Pod, usage: &Usage) -> Option<String> {
    pods::containers(pod).iter().find_map(|container| {
        let most = limit(container, STORAGE) / 1000;
        let used = usage.disk.get(&container.name).copied().unwrap_or(0);
        (most > 0 && i128::from(used) > most).then(|| {
            let shown = shown_limit(container);
            format!("Container {} exceeded its local ephemeral storage limit {shown:?}. ", container.name)
        })
    })
}

fn shown_limit(container: &Container) -> String {
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    limits.and_then(|l| l.get(STORAGE)).map(|quantity| quantity.0.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_limit_has_its_words() {
        let pod = crate::testing::pod(json!({"spec": {
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "2Mi"}}}, {"name": "d"}],
        }}));
        assert!(has_limits(&pod));
        let said = |volume: u64, layer: u64| {
            let usage = Usage {
                disk: BTreeMap::from([("c".to_owned(), layer << 20)]),
                volumes: BTreeMap::from([("v".to_owned(), volume << 20)]),
                ..Usage::default()
            };
            check(&pod, &usage).map(|verdict| verdict.message)
        };
        assert_eq!(said(1, 2), None);
        assert_eq!(said(2, 0).as_deref(), Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "));
        assert_eq!(
            said(0, 3).as_deref(),
            Some("Container c exceeded its local ephemeral storage limit \"2Mi\". ")
        );
    }
}
