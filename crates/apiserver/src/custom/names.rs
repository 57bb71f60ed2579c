//! Which of the names that a definition asks for it gets, and what its conditions say. Pure.
//!
//! Upstream: apiextensions-apiserver/pkg/controller/{status,establish,apiapproval}.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::CLEANUP;
use crate::object;

const APPROVAL: &str = "api-approved.kubernetes.io";

/// The status that `definition` should have, given the other definitions of its group and the time.
pub(super) fn status(definition: &Value, others: &[&Value], now: &str) -> Value {
    let (names, accepted) = names(definition, others);
    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["acceptedNames"] = names;
    let is_accepted = accepted.is_ok();
    let (reason, message) = accepted.unwrap_or_else(|conflict| conflict);
    set(&mut status, "NamesAccepted", is_accepted, (&reason, &message), now);
    if is_accepted {
        set(
            &mut status,
            "Established",
            true,
            ("InitialNamesAccepted", "the initial names have been accepted"),
            now,
        );
    } else if condition(&status, "Established").is_none() {
        set(&mut status, "Established", false, ("NotAccepted", "not all names are accepted"), now);
    }
    if let Some((approved, reason, message)) = approval(definition) {
        set(&mut status, "KubernetesAPIApprovalPolicyConformant", approved, (reason, &message), now);
    }
    status
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Sets a condition; its time moves only when its status does.
pub fn set(status: &mut Value, kind: &str, is_true: bool, (reason, message): (&str, &str), now: &str) {
    let value = if is_true { "True" } else { "False" };
    let old = condition(status, kind).cloned();
    let since =
        old.as_ref().filter(|old| old["status"] == value).map(|old| old["lastTransitionTime"].clone());
    let new = json!({
        "type": kind, "status": value, "reason": reason, "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| json!(now)),
    });
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(list) = status["conditions"].as_array_mut() else { return };
    match list.iter_mut().find(|condition| condition["type"] == kind) {
        // What was established stays as it was told.
        Some(found) if kind == "Established" && found["status"] == value => {}
        Some(found) => *found = new,
        None => list.push(new),
    }
}

type Verdict = Result<(String, String), (String, String)>;

fn names(definition: &Value, others: &[&Value]) -> (Value, Verdict) {
    let wanted = &definition["spec"]["names"];
    let own = &definition["status"]["acceptedNames"];
    let taken = Taken::by(others);
    let mut names = own.clone();
    if !names.is_object() {
        names = json!({});
    }
    let mut conflict: Option<(String, String)> = None;
    for (field, reason, used) in
        [("plural", "PluralConflict", &taken.resources), ("singular", "SingularConflict", &taken.resources)]
    {
        one(wanted, own, &mut names, field, reason, used, &mut conflict);
    }
    short_names(wanted, own, &mut names, &taken.resources, &mut conflict);
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        one(wanted, own, &mut names, field, reason, &taken.kinds, &mut conflict);
    }
    copy(wanted, &mut names, "categories");
    let fine = ("NoConflicts".to_owned(), "no conflicts found".to_owned());
    (names, conflict.map_or(Ok(fine), Err))
}

struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    fn by(others: &[&Value]) -> Self {
        let mut taken = Self { resources: BTreeSet::new(), kinds: BTreeSet::new() };
        for other in others {
            let names = &other["status"]["acceptedNames"];
            let text = |field: &str| names[field].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
            taken.resources.extend([text("plural"), text("singular")].into_iter().flatten());
            let short = names["shortNames"].as_array().into_iter().flatten();
            taken.resources.extend(short.filter_map(Value::as_str).map(str::to_owned));
            taken.kinds.extend([text("kind"), text("listKind")].into_iter().flatten());
        }
        taken
    }
}

fn one(
    wanted: &Value,
    own: &Value,
    names: &mut Value,
    field: &str,
    reason: &str,
    used: &BTreeSet<String>,
    conflict: &mut Option<(String, String)>,
) {
    let name = wanted[field].as_str().unwrap_or("");
    if own[field] != name && used.contains(name) {
        *conflict = Some((reason.to_owned(), format!("{name:?} is already in use")));
    } else {
        copy(wanted, names, field);
    }
}

fn short_names(
    wanted: &Value,
    own: &Value,
    names: &mut Value,
    used: &BTreeSet<String>,
    conflict: &mut Option<(String, String)>,
) {
    let list = |value: &Value| value["shortNames"].as_array().cloned().unwrap_or_default(); // none given
    let had = list(own);
    let taken: Vec<String> = list(wanted)
        .iter()
        .filter(|name| !had.contains(name))
        .filter_map(Value::as_str)
        .filter(|name| used.contains(*name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match taken.as_slice() {
        [] => copy(wanted, names, "shortNames"),
        [one] => *conflict = Some(("ShortNamesConflict".into(), one.clone())),
        many => *conflict = Some(("ShortNamesConflict".into(), format!("[{}]", many.join(", ")))),
    }
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    match (from.get(field), to.as_object_mut()) {
        (Some(value), Some(to)) if !value.is_null() => {
            to.insert(field.to_owned(), value.clone());
        }
        (_, Some(to)) => {
            to.remove(field);
        }
        _ => {}
    }
}

/// Groups that belong to the Kubernetes community want its approval.
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")))
}

fn approval(definition: &Value) -> Option<(bool, &'static str, String)> {
    is_protected(definition["spec"]["group"].as_str()?).then_some(())?;
    let text = definition["metadata"]["annotations"][APPROVAL].as_str().unwrap_or("");
    let quoted = format!("\"{APPROVAL}\"");
    Some(match text {
        "" => (
            false,
            "MissingAnnotation",
            format!(
                "protected groups must have approval annotation {quoted}, see https://github.com/kubernetes/enhancements/pull/1111"
            ),
        ),
        bypass if bypass.starts_with("unapproved") => {
            (false, "UnapprovedAnnotation", format!("not approved: {text:?}"))
        }
        url if url.starts_with("https://") || url.starts_with("http://") => {
            (true, "ApprovedAnnotation", format!("approved in {url}"))
        }
        _ => (
            false,
            "InvalidAnnotation",
            format!(
                "protected groups must have approval annotation {quoted} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            ),
        ),
    })
}

/// Whether the objects of a definition are to be deleted now.
pub(super) fn is_emptying(definition: &Value) -> bool {
    object::is_terminating(definition) && object::finalizers(definition).iter().any(|name| name == CLEANUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
        let names = json!({"plural": plural, "singular": plural, "kind": kind, "listKind": format!("{kind}List"), "shortNames": short});
        json!({"metadata": {}, "spec": {"group": "sea.test", "names": names}, "status": {}})
    }

    fn check(new: &Value, others: &[&Value], wanted: Expect) {
        let status = status(new, others, "2026-01-01T00:00:00Z");
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let told: Vec<String> = conditions
            .iter()
            .map(|c| {
                format!("{}={} {}: {}", c["type"], c["status"], c["reason"], c["message"]).replace('"', "")
            })
            .collect();
        wanted.assert_eq(&format!("{}\n{}", status["acceptedNames"], told.join("\n")));
    }

    #[test]
    fn names_are_given_once() {
        let mut boats = definition("boats", "Boat", &["bo"]);
        check(
            &boats,
            &[],
            expect![[r#"
                {"kind":"Boat","listKind":"BoatList","plural":"boats","shortNames":["bo"],"singular":"boats"}
                NamesAccepted=True NoConflicts: no conflicts found
                Established=True InitialNamesAccepted: the initial names have been accepted"#]],
        );
        boats["status"] = status(&boats, &[], "2026-01-01T00:00:00Z");
        check(
            &definition("ships", "Boat", &["bo"]),
            &[&boats],
            expect![[r#"
                {"plural":"ships","singular":"ships"}
                NamesAccepted=False ListKindConflict: \BoatList\ is already in use
                Established=False NotAccepted: not all names are accepted"#]],
        );
    }
}
