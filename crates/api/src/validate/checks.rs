//! All checks under one roof, for the `.rules` files to name.

pub(crate) use super::batch::*;
pub(crate) use super::core::*;
pub(crate) use super::extensions::*;
pub(crate) use super::networking::*;
pub(crate) use super::pod::{new_pod, pod, pod_template, pod_update};
pub(crate) use super::rbac::*;
pub(crate) use super::services::*;
pub(crate) use super::storage::*;
pub(crate) use super::workloads::*;
