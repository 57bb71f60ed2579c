//! What a DELETE means for one object: wait, mark, or remove. Pure; [`plan`] says, its caller does.
//!
//! Upstream: apiserver/pkg/registry/rest/delete.go, `BeforeDelete`; registry/generic/registry/store.go.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Storage, before};
use crate::error::{ApiError, Result};
use crate::object;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What happens to the dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// `DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<Propagation>,
    pub dry_run: bool,
}

/// What to do with the object.
#[derive(Debug)]
pub enum Plan {
    /// It is being deleted already; nothing changes.
    Wait,
    /// Store this; others will finish it.
    Mark(Value),
    /// Store this as the last state (if it differs), and remove it.
    Remove,
}

impl DeleteOptions {
    /// # Errors
    /// 422 for values or combinations that make no sense.
    pub fn of(value: &Value) -> Result<Self> {
        let mut problems = Vec::new();
        let propagation = match value["propagationPolicy"].as_str() {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                let message = format!(
                    r#"Unsupported value: {other:?}: supported values: "Background", "Foreground", "Orphan""#
                );
                problems.push(("FieldValueNotSupported".into(), message, "propagationPolicy".into()));
                None
            }
        };
        let orphan_dependents = value["orphanDependents"].as_bool();
        if propagation.is_some() && orphan_dependents.is_some() {
            let message = format!(
                r#"Invalid value: {:?}: orphanDependents and deletionPropagation cannot be both set"#,
                value["propagationPolicy"].as_str().unwrap_or("")
            );
            problems.push(("FieldValueInvalid".into(), message, "propagationPolicy".into()));
        }
        let dry_run = dry_run(&value["dryRun"], &mut problems);
        if !problems.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &problems));
        }
        let precondition = |field: &str| value["preconditions"][field].as_str().map(str::to_string);
        Ok(Self {
            grace_seconds: value["gracePeriodSeconds"].as_i64(),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            orphan_dependents,
            propagation,
            dry_run,
        })
    }
}

fn dry_run(value: &Value, problems: &mut Vec<(String, String, String)>) -> bool {
    let stages = value.as_array().map_or(&[][..], Vec::as_slice);
    if stages.iter().any(|stage| stage != "All") {
        let message = format!(r#"Unsupported value: {value}: supported values: "All""#);
        problems.push(("FieldValueNotSupported".into(), message, "dryRun".into()));
    }
    !stages.is_empty()
}

/// Decides.
///
/// # Errors
/// 409 when a precondition fails.
pub fn plan(storage: &Storage, object: &Value, options: &DeleteOptions, now: Timestamp) -> Result<Plan> {
    check_preconditions(storage, object, options)?;
    if let Some(seconds) = storage.strategy.grace_seconds(object, options.grace_seconds) {
        if object::is_terminating(object) {
            if let Some(plan) = shorten(object, options.grace_seconds, now) {
                return Ok(plan);
            }
        } else if seconds > 0 {
            return Ok(Plan::Mark(mark(storage, object, options, seconds, now)));
        }
    }
    let finalizers = wanted_finalizers(object, options);
    if finalizers.is_empty() && !is_held(storage, object) {
        return Ok(Plan::Remove);
    }
    if object::is_terminating(object)
        && finalizers == object::finalizers(object)
        && grace_of(object) == Some(0)
    {
        return Ok(Plan::Wait);
    }
    Ok(Plan::Mark(mark(storage, object, options, 0, now)))
}

/// Namespaces are held by a finalizer of their own kind.
pub fn is_held(storage: &Storage, object: &Value) -> bool {
    storage.is("", "namespaces")
        && object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// Whether an update has let go of the last thing that kept a terminating object.
pub fn is_finished(storage: &Storage, new: &Value, old: &Value) -> bool {
    object::is_terminating(old)
        && grace_of(old).unwrap_or(0) == 0
        && object::finalizers(new).is_empty()
        && !is_held(storage, new)
}

fn grace_of(object: &Value) -> Option<i64> {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64()
}

/// A second DELETE of something that terminates gracefully may only make it faster. None: it is time to remove it.
fn shorten(object: &Value, asked: Option<i64>, now: Timestamp) -> Option<Plan> {
    let current = grace_of(object).unwrap_or(0);
    match asked {
        // Nothing asked: if the period is over in the object's own words, fall through to removal.
        None if current > 0 => Some(Plan::Wait),
        None => None,
        Some(seconds) if seconds <= 0 => None,
        Some(seconds) if seconds >= current => Some(Plan::Wait),
        Some(seconds) => {
            let mut object = object.clone();
            set_deletion(&mut object, seconds, now);
            Some(Plan::Mark(object))
        }
    }
}

fn mark(storage: &Storage, object: &Value, options: &DeleteOptions, seconds: i64, now: Timestamp) -> Value {
    let mut marked = object.clone();
    object::set_finalizers(&mut marked, wanted_finalizers(object, options));
    let sooner = grace_of(object).is_none_or(|current| seconds < current);
    if !object::is_terminating(object) || sooner {
        set_deletion(&mut marked, seconds, now);
    }
    if !object::is_terminating(object) {
        before::raise_generation(&mut marked);
    }
    if storage.is("", "namespaces") {
        marked["status"]["phase"] = json!("Terminating");
    }
    marked
}

fn set_deletion(object: &mut Value, seconds: i64, now: Timestamp) {
    let at = now + SignedDuration::from_secs(seconds);
    object::set_meta(object, "deletionTimestamp", Some(json!(object::time(at))));
    object::set_meta(object, "deletionGracePeriodSeconds", Some(json!(seconds)));
}

/// The object's finalizers, with the garbage collector's two as the client wants them.
fn wanted_finalizers(object: &Value, options: &DeleteOptions) -> Vec<String> {
    let present = object::finalizers(object);
    let had = |name: &str| present.iter().any(|finalizer| finalizer == name);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(policy)) => (policy == Propagation::Orphan, policy == Propagation::Foreground),
        (None, None) => (had(ORPHAN), had(FOREGROUND)),
    };
    let mut wanted: Vec<String> =
        present.iter().filter(|name| *name != ORPHAN && *name != FOREGROUND).cloned().collect();
    if orphan {
        wanted.push(ORPHAN.into());
    }
    if foreground {
        wanted.push(FOREGROUND.into());
    }
    let mut sorted = (wanted.clone(), present.clone());
    sorted.0.sort();
    sorted.1.sort();
    // Their order is not worth a write.
    if sorted.0 == sorted.1 { present } else { wanted }
}

fn check_preconditions(storage: &Storage, object: &Value, options: &DeleteOptions) -> Result<()> {
    let name = object::name(object);
    let conflict = |why: String| Err(ApiError::conflict(&storage.resource, name, &why));
    let uid = object::meta(object, "uid");
    if let Some(wanted) = &options.uid
        && wanted != uid
    {
        return conflict(format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        ));
    }
    let version = object::meta(object, "resourceVersion");
    if let Some(wanted) = &options.resource_version
        && wanted != version
    {
        return conflict(format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {version}"
        ));
    }
    Ok(())
}
