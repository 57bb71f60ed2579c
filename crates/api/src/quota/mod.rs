//! What objects take of a ResourceQuota: amounts by name, and whether a quota counts an object at all.
//!
//! Admission charges by it when objects are made, a controller counts by it what is there. Reading order: [`usage`]
//! (services, claims, objects), [`pods`], [`scopes`].
//!
//! Upstream: pkg/quota/v1/evaluator/core, k8s.io/apiserver/pkg/quota/v1.

mod pods;
mod scopes;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::quantity::Quantity;

pub use pods::missing;
pub use scopes::matches;
pub use usage::{counted, usage};

/// Amounts by the names that quotas use: `pods`, `requests.cpu`, `count/jobs.batch`.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a map of quantities. What is no quantity was refused when it was written.
pub fn amounts(value: &Value) -> Amounts {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(name, amount)| Some((name.clone(), amount.as_str()?.parse().ok()?))).collect()
}

/// The same as a map again.
pub fn to_value(amounts: &Amounts) -> Value {
    let entry = |(name, amount): (&String, &Quantity)| (name.clone(), Value::String(amount.to_string()));
    Value::Object(amounts.iter().map(entry).collect::<Map<_, _>>())
}

/// Adds up.
pub fn add(into: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = into.entry(name.clone()).or_insert(Quantity::ZERO);
        *sum = *sum + *amount;
    }
}

/// What `new` has more than `old`; never below nothing.
#[must_use]
pub fn growth(new: &Amounts, old: &Amounts) -> Amounts {
    let more = |(name, amount): (&String, &Quantity)| {
        let before = old.get(name).copied().unwrap_or(Quantity::ZERO);
        (*amount > before).then(|| (name.clone(), *amount - before))
    };
    new.iter().filter_map(more).collect()
}

/// `cpu=1,pods=2`, as messages have it.
pub fn told(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}
