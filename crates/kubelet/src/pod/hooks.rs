//! postStart and preStop.
//!
//! Upstream: pkg/kubelet/lifecycle/handlers.go.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::context::Context;
use crate::probes::action::{self, Finding};

/// A hook has no time-out of its own but the pod's grace; this bounds a postStart that never ends.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Runs a hook; what went wrong.
pub(crate) async fn run(
    context: &Context,
    id: &str,
    ip: &str,
    container: &Container,
    hook: &LifecycleHandler,
    timeout: Duration,
) -> Result<(), String> {
    let clock = &context.config.clock;
    let finding = if let Some(exec) = &hook.exec {
        action::exec(&context.cri, id, exec, timeout).await
    } else if let Some(get) = &hook.http_get {
        action::http_get(clock, ip, container, get, "kube-lifecycle/1.36", timeout).await
    } else if let Some(sleep) = &hook.sleep {
        let seconds = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        clock.sleep(seconds.min(timeout)).await;
        return Ok(());
    } else if let Some(socket) = &hook.tcp_socket {
        action::tcp(clock, ip, container, socket, timeout).await
    } else {
        return Err("invalid handler".into());
    };
    match finding {
        Finding::Good(_) => Ok(()),
        Finding::Bad(why) | Finding::Untried(why) => Err(why),
    }
}
