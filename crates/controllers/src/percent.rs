//! Numbers that may be given as a percentage of another.
//!
//! Upstream: apimachinery/pkg/util/intstr, `GetScaledValueFromIntOrPercent`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The number, or the share of `of`, rounded up or down.
pub(crate) fn scaled(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(percent) => {
            // Validation lets only percentages in.
            let percent: i64 = percent.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * i64::from(of);
            (if up { (product + 99) / 100 } else { product / 100 }) as i32
        }
    }
}
