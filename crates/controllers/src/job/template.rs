//! The pods of a Job.
//!
//! Upstream: pkg/controller/job/indexed_job_utils.go; an index's name, host name, label, annotation and variable.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::pod::{FAILURES, FINALIZER, IGNORED_FAILURES, INDEX, failures_before};
use super::policy;
use crate::owners;
use crate::pod_control::from_template;

const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// A generated name has 63 letters, 5 of them random (upstream: apiserver/pkg/storage/names).
const LONGEST_BASE: usize = 58;

/// A pod of the job; `replaced` is the failed pod of the same index whose count of failures it takes over.
pub(super) fn new_pod(job: &Job, spec: &JobSpec, index: Option<i32>, replaced: Option<&Arc<Pod>>) -> Pod {
    let mut pod = from_template(spec.template.clone());
    let name = job.metadata.name.clone().unwrap_or_default();
    pod.metadata.generate_name = Some(format!("{name}-"));
    pod.metadata.owner_references = Some(vec![owners::controller_ref(job)]);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    if let Some(index) = index {
        give_index(&mut pod, &name, index);
        if spec.backoff_limit_per_index.is_some() {
            count_failures(&mut pod, job, replaced);
        }
    }
    pod
}

fn give_index(pod: &mut Pod, job: &str, index: i32) {
    pod.metadata.generate_name = Some(indexed_name(job, index));
    let metadata = &mut pod.metadata;
    metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let Some(spec) = &mut pod.spec else { return };
    spec.hostname = Some(format!("{job}-{index}"));
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(tell_index);
}

/// The base of a generated name; a long job name is cut, the index never.
fn indexed_name(job: &str, index: i32) -> String {
    let suffix = format!("-{index}-");
    let kept: String = job.chars().take(LONGEST_BASE.saturating_sub(suffix.len())).collect();
    format!("{kept}{suffix}")
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), api_version: None };
    env.push(EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    });
}

fn count_failures(pod: &mut Pod, job: &Job, replaced: Option<&Arc<Pod>>) {
    let (mut counted, mut ignored) = replaced.map_or((0, 0), |pod| failures_before(pod));
    if let Some(replaced) = replaced {
        let tally = if policy::judge(job, replaced).counts() { &mut counted } else { &mut ignored };
        *tally = tally.saturating_add(1);
    }
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(FAILURES.to_owned(), counted.to_string());
    if ignored > 0 {
        annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_is_told_in_every_way() {
        let job: Job = serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
            "backoffLimitPerIndex": 2, "template": {"spec": {"containers": [{"name": "c"}]}}}}))
        .expect("a job");
        let spec = job.spec.clone().expect("has one");
        let first = Arc::new(new_pod(&job, &spec, Some(3), None));
        let second = new_pod(&job, &spec, Some(3), Some(&first));
        let told = |pod: &Pod| {
            let metadata = &pod.metadata;
            let annotations = metadata.annotations.clone().expect("annotated");
            (
                metadata.generate_name.clone().expect("named"),
                annotations[INDEX].clone(),
                annotations[FAILURES].clone(),
            )
        };
        assert_eq!(told(&first), ("j-3-".into(), "3".into(), "0".into()));
        assert_eq!(told(&second).2, "1");
        let spec = second.spec.expect("has one");
        assert_eq!(spec.hostname.as_deref(), Some("j-3"));
        assert_eq!(spec.containers[0].env.as_ref().expect("set")[0].name, INDEX_VARIABLE);
        assert_eq!(indexed_name(&"x".repeat(63), 12).len(), LONGEST_BASE);
    }
}
