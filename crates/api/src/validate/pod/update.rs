//! What of a Pod may change once it is there.
//!
//! Upstream: ValidatePodUpdate.

use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::metadata::changed;
use serde_json::{Value, json};

const MAY_CHANGE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// `subresource` decides what is open: `resize` the resources, `ephemeralcontainers` those.
pub(crate) fn update(new: &Value, old: &Value, subresource: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("spec");
    let (Some(new_spec), Some(old_spec)) = (new.at("spec"), old.at("spec")) else { return };
    if subresource == "ephemeralcontainers" {
        return ephemeral(new_spec, old_spec, &path, errors);
    }
    let counted = same_count(new_spec, old_spec, "containers", &path, errors)
        && same_count(new_spec, old_spec, "initContainers", &path, errors);
    if !counted {
        return;
    }
    deadline(new_spec, old_spec, &path, errors);
    tolerations(new_spec, old_spec, &path, errors);
    let munged = with_allowed_changes(new_spec, old_spec, subresource);
    if changed(Some(&munged), Some(old_spec)) {
        errors.forbidden(&path, format!("{MAY_CHANGE}\n{}", difference(old_spec, &munged)));
    }
}

fn same_count(new: &Value, old: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) -> bool {
    let same = new.items(field).len() == old.items(field).len();
    if !same {
        // upstream names the main containers in both cases
        errors.forbidden(&path.child(field), "pod updates may not add or remove containers");
    }
    same
}

fn deadline(new: &Value, old: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("activeDeadlineSeconds");
    match (new.int_at("activeDeadlineSeconds"), old.int_at("activeDeadlineSeconds")) {
        (Some(new), Some(old)) if new > old => {
            errors.invalid(&path, new, "must be less than or equal to previous value")
        }
        (None, Some(_)) => {
            errors.invalid(&path, Value::Null, "must not update from a positive integer to nil value")
        }
        _ => {}
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let same = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| a.text(field) == b.text(field))
    };
    let kept =
        old.items("tolerations").iter().all(|old| new.items("tolerations").iter().any(|new| same(new, old)));
    if !kept {
        errors.forbidden(
            &path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
}

/// The new spec with everything that may change put back to what it was.
fn with_allowed_changes(new: &Value, old: &Value, subresource: &str) -> Value {
    let mut munged = new.clone();
    for field in ["containers", "initContainers"] {
        let restored: &[&str] =
            if subresource == "resize" { &["resources", "resizePolicy"] } else { &["image"] };
        restore_each(&mut munged, old, field, restored);
    }
    let mut open = vec!["activeDeadlineSeconds", "tolerations"];
    if old.int("terminationGracePeriodSeconds") < 0 && new.int("terminationGracePeriodSeconds") == 1 {
        open.push("terminationGracePeriodSeconds");
    }
    if !old.items("schedulingGates").is_empty() {
        open.extend(["schedulingGates", "nodeSelector", "affinity"]);
    }
    for field in open {
        restore(&mut munged, old, field);
    }
    munged
}

fn restore_each(munged: &mut Value, old: &Value, list: &str, fields: &[&str]) {
    let Some(items) = munged.get_mut(list).and_then(Value::as_array_mut) else { return };
    for (item, old) in items.iter_mut().zip(old.items(list)) {
        for field in fields {
            restore(item, old, field);
        }
    }
}

fn restore(object: &mut Value, old: &Value, field: &str) {
    let Some(map) = object.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// The fields that differ, one a line, old and new.
fn difference(old: &Value, new: &Value) -> String {
    let mut lines = String::from("  core.PodSpec{\n");
    let empty = json!(null);
    let names: std::collections::BTreeSet<&String> =
        [old, new].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
    for name in names {
        let (was, is) = (old.get(name).unwrap_or(&empty), new.get(name).unwrap_or(&empty));
        if changed(Some(is), Some(was)) {
            lines += &format!("- \t{name}: {was},\n+ \t{name}: {is},\n");
        }
    }
    lines + "  }\n"
}

fn ephemeral(new: &Value, old: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("ephemeralContainers");
    for container in old.items("ephemeralContainers") {
        let name = container.text("name");
        match new.item_where("ephemeralContainers", "name", name) {
            None => errors
                .forbidden(&path, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(found) if changed(Some(found), Some(container)) => errors
                .forbidden(&path, format!("existing ephemeral containers {name:?} may not be changed\n")),
            Some(_) => {}
        }
    }
}
