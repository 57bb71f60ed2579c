//! StorageObjectInUseProtection and PersistentVolumeClaimResize: claims and volumes are born protected, and only claims
//! whose class allows it grow.
//!
//! Upstream: plugin/pkg/admission/storage/storageobjectinuseprotection, persistentvolume/resize.

use std::sync::Arc;

use api::Quantity;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

const FINALIZERS: [(&str, &str); 2] = [
    ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("persistentvolumes", "kubernetes.io/pv-protection"),
];

pub(super) struct InUseProtection;

#[async_trait]
impl Admission for InUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let finalizer = FINALIZERS.iter().find(|(resource, _)| request.creates("", resource));
        let (Some((_, finalizer)), Some(object)) = (finalizer, &mut request.object) else { return Ok(()) };
        let finalizers = &mut object["metadata"]["finalizers"];
        if finalizers.is_null() {
            *finalizers = json!([]);
        }
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.iter().any(|name| name == finalizer)
        {
            finalizers.push(json!(finalizer));
        }
        Ok(())
    }
}

pub(super) struct ClaimResize {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for ClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if request.operation != Operation::Update || !request.is("", "persistentvolumeclaims") {
            return Ok(());
        }
        let (Some(new), Some(old)) = (&request.object, &request.old) else { return Ok(()) };
        if requested(new) <= requested(old) {
            return Ok(());
        }
        if fields::text(old, "/status/phase") != "Bound" {
            return Err(request.forbidden("only bound persistent volume claims can be expanded"));
        }
        if !self.may_grow(old).await {
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc \
                       must support resize";
            return Err(request.forbidden(why));
        }
        Ok(())
    }
}

/// What is no quantity is refused elsewhere.
fn requested(claim: &Value) -> Quantity {
    fields::text(claim, "/spec/resources/requests/storage").parse().unwrap_or(Quantity::ZERO)
}

impl ClaimResize {
    async fn may_grow(&self, claim: &Value) -> bool {
        let legacy = fields::text(claim, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
        let field = fields::text(claim, "/spec/storageClassName");
        let name = if legacy.is_empty() { field } else { legacy };
        if name.is_empty() {
            return false;
        }
        let class = self.objects.get("storage.k8s.io", "storageclasses", "", name).await;
        class.is_some_and(|class| class["allowVolumeExpansion"] == true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupResource;
    use crate::admission::{Rounds, Warnings};
    use crate::auth::{Memory, UserInfo};

    fn request(operation: Operation, object: Value, old: Option<Value>) -> Request {
        Request {
            operation,
            resource: GroupResource::new("", "persistentvolumeclaims"),
            version: "v1".into(),
            kind: "PersistentVolumeClaim".into(),
            subresource: String::new(),
            namespace: "a".into(),
            name: "data".into(),
            object: Some(object),
            old,
            options: Value::Null,
            user: UserInfo::new("bob", &[]),
            dry_run: false,
            warnings: Warnings::default(),
            rounds: Rounds::default(),
        }
    }

    #[tokio::test]
    async fn claims_are_born_protected() {
        let mut request = request(Operation::Create, json!({"metadata": {"name": "data"}}), None);
        InUseProtection.admit(&mut request).await.expect("admitted");
        InUseProtection.admit(&mut request).await.expect("admitted");
        let object = request.object.expect("an object");
        assert_eq!(object["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    }

    #[tokio::test]
    async fn claims_grow_where_their_class_lets_them() {
        let memory = Memory::default();
        for (name, allows) in [("grows", true), ("stays", false)] {
            let class = json!({"metadata": {"name": name}, "allowVolumeExpansion": allows});
            memory.put("storage.k8s.io", "storageclasses", class);
        }
        let plugin = ClaimResize { objects: Arc::new(memory) };
        let claim = |class: &str, size: &str, phase: &str| {
            json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}},
                "status": {"phase": phase}})
        };
        for (class, size, phase, fine) in [
            ("grows", "2Gi", "Bound", true),
            ("grows", "2Gi", "Pending", false),
            ("stays", "2Gi", "Bound", false),
            ("stays", "1Gi", "Bound", true),
            ("gone", "2Gi", "Bound", false),
        ] {
            let old = claim(class, "1Gi", phase);
            let mut request = request(Operation::Update, claim(class, size, phase), Some(old));
            assert_eq!(plugin.admit(&mut request).await.is_ok(), fine, "{class} {size} {phase}");
        }
    }
}
