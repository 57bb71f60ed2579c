//! A pod that wants an AppArmor profile is not run without.
//!
//! Upstream: pkg/security/apparmor and pkg/kubelet/lifecycle/handlers.go.

use std::fs;

use k8s_openapi::api::core::v1::{AppArmorProfile, Pod};

use super::rejected_for;
use crate::pod::status::Verdict;
use crate::pods;

/// Whether the kernel enforces AppArmor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppArmor {
    On,
    Off,
}

/// Without the file the kernel knows nothing of AppArmor.
pub(super) fn on_this_host() -> AppArmor {
    let on =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    if on { AppArmor::On } else { AppArmor::Off }
}

pub(super) fn check(pod: &Pod, host: AppArmor) -> Result<(), Verdict> {
    if host == AppArmor::On || !wants_profile(pod) {
        return Ok(());
    }
    Err(rejected_for("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"))
}

fn wants_profile(pod: &Pod) -> bool {
    let confines = |profile: &Option<AppArmorProfile>| {
        profile.as_ref().is_some_and(|profile| profile.type_ != "Unconfined")
    };
    let whole = pods::spec(pod).security_context.as_ref().is_some_and(|c| confines(&c.app_armor_profile));
    let mut containers = pods::init_containers(pod).iter().chain(pods::containers(pod));
    whole
        || containers.any(|container| {
            container.security_context.as_ref().is_some_and(|context| confines(&context.app_armor_profile))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_profile_needs_a_kernel_that_enforces_it() {
        let pod = |kind: &str| {
            let context = json!({"appArmorProfile": {"type": kind}});
            crate::testing::pod(json!({"spec": {"containers": [{"name": "c", "securityContext": context}]}}))
        };
        assert_eq!(check(&pod("Unconfined"), AppArmor::Off), Ok(()));
        assert_eq!(check(&pod("RuntimeDefault"), AppArmor::On), Ok(()));
        assert_eq!(
            check(&pod("RuntimeDefault"), AppArmor::Off).expect_err("refused").message,
            "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
        );
    }
}
