//! What `describe` says of an object: pages for the kinds that people look at, a general page for all others, events.
//!
//! Upstream: kubectl/pkg/describe/describe.go. Reading order: [`page`] (how lines are written), this file (which page
//! for which kind), [`pod`], [`template`], [`workloads`], [`network`], [`node`], [`data`], [`general`].

mod access;
mod data;
mod events;
mod general;
mod network;
mod node;
mod page;
mod pod;
mod storage;
mod template;
mod workloads;

use crate::context::Context;
use crate::error::Result;
use crate::resources::Info;

pub use access::rules;
pub use page::Page;

/// The page of one object.
///
/// # Errors
/// The server refuses something that the page needs.
pub async fn describe(cx: &Context, info: &Info, with_events: bool) -> Result<String> {
    let mut page = Page::new();
    let object = &info.object;
    let has_events = match (info.resource.group.as_str(), info.resource.kind.as_str()) {
        ("", "Pod") => {
            pod::write(&mut page, object);
            true
        }
        ("apps", "Deployment") => {
            workloads::deployment(cx, &mut page, info).await?;
            true
        }
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            workloads::replica_set(cx, &mut page, info).await?;
            true
        }
        ("apps", "StatefulSet") => {
            workloads::stateful_set(cx, &mut page, info).await?;
            true
        }
        ("apps", "DaemonSet") => {
            workloads::daemon_set(cx, &mut page, info).await?;
            true
        }
        ("batch", "Job") => {
            workloads::job(&mut page, info);
            true
        }
        ("batch", "CronJob") => {
            workloads::cron_job(&mut page, info);
            true
        }
        ("", "Service") => {
            network::service(cx, &mut page, info).await?;
            true
        }
        ("networking.k8s.io", "Ingress") => {
            network::ingress(&mut page, info);
            true
        }
        ("", "Node") => {
            node::write(cx, &mut page, info).await?;
            true
        }
        ("", "ConfigMap") => {
            data::config_map(&mut page, object);
            true
        }
        ("", "Secret") => {
            data::secret(&mut page, object);
            false
        }
        ("", "Namespace") => {
            data::namespace(cx, &mut page, info).await?;
            false
        }
        ("", "ServiceAccount") => {
            data::service_account(&mut page, object);
            true
        }
        ("", "PersistentVolumeClaim") => {
            storage::claim(cx, &mut page, info).await?;
            true
        }
        ("", "PersistentVolume") => {
            storage::volume(&mut page, object);
            true
        }
        ("storage.k8s.io", "StorageClass") => {
            storage::class(&mut page, object);
            true
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            access::role(&mut page, object);
            false
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            access::binding(&mut page, object);
            false
        }
        _ => {
            general::write(&mut page, object);
            true
        }
    };
    if has_events && with_events {
        events::write(cx, &mut page, info).await?;
    }
    Ok(page.finish())
}

/// A pod template as `rollout history` shows it: tabs and all.
pub fn pod_template(template: &serde_json::Value) -> String {
    let mut page = Page::new();
    template::body(&mut page, template);
    page.raw()
}
