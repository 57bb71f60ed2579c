//! matchConditions: expressions that a write has to satisfy before a webhook is asked.
//!
//! `authorizer` is not among the names that they know.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions.

use cel::{Environment, PER_CALL_BUDGET, REQUEST_BUDGET, Type};
use serde_json::Value;

use crate::auth::fields;

/// What a webhook's conditions say of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// None is false, and one cannot be evaluated.
    Failed(String),
}

const NAMES: [&str; 3] = ["object", "oldObject", "request"];

/// Evaluates all conditions of `hook`. One that is false decides, whatever fails beside it.
pub(super) fn evaluate(hook: &Value, asked: &Value) -> Match {
    let (mut failure, mut left) = (None, REQUEST_BUDGET);
    for condition in fields::list(hook, "/matchConditions") {
        let name = fields::text(condition, "/name");
        match one(fields::text(condition, "/expression"), asked, &mut left) {
            Ok(true) => {}
            Ok(false) => return Match::No,
            Err(why) => {
                failure.get_or_insert(format!("expression {name:?} resulted in error: {why}"));
            }
        }
    }
    failure.map_or(Match::Yes, Match::Failed)
}

fn one(expression: &str, asked: &Value, left: &mut u64) -> Result<bool, String> {
    let mut environment = Environment::new();
    NAMES.iter().for_each(|name| environment.declare(name, Type::Dyn));
    let program = environment.compile(expression).map_err(|error| error.to_string())?;
    let values = [&asked["object"], &asked["oldObject"], asked];
    let names: Vec<(&str, cel::Value<'_>)> =
        NAMES.iter().zip(values).map(|(name, value)| (*name, cel::Value::of(value, &Type::Dyn))).collect();
    let mut budget = PER_CALL_BUDGET.min(*left);
    let given = budget;
    let result = program.evaluate(&names, &mut budget);
    *left -= given - budget;
    match result {
        Ok(cel::Value::Bool(matches)) => Ok(matches),
        Ok(_) => Err("the expression is no condition".into()),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(expressions: &[&str]) -> Match {
        let conditions: Vec<Value> =
            expressions.iter().map(|text| json!({"name": "c", "expression": text})).collect();
        let asked = json!({
            "operation": "CREATE", "userInfo": {"username": "bob"},
            "object": {"metadata": {"name": "a"}}, "oldObject": null,
        });
        evaluate(&json!({"matchConditions": conditions}), &asked)
    }

    #[test]
    fn all_have_to_be_true() {
        assert_eq!(check(&[]), Match::Yes);
        assert_eq!(check(&["object.metadata.name == 'a'", "oldObject == null"]), Match::Yes);
        assert_eq!(check(&["request.userInfo.username != 'bob'"]), Match::No);
    }

    #[test]
    fn a_false_one_outweighs_a_broken_one() {
        assert!(matches!(check(&["object.nothing.here"]), Match::Failed(_)));
        assert!(matches!(check(&["no such"]), Match::Failed(_)));
        assert_eq!(check(&["object.nothing.here", "false"]), Match::No);
    }
}
