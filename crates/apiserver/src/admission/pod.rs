//! What several plugins ask of a pod.

use serde_json::{Value, json};

/// Marks the API's picture of a pod that a kubelet runs from a file.
pub(super) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

pub(super) fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR_ANNOTATION].is_null()
}

/// The containers of the named lists of a pod's spec.
pub(super) fn containers_mut<'a>(
    spec: &'a mut Value,
    lists: &'a [&str],
) -> impl Iterator<Item = &'a mut Value> {
    let all = spec.as_object_mut().into_iter().flatten();
    all.filter(|(field, _)| lists.contains(&field.as_str()))
        .filter_map(|(_, list)| list.as_array_mut())
        .flatten()
}

/// Appends to the list `field`, which may be absent.
pub(super) fn push(object: &mut Value, field: &str, item: Value) {
    match object[field].as_array_mut() {
        Some(list) => list.push(item),
        None => object[field] = json!([item]),
    }
}
