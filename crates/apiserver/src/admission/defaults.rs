//! DefaultStorageClass and DefaultIngressClass: a claim or ingress that names no class gets the default one.
//!
//! Upstream: plugin/pkg/admission/storage/storageclass/setdefault; plugin/pkg/admission/network/defaultingressclass.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{Admission, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

/// What differs between the two.
pub(super) struct DefaultClass {
    pub objects: Arc<dyn Objects>,
    pub kind: ClassKind,
}

pub(super) struct ClassKind {
    name: &'static str,
    group: &'static str,
    resource: &'static str,
    field: &'static str,
    /// The annotation that said it before the field existed.
    legacy: &'static str,
    class_group: &'static str,
    class_resource: &'static str,
    marks: &'static [&'static str],
}

pub(super) const STORAGE: ClassKind = ClassKind {
    name: "DefaultStorageClass",
    group: "",
    resource: "persistentvolumeclaims",
    field: "storageClassName",
    legacy: "volume.beta.kubernetes.io/storage-class",
    class_group: "storage.k8s.io",
    class_resource: "storageclasses",
    marks: &[
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ],
};

pub(super) const INGRESS: ClassKind = ClassKind {
    name: "DefaultIngressClass",
    group: "networking.k8s.io",
    resource: "ingresses",
    field: "ingressClassName",
    legacy: "kubernetes.io/ingress.class",
    class_group: "networking.k8s.io",
    class_resource: "ingressclasses",
    marks: &["ingressclass.kubernetes.io/is-default-class"],
};

#[async_trait]
impl Admission for DefaultClass {
    fn name(&self) -> &'static str {
        self.kind.name
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let kind = &self.kind;
        if !request.creates(kind.group, kind.resource) {
            return Ok(());
        }
        let Some(object) = &mut request.object else { return Ok(()) };
        let named = !object["spec"][kind.field].is_null()
            || !object["metadata"]["annotations"][kind.legacy].is_null();
        if named {
            return Ok(());
        }
        let classes = self.objects.list(kind.class_group, kind.class_resource, "").await;
        if let Some(class) = newest(&classes, kind.marks) {
            object["spec"][kind.field] = class["metadata"]["name"].clone();
        }
        Ok(())
    }
}

/// Of several defaults the newest, and of those the first by name.
fn newest<'a>(classes: &'a [Arc<Value>], marks: &[&str]) -> Option<&'a Arc<Value>> {
    let marked =
        |class: &&Arc<Value>| marks.iter().any(|mark| class["metadata"]["annotations"][*mark] == "true");
    let age = |class: &&Arc<Value>| {
        (
            Reverse(fields::text(class, "/metadata/creationTimestamp").to_owned()),
            fields::name(class).to_owned(),
        )
    };
    classes.iter().filter(marked).min_by_key(age)
}
