//! Admission policies: what does not compile is refused when it is written.
//!
//! Upstream: pkg/apis/admissionregistration/validation.

use api::{FieldErrors, Path};
use serde_json::Value;

use super::Strategy;
use crate::admission::expressions::environment;

pub(super) struct ValidatingPolicies;

impl Strategy for ValidatingPolicies {
    fn resource(&self) -> (&'static str, &'static str) {
        ("admissionregistration.k8s.io", "validatingadmissionpolicies")
    }

    fn validate_create(&self, policy: &Value, errors: &mut FieldErrors) {
        check(policy, errors);
    }

    fn validate_update(&self, policy: &Value, old: &Value, errors: &mut FieldErrors) {
        if policy["spec"] != old["spec"] {
            check(policy, errors);
        }
    }
}

/// Lists of a policy, and the fields in their items that are expressions.
const EXPRESSIONS: [(&str, &[&str]); 4] = [
    ("variables", &["expression"]),
    ("matchConditions", &["expression"]),
    ("validations", &["expression", "messageExpression"]),
    ("auditAnnotations", &["valueExpression"]),
];

fn check(policy: &Value, errors: &mut FieldErrors) {
    let (env, root) = (environment(), Path::Root);
    let spec = root.child("spec");
    for (list, fields) in EXPRESSIONS {
        let at = spec.child(list);
        for (index, item) in policy["spec"][list].as_array().into_iter().flatten().enumerate() {
            let item_path = at.index(index);
            for field in fields {
                let text = item[*field].as_str().unwrap_or("");
                let path = item_path.child(field);
                match (text.trim(), *field) {
                    ("", "messageExpression") => {}
                    ("", _) => errors.required(&path, format!("{field} is not specified")),
                    _ => {
                        if let Err(error) = env.compile(text) {
                            errors.invalid(&path, text, error.to_string());
                        }
                    }
                }
            }
        }
    }
}
