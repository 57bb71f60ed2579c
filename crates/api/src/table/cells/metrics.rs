//! What all containers of a pod use together.

use super::Context;
use crate::Quantity;
use crate::access::Access;
use crate::quantity::Format;
use serde_json::Value;

pub(crate) fn metrics_cpu(pod: &Value, _: Context) -> Value {
    let milli = sum(pod, "cpu", Quantity::milli_value);
    Quantity::from_milli(milli).to_string().into()
}

pub(crate) fn metrics_memory(pod: &Value, _: Context) -> Value {
    let bytes = sum(pod, "memory", Quantity::value);
    Quantity::from_integer(bytes, Format::BinarySi).to_string().into()
}

/// What is no quantity counts as nothing.
fn sum(pod: &Value, resource: &str, of: fn(Quantity) -> i64) -> i64 {
    let usages = pod.items("containers").iter().filter_map(|container| container.at("usage"));
    let amounts = usages.filter_map(|usage| usage.text(resource).parse::<Quantity>().ok());
    amounts.map(of).fold(0, i64::saturating_add)
}
