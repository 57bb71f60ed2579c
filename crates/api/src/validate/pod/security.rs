//! Security contexts.

use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{number, one_of, optional_one_of};
use crate::validate::names;
use serde_json::Value;

pub(super) fn pod(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(context) = spec.at("securityContext") else { return };
    let path = path.child("securityContext");
    users(context, &path, errors);
    number(context, "fsGroup", names::user_id, &path, errors);
    let at = path.child("supplementalGroups");
    for (index, group) in context.items("supplementalGroups").iter().filter_map(Value::as_i64).enumerate() {
        for message in names::user_id(group) {
            errors.invalid(&at.index(index), group, message);
        }
    }
    optional_one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &path, errors);
    optional_one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path, errors);
    sysctls(context, &path, errors);
}

fn users(context: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["runAsUser", "runAsGroup"] {
        number(context, field, names::user_id, path, errors);
    }
    for field in ["seccompProfile", "appArmorProfile"] {
        if let Some(found) = context.at(field) {
            profile(found, &path.child(field), errors);
        }
    }
}

fn profile(profile: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    one_of(profile, "type", &["Localhost", "RuntimeDefault", "Unconfined"], path, errors);
    let local = profile.text("type") == "Localhost";
    match (local, profile.has("localhostProfile")) {
        (true, false) => {
            errors.required(&path.child("localhostProfile"), "must be set when seccomp type is Localhost")
        }
        (false, true) => errors.invalid(
            &path.child("localhostProfile"),
            profile.text("localhostProfile"),
            "can only be set when seccomp type is Localhost",
        ),
        _ => {}
    }
}

fn sysctls(context: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("sysctls");
    let mut seen = Vec::new();
    for (index, sysctl) in context.items("sysctls").iter().enumerate() {
        let name = sysctl.text("name");
        let at = path.index(index);
        match name {
            "" => errors.required(&at.child("name"), ""),
            name if seen.contains(&name) => errors.duplicate(&at.child("name"), name),
            _ => seen.push(name),
        }
    }
}

pub(super) fn container(container: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(context) = container.at("securityContext") else { return };
    let path = path.child("securityContext");
    users(context, &path, errors);
    optional_one_of(context, "procMount", &["Default", "Unmasked"], &path, errors);
    if context.at("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let cannot = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        if context.flag("privileged") {
            errors.invalid(&path, context.clone(), cannot);
        }
        if context.items("capabilities.add").iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            errors.invalid(
                &path,
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
}
