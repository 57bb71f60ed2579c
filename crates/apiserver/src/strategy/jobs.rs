//! Jobs: unless the client brings its own, the selector and the pods' labels name the job by uid.
//!
//! Upstream: pkg/registry/batch/job/strategy.go, `generateSelector`.

use serde_json::{Value, json};

use super::{Strategy, Writer};

pub(super) struct Jobs;

impl Strategy for Jobs {
    fn resource(&self) -> (&'static str, &'static str) {
        ("batch", "jobs")
    }

    fn prepare_create(&self, job: &mut Value, _writer: Writer<'_>) {
        if job["spec"]["manualSelector"].as_bool() == Some(true) {
            return;
        }
        let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
        let labels = [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ];
        for (key, value) in labels {
            job["spec"]["template"]["metadata"]["labels"][key] = value.clone();
        }
        job["spec"]["selector"]["matchLabels"] = json!({"batch.kubernetes.io/controller-uid": uid});
    }
}
