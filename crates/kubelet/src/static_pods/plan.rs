//! What has to happen to static pods and their mirrors now. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::full_name;
use crate::pods::{self, Uid};

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Workers whose manifest is gone or was edited.
    pub stop: Vec<Uid>,
    pub start: Vec<Arc<Pod>>,
    /// Mirrors of nothing, of an older manifest, or that somebody deletes.
    pub delete: Vec<Arc<Pod>>,
    /// Static pods whose mirror is missing.
    pub mirror: Vec<Arc<Pod>>,
}

/// `running` are the static pods that have workers; `mirrors` is `None` until the API's pods are known.
pub(super) fn plan(
    wanted: &BTreeMap<String, Arc<Pod>>,
    running: &[Arc<Pod>],
    mirrors: Option<&[Arc<Pod>]>,
) -> Plan {
    let mut plan = Plan::default();
    for pod in running {
        let stays = wanted.get(&full_name(pod)).is_some_and(|w| pods::uid(w) == pods::uid(pod));
        if !stays {
            plan.stop.push(pods::uid(pod).to_owned());
        }
    }
    for (name, pod) in wanted {
        // An older pod of that name has to be gone first.
        if !running.iter().any(|r| full_name(r) == *name) {
            plan.start.push(pod.clone());
        }
    }
    if let Some(mirrors) = mirrors {
        plan_mirrors(wanted, running, mirrors, &mut plan);
    }
    plan
}

fn plan_mirrors(
    wanted: &BTreeMap<String, Arc<Pod>>,
    running: &[Arc<Pod>],
    mirrors: &[Arc<Pod>],
    plan: &mut Plan,
) {
    for mirror in mirrors {
        let name = full_name(mirror);
        let keeps = match wanted.get(&name) {
            Some(pod) => is_current(mirror, pod),
            // Seen until the last of its processes is gone.
            None => running.iter().any(|r| full_name(r) == name),
        };
        if !keeps || pods::deletion_requested(mirror).is_some() {
            plan.delete.push(mirror.clone());
        }
    }
    for (name, pod) in wanted {
        if !mirrors.iter().any(|mirror| full_name(mirror) == *name) {
            plan.mirror.push(pod.clone());
        }
    }
}

/// Whether a mirror shows this very pod.
pub(super) fn is_current(mirror: &Pod, pod: &Pod) -> bool {
    pods::annotations(mirror).get(pods::CONFIG_MIRROR).map(String::as_str) == Some(pods::uid(pod))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn pod(name: &str, uid: &str) -> Arc<Pod> {
        Arc::new(crate::testing::pod(json!({"metadata": {"name": name, "namespace": "d", "uid": uid}})))
    }

    fn mirror(name: &str, of: &str, deleted: Option<&str>) -> Arc<Pod> {
        let metadata = json!({"name": name, "namespace": "d", "uid": "m", "deletionTimestamp": deleted,
            "annotations": {"kubernetes.io/config.mirror": of}});
        Arc::new(crate::testing::pod(json!({"metadata": metadata})))
    }

    fn check(wanted: &[&Arc<Pod>], running: &[&Arc<Pod>], mirrors: Option<&[&Arc<Pod>]>, expected: Expect) {
        let owned = |list: &[&Arc<Pod>]| list.iter().copied().cloned().collect::<Vec<_>>();
        let wanted = owned(wanted).into_iter().map(|pod| (full_name(&pod), pod)).collect();
        let plan = plan(&wanted, &owned(running), mirrors.map(owned).as_deref());
        let names = |list: &[Arc<Pod>]| list.iter().map(|p| pods::name(p).to_owned()).collect::<Vec<_>>();
        expected.assert_eq(&format!(
            "stop {:?} start {:?} delete {:?} mirror {:?}",
            plan.stop,
            names(&plan.start),
            names(&plan.delete),
            names(&plan.mirror)
        ));
    }

    #[test]
    fn every_step_of_a_static_pods_life() {
        let (old, new) = (pod("a", "1"), pod("a", "2"));
        let shown = mirror("a", "1", None);
        check(&[&old], &[], None, expect![[r#"stop [] start ["a"] delete [] mirror []"#]]);
        check(&[&old], &[&old], Some(&[]), expect![[r#"stop [] start [] delete [] mirror ["a"]"#]]);
        check(&[&old], &[&old], Some(&[&shown]), expect!["stop [] start [] delete [] mirror []"]);
        let going = mirror("a", "1", Some("2026-01-01T00:00:00Z"));
        check(&[&old], &[&old], Some(&[&going]), expect![[r#"stop [] start [] delete ["a"] mirror []"#]]);
        check(&[&new], &[&old], Some(&[&shown]), expect![[r#"stop ["1"] start [] delete ["a"] mirror []"#]]);
        check(&[&new], &[], Some(&[]), expect![[r#"stop [] start ["a"] delete [] mirror ["a"]"#]]);
        check(&[], &[&old], Some(&[&shown]), expect![[r#"stop ["1"] start [] delete [] mirror []"#]]);
        check(&[], &[], Some(&[&shown]), expect![[r#"stop [] start [] delete ["a"] mirror []"#]]);
    }
}
