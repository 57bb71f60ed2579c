//! Brings a container's image to the node, or says in upstream's words why not.
//!
//! Upstream: pkg/kubelet/images/image_manager.go.

pub(crate) mod credentials;
pub(crate) mod gc;
pub(crate) mod name;
pub(crate) mod puller;
