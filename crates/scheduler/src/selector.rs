//! Label selectors, compiled once and comparable, so that equal ones share what was counted for them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub(crate) type Labels = BTreeMap<String, String>;

/// Picks objects by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    Nothing,
    /// All of these must hold; none picks everything.
    All(Vec<Requirement>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// An absent selector picks nothing, an empty one everything.
    pub fn of(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self::Nothing };
        let exact =
            selector.match_labels.iter().flatten().map(|(key, value)| Requirement::equals(key, value));
        let others = selector.match_expressions.iter().flatten().map(Requirement::of);
        let all: Option<Vec<_>> = exact.map(Some).chain(others).collect();
        // The server lets no unknown operator through.
        all.map_or(Self::Nothing, Self::All)
    }

    pub fn of_map(labels: &Labels) -> Self {
        Self::All(labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
    }

    /// What both pick.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut all), Self::All(more)) => {
                all.extend(more);
                Self::All(all)
            }
            _ => Self::Nothing,
        }
    }

    pub fn picks_everything(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }

    pub fn picks(&self, labels: Option<&Labels>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(all) => all.iter().all(|requirement| requirement.holds(labels)),
        }
    }
}

impl Requirement {
    fn equals(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), operator: Operator::In, values: vec![value.to_owned()] }
    }

    fn of(requirement: &LabelSelectorRequirement) -> Option<Self> {
        let operator = match requirement.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = requirement.values.clone().unwrap_or_default();
        Some(Self { key: requirement.key.clone(), operator, values })
    }

    fn holds(&self, labels: Option<&Labels>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key));
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => !value.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn picks_as_upstream() {
        let labels: Labels = [("app".to_owned(), "web".to_owned())].into();
        let picks = |selector: Value| {
            let selector: LabelSelector = serde_json::from_value(selector).expect("a selector");
            Selector::of(Some(&selector)).picks(Some(&labels))
        };
        let expression = |key: &str, operator: &str, values: &[&str]| {
            picks(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert!(picks(json!({})) && !Selector::of(None).picks(Some(&labels)));
        assert!(
            picks(json!({"matchLabels": {"app": "web"}})) && !picks(json!({"matchLabels": {"app": "db"}}))
        );
        assert!(expression("app", "In", &["a", "web"]) && !expression("tier", "In", &["web"]));
        assert!(expression("tier", "NotIn", &["web"]) && !expression("app", "NotIn", &["web"]));
        assert!(expression("app", "Exists", &[]) && expression("tier", "DoesNotExist", &[]));
    }
}
