//! The rest: one or two cells a kind.

use super::{Context, text_or};
use crate::access::Access;
use serde_json::Value;

pub(crate) fn config_map_size(object: &Value, _: Context) -> Value {
    (object.map("data").len() + object.map("binaryData").len()).into()
}

pub(crate) fn secret_size(object: &Value, _: Context) -> Value {
    object.map("data").len().into()
}

pub(crate) fn account_secrets(object: &Value, _: Context) -> Value {
    object.items("secrets").len().into()
}

pub(crate) fn quota_requests(quota: &Value, _: Context) -> Value {
    quota_of(quota, false)
}

pub(crate) fn quota_limits(quota: &Value, _: Context) -> Value {
    quota_of(quota, true)
}

fn quota_of(quota: &Value, limits: bool) -> Value {
    let used = quota.map("status.used");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("0").to_owned();
    let wanted = quota.map("status.hard").iter().filter(|(name, _)| name.starts_with("limits") == limits);
    wanted
        .map(|(name, hard)| format!("{name}: {}/{}", text(used.get(name)), text(Some(hard))))
        .collect::<Vec<_>>()
        .join(", ")
        .into()
}

pub(crate) fn priority_value(class: &Value, _: Context) -> Value {
    class.int("value").into()
}

pub(crate) fn priority_default(class: &Value, _: Context) -> Value {
    class.flag("globalDefault").into()
}

pub(crate) fn distinguisher(schema: &Value, _: Context) -> Value {
    text_or(schema, "spec.distinguisherMethod.type", "<none>")
}

pub(crate) fn missing_priority_level(schema: &Value, _: Context) -> Value {
    schema
        .item_where("status.conditions", "type", "Dangling")
        .map_or("?".into(), |condition| condition.text("status").into())
}

fn number_or_none(object: &Value, path: &str) -> Value {
    object.int_at(path).map_or("<none>".into(), Value::from)
}

pub(crate) fn nominal_shares(level: &Value, _: Context) -> Value {
    match level.int_at("spec.limited.nominalConcurrencyShares") {
        Some(shares) => shares.into(),
        None => number_or_none(level, "spec.exempt.nominalConcurrencyShares"),
    }
}

pub(crate) fn queues(level: &Value, _: Context) -> Value {
    number_or_none(level, "spec.limited.limitResponse.queuing.queues")
}

pub(crate) fn hand_size(level: &Value, _: Context) -> Value {
    number_or_none(level, "spec.limited.limitResponse.queuing.handSize")
}

pub(crate) fn queue_length(level: &Value, _: Context) -> Value {
    number_or_none(level, "spec.limited.limitResponse.queuing.queueLengthLimit")
}

/// A resource claim: pending, allocated, reserved, deleted.
pub(crate) fn claim_state(claim: &Value, _: Context) -> Value {
    let (deleted, allocated) = (claim.has("metadata.deletionTimestamp"), claim.has("status.allocation"));
    let states = [
        (deleted, "deleted"),
        (allocated, "allocated"),
        (!allocated && !deleted, "pending"),
        (!claim.items("status.reservedFor").is_empty(), "reserved"),
    ];
    states.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect::<Vec<_>>().join(",").into()
}

pub(crate) fn slice_node(slice: &Value, _: Context) -> Value {
    slice.text("spec.nodeName").into()
}

pub(crate) fn encoding_version(object: &Value, _: Context) -> Value {
    text_or(object, "status.commonEncodingVersion", "<unset>")
}

pub(crate) fn storage_versions(object: &Value, _: Context) -> Value {
    let list = object
        .items("status.storageVersions")
        .iter()
        .map(|version| format!("{}={}", version.text("apiServerID"), version.text("encodingVersion")))
        .collect::<Vec<_>>();
    if list.is_empty() { "<unset>".into() } else { super::text::first_and_more(&list, 3, ",").into() }
}

pub(crate) fn api_service(object: &Value, _: Context) -> Value {
    let service = object.at("spec.service");
    service.map_or("Local".into(), |service| {
        format!("{}/{}", service.text("namespace"), service.text("name")).into()
    })
}

pub(crate) fn api_service_available(object: &Value, _: Context) -> Value {
    let Some(condition) = object.item_where("status.conditions", "type", "Available") else {
        return "Unknown".into();
    };
    match condition.text("status") {
        "True" => "True".into(),
        status => format!("{status} ({})", condition.text("reason")).into(),
    }
}
