//! Between the stored version and the others that are served. Few kinds have two.

use serde_json::{Value, json};

/// How a served version differs from the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Not at all.
    None,
    /// events.k8s.io/v1, stored as v1.
    Event,
    /// autoscaling/v1, stored as v2.
    Autoscaler,
}

/// v1 field and events.k8s.io/v1 field.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// What autoscaling/v1 cannot say; kept in annotations as upstream does.
const KEPT: [(&str, &str, &str); 2] = [
    ("spec", "behavior", "autoscaling.alpha.kubernetes.io/behavior"),
    ("status", "conditions", "autoscaling.alpha.kubernetes.io/conditions"),
];
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CPU: &str = "targetCPUUtilizationPercentage";

impl Conversion {
    pub fn between(served: (&str, &str, &str), stored: (&str, &str, &str)) -> Self {
        match (served, stored) {
            (served, stored) if served == stored => Self::None,
            (("events.k8s.io", ..), ("", ..)) => Self::Event,
            (("autoscaling", "v1", _), ("autoscaling", "v2", _)) => Self::Autoscaler,
            _ => Self::None,
        }
    }

    pub fn to_served(self, object: &mut Value) {
        match self {
            Self::None => {}
            Self::Event => EVENT_FIELDS.iter().for_each(|(stored, served)| rename(object, stored, served)),
            Self::Autoscaler => autoscaler_to_v1(object),
        }
    }

    pub fn to_stored(self, object: &mut Value) {
        match self {
            Self::None => {}
            Self::Event => EVENT_FIELDS.iter().for_each(|(stored, served)| rename(object, served, stored)),
            Self::Autoscaler => autoscaler_to_v2(object),
        }
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(object) = object.as_object_mut()
        && let Some(value) = object.remove(from)
    {
        object.insert(to.into(), value);
    }
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"]["target"]["averageUtilization"].is_i64()
}

fn autoscaler_to_v1(object: &mut Value) {
    for (part, field, annotation) in KEPT {
        if let Some(value) = object[part].as_object_mut().and_then(|part| part.remove(field)) {
            object["metadata"]["annotations"][annotation] = json!(value.to_string());
        }
    }
    let Some(Value::Array(mut metrics)) =
        object["spec"].as_object_mut().and_then(|spec| spec.remove("metrics"))
    else {
        return;
    };
    if let Some(at) = metrics.iter().position(is_cpu) {
        let cpu = metrics.remove(at);
        object["spec"][CPU] = cpu["resource"]["target"]["averageUtilization"].clone();
    }
    if !metrics.is_empty() {
        object["metadata"]["annotations"][METRICS] = json!(Value::Array(metrics).to_string());
    }
    if let Some(status) = object["status"].as_object_mut() {
        status.remove("currentMetrics");
    }
}

fn autoscaler_to_v2(object: &mut Value) {
    let kept = |object: &mut Value, annotation: &str| -> Option<Value> {
        let annotations = object["metadata"]["annotations"].as_object_mut()?;
        let text = annotations.remove(annotation)?;
        serde_json::from_str(text.as_str()?).ok() // a broken annotation of a client says nothing
    };
    for (part, field, annotation) in KEPT {
        if let Some(value) = kept(object, annotation) {
            object[part][field] = value;
        }
    }
    let mut metrics = match kept(object, METRICS) {
        Some(Value::Array(metrics)) => metrics,
        _ => Vec::new(),
    };
    if let Some(percent) = object["spec"].as_object_mut().and_then(|spec| spec.remove(CPU)) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = Value::Array(metrics);
    }
}
