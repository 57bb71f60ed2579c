//! Pods from a folder of manifests, and the objects in the API that mirror them.
//!
//! Upstream: pkg/kubelet/config/file.go and pkg/kubelet/pod/mirror_client.go. Differs: a manifest that has become
//! unreadable does not end its pod; upstream would end it at its next look.
//! Reading order: [`manifest`], [`folder`], [`plan`], [`run`].

mod folder;
mod manifest;
mod plan;
mod run;

pub(crate) use run::run;

/// A pod by name, as upstream writes it: `name_namespace`.
pub(crate) fn full_name(pod: &k8s_openapi::api::core::v1::Pod) -> String {
    format!("{}_{}", crate::pods::name(pod), crate::pods::namespace(pod))
}
