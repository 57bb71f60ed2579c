//! The conditions of an autoscaler.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const ABLE: &str = "AbleToScale";
pub(super) const ACTIVE: &str = "ScalingActive";
pub(super) const LIMITED: &str = "ScalingLimited";

/// What a condition says.
#[derive(Clone, Debug)]
pub(super) struct Says {
    pub kind: &'static str,
    pub holds: bool,
    pub reason: &'static str,
    pub message: String,
}

pub(super) fn says(
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: impl Into<String>,
) -> Says {
    Says { kind, holds, reason, message: message.into() }
}

pub(super) fn set(status: &mut HorizontalPodAutoscalerStatus, says: Says, now: Timestamp) {
    let holds = if says.holds { "True" } else { "False" };
    let all = status.conditions.get_or_insert_default();
    let known = all.iter().position(|condition| condition.type_ == says.kind);
    let at = known.unwrap_or_else(|| {
        all.push(HorizontalPodAutoscalerCondition { type_: says.kind.to_owned(), ..Default::default() });
        all.len() - 1
    });
    let condition = &mut all[at];
    if condition.status != holds {
        condition.status = holds.to_owned();
        condition.last_transition_time = Some(Time(now));
    }
    condition.reason = Some(says.reason.to_owned());
    condition.message = Some(says.message);
}
