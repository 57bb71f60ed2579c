//! `create namespace`, `serviceaccount`, `quota`, `priorityclass`, `poddisruptionbudget`.

use serde_json::{Value, json};

use super::generate::{flags, make, name};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};

pub const NAMESPACE: Command = Command::new(
    "namespace",
    "Create a namespace with the specified name",
    "NAME [--dry-run=server|client|none]",
)
.aliases(&["ns"])
.flags(flags![])
.run(|cx| Box::pin(namespace(cx)));

pub const SERVICE_ACCOUNT: Command = Command::new(
    "serviceaccount",
    "Create a service account with the specified name",
    "NAME [--dry-run=server|client|none]",
)
.aliases(&["sa"])
.flags(flags![])
.run(|cx| Box::pin(service_account(cx)));

pub const QUOTA: Command = Command::new(
    "quota",
    "Create a quota with the specified name",
    "NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2]",
)
.aliases(&["resourcequota"])
.flags(flags![
    Flag::text("hard", "Resources and their limits (cpu=1,pods=10)."),
    Flag::text("scopes", "Scopes of what is counted."),
])
.run(|cx| Box::pin(quota(cx)));

pub const PRIORITY_CLASS: Command = Command::new(
    "priorityclass",
    "Create a priority class with the specified name",
    "NAME --value=VALUE --global-default=BOOL",
)
.aliases(&["pc"])
.flags(flags![
    Flag::int("value", "0", "How important."),
    Flag::switch("global-default", "The class of pods that name none."),
    Flag::text("description", "When to use it."),
    Flag::text("preemption-policy", "Never or PreemptLowerPriority.").default("PreemptLowerPriority"),
])
.run(|cx| Box::pin(priority_class(cx)));

pub const DISRUPTION_BUDGET: Command = Command::new(
    "poddisruptionbudget",
    "Create a pod disruption budget with the specified name",
    "NAME --selector=SELECTOR --min-available=N",
)
.aliases(&["pdb"])
.flags(flags![
    Flag::text("selector", "Labels of the pods."),
    Flag::text("min-available", "How many must stay, as a number or percentage."),
    Flag::text("max-unavailable", "How many may be away, as a number or percentage."),
])
.run(|cx| Box::pin(disruption_budget(cx)));

async fn namespace(cx: Context) -> Result {
    let name = name(&cx)?;
    make(&cx, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}, "status": {}})).await
}

async fn service_account(cx: Context) -> Result {
    let name = name(&cx)?;
    make(&cx, json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await
}

async fn quota(cx: Context) -> Result {
    let name = name(&cx)?;
    let mut spec = json!({});
    for pair in cx.flags.text("hard").split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::said(format!("invalid argument syntax {pair}, expected <resource>=<value>"))
        })?;
        let quantity: api::Quantity = value.parse().map_err(|_| {
            Error::said(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            )
        })?;
        spec["hard"][key] = quantity.to_string().into();
    }
    let scopes: Vec<&str> = cx.flags.text("scopes").split(',').filter(|scope| !scope.is_empty()).collect();
    if !scopes.is_empty() {
        spec["scopes"] = json!(scopes);
    }
    make(&cx, json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec, "status": {}})).await
}

async fn priority_class(cx: Context) -> Result {
    let name = name(&cx)?;
    let mut object = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": cx.flags.int("value"), "preemptionPolicy": cx.flags.text("preemption-policy"),
    });
    if cx.flags.on("global-default") {
        object["globalDefault"] = true.into();
    }
    if !cx.flags.text("description").is_empty() {
        object["description"] = cx.flags.text("description").into();
    }
    make(&cx, object).await
}

async fn disruption_budget(cx: Context) -> Result {
    let name = name(&cx)?;
    let (selector, least, most) =
        (cx.flags.text("selector"), cx.flags.text("min-available"), cx.flags.text("max-unavailable"));
    if selector.is_empty() {
        return Err(Error::said("a selector must be specified"));
    }
    let mut spec = json!({"selector": selector_of(selector)?});
    match (least, most) {
        ("", "") => return Err(Error::said("one of min-available or max-unavailable must be specified")),
        (least, "") => spec["minAvailable"] = number_or_text(least),
        ("", most) => spec["maxUnavailable"] = number_or_text(most),
        _ => return Err(Error::said("min-available and max-unavailable cannot be both specified")),
    }
    let status =
        json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    make(&cx, json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec, "status": status})).await
}

pub fn number_or_text(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

/// `a=b,c=d` as a label selector.
fn selector_of(text: &str) -> Result<Value> {
    let mut labels = json!({});
    for pair in text.split(',') {
        let (key, value) = pair.split_once("==").or_else(|| pair.split_once('=')).ok_or_else(|| {
            Error::said(format!(
                "couldn't parse the selector string \"{text}\": only key=value is taken here"
            ))
        })?;
        labels[key.trim()] = value.trim().into();
    }
    Ok(json!({"matchLabels": labels}))
}
