//! Where a pod may run: affinity, tolerations, spread.

use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{one_of, optional_one_of};
use crate::validate::metadata::invalid_each;
use crate::validate::names;
use crate::validate::selectors::label_selector;
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(affinity) = spec.at("affinity") else { return };
    let path = path.child("affinity");
    if let Some(found) = affinity.at("nodeAffinity") {
        node_affinity(found, &path.child("nodeAffinity"), errors);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        if let Some(found) = affinity.at(field) {
            pod_affinity(found, &path.child(field), errors);
        }
    }
}

fn node_affinity(affinity: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(selector) = affinity.at(REQUIRED) {
        node_selector(selector, &path.child(REQUIRED), errors);
    }
    let path = path.child(PREFERRED);
    for (index, term) in affinity.items(PREFERRED).iter().enumerate() {
        let path = path.index(index);
        weight(term, &path, errors);
        if let Some(preference) = term.at("preference") {
            node_selector_term(preference, &path.child("preference"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let weight = term.int("weight");
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// A NodeSelector: of pods and of volumes.
pub(crate) fn node_selector(selector: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("nodeSelectorTerms");
    if selector.items("nodeSelectorTerms").is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (index, term) in selector.items("nodeSelectorTerms").iter().enumerate() {
        node_selector_term(term, &path.index(index), errors);
    }
}

fn node_selector_term(term: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("matchExpressions");
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        let path = at.index(index);
        node_requirement(requirement, &path, errors);
        let key = requirement.text("key");
        invalid_each(&path.child("key"), key, names::qualified_name(key), errors);
    }
    let at = path.child("matchFields");
    for (index, requirement) in term.items("matchFields").iter().enumerate() {
        let path = at.index(index);
        if !matches!(requirement.text("operator"), "In" | "NotIn") {
            errors.invalid(
                &path.child("operator"),
                requirement.text("operator"),
                "not a valid selector operator",
            );
        } else if requirement.items("values").len() != 1 {
            errors.required(
                &path.child("values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            );
        }
        if requirement.text("key") != "metadata.name" {
            errors.invalid(&path.child("key"), requirement.text("key"), "not a valid field selector key");
        }
    }
}

fn node_requirement(requirement: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let count = requirement.items("values").len();
    match requirement.text("operator") {
        "In" | "NotIn" if count == 0 => {
            errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'")
        }
        "Exists" | "DoesNotExist" if count > 0 => errors.forbidden(
            &path.child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        "Gt" | "Lt" if count != 1 => errors.required(
            &path.child("values"),
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
        ),
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
}

fn pod_affinity(affinity: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child(REQUIRED);
    for (index, term) in affinity.items(REQUIRED).iter().enumerate() {
        pod_affinity_term(term, &at.index(index), errors);
    }
    let at = path.child(PREFERRED);
    for (index, term) in affinity.items(PREFERRED).iter().enumerate() {
        let path = at.index(index);
        weight(term, &path, errors);
        if let Some(found) = term.at("podAffinityTerm") {
            pod_affinity_term(found, &path.child("podAffinityTerm"), errors);
        }
    }
}

fn pod_affinity_term(term: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    label_selector(term.at("labelSelector"), &path.child("labelSelector"), errors);
    label_selector(term.at("namespaceSelector"), &path.child("namespaceSelector"), errors);
    for name in term.items("namespaces").iter().filter_map(Value::as_str) {
        invalid_each(&path.child("namespace"), name, names::dns1123_label(name), errors);
    }
    topology_key(term, path, errors);
}

fn topology_key(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    match object.text("topologyKey") {
        "" => errors.required(&path.child("topologyKey"), "can not be empty"),
        key => invalid_each(&path.child("topologyKey"), key, names::qualified_name(key), errors),
    }
}

pub(super) fn tolerations(list: &[Value], path: &Path<'_>, errors: &mut FieldErrors) {
    for (index, toleration) in list.iter().enumerate() {
        let path = path.index(index);
        let (key, operator, value) =
            (toleration.text("key"), toleration.text("operator"), toleration.text("value"));
        if !key.is_empty() {
            invalid_each(&path.child("key"), key, names::qualified_name(key), errors);
        } else if operator != "Exists" {
            errors.invalid(
                &path.child("operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.has("tolerationSeconds") && toleration.text("effect") != "NoExecute" {
            errors.invalid(
                &path.child("effect"),
                toleration.text("effect"),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        match operator {
            "" | "Equal" => invalid_each(&path.child("operator"), value, names::label_value(value), errors),
            "Exists" if !value.is_empty() => errors.invalid(
                &path.child("operator"),
                toleration.clone(),
                "value must be empty when `operator` is 'Exists'",
            ),
            "Exists" => {}
            other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        optional_one_of(
            toleration,
            "effect",
            &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            &path,
            errors,
        );
    }
}

pub(super) fn spread_constraints(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("topologySpreadConstraints");
    let mut seen = Vec::new();
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        if constraint.int("maxSkew") <= 0 {
            errors.invalid(&path.child("maxSkew"), constraint.int("maxSkew"), "must be greater than zero");
        }
        topology_key(constraint, &path, errors);
        one_of(constraint, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"], &path, errors);
        let pair = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        if seen.contains(&pair) {
            errors.duplicate(
                &path.child("{topologyKey, whenUnsatisfiable}"),
                format!("{{{}, {}}}", pair.0, pair.1),
            );
        }
        seen.push(pair);
        if let Some(domains) = constraint.int_at("minDomains") {
            min_domains(domains, pair.1, &path, errors);
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            optional_one_of(constraint, field, &["Honor", "Ignore"], &path, errors);
        }
        label_selector(constraint.at("labelSelector"), &path.child("labelSelector"), errors);
    }
}

fn min_domains(domains: i64, when: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("minDomains");
    if domains <= 0 {
        errors.invalid(&path, domains, "must be greater than zero");
    }
    if when != "DoNotSchedule" {
        errors.invalid(
            &path,
            domains,
            format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"),
        );
    }
}
