//! Policies, webhooks, roles, certificates: who may do what.

use super::Context;
use super::text::label_selector;
use crate::access::Access;
use crate::table::duration::human_duration;
use serde_json::Value;

pub(crate) fn webhooks(object: &Value, _: Context) -> Value {
    object.items("webhooks").len().into()
}

pub(crate) fn mutations(object: &Value, _: Context) -> Value {
    object.items("spec.mutations").len().into()
}

pub(crate) fn validations(object: &Value, _: Context) -> Value {
    object.items("spec.validations").len().into()
}

pub(crate) fn param_kind(object: &Value, _: Context) -> Value {
    let kind = object.at("spec.paramKind");
    kind.map_or("<unset>".into(), |kind| format!("{}/{}", kind.text("apiVersion"), kind.text("kind")).into())
}

pub(crate) fn param_ref(object: &Value, _: Context) -> Value {
    let Some(param) = object.at("spec.paramRef") else { return "<unset>".into() };
    match (param.text("namespace"), param.text("name")) {
        (_, "") => label_selector(param.at("selector")),
        ("", name) => name.into(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
    .into()
}

pub(crate) fn role_ref(binding: &Value, _: Context) -> Value {
    format!("{}/{}", binding.text("roleRef.kind"), binding.text("roleRef.name")).into()
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let name = |subject: &Value| match subject.text("namespace") {
        "" => subject.text("name").to_owned(),
        namespace => format!("{namespace}/{}", subject.text("name")),
    };
    let list: Vec<String> =
        binding.items("subjects").iter().filter(|subject| subject.text("kind") == kind).map(name).collect();
    list.join(", ").into()
}

pub(crate) fn subject_users(binding: &Value, _: Context) -> Value {
    subjects(binding, "User")
}

pub(crate) fn subject_groups(binding: &Value, _: Context) -> Value {
    subjects(binding, "Group")
}

pub(crate) fn subject_accounts(binding: &Value, _: Context) -> Value {
    subjects(binding, "ServiceAccount")
}

pub(crate) fn csr_duration(request: &Value, _: Context) -> Value {
    request.int_at("spec.expirationSeconds").map_or("<none>".into(), |seconds| human_duration(seconds).into())
}

pub(crate) fn csr_condition(request: &Value, _: Context) -> Value {
    let has = |kind: &str| request.item_where("status.conditions", "type", kind).is_some();
    let mut text = match () {
        _ if has("Denied") => "Denied",
        _ if has("Approved") => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text += ",Failed";
    }
    if !request.text("status.certificate").is_empty() {
        text += ",Issued";
    }
    text.into()
}
