//! Why no node fits, in upstream's words.

use std::collections::BTreeMap;
use std::fmt;

use crate::cycle::Diagnosis;
use crate::framework::Reason;

/// No node fits the pod.
#[derive(Debug)]
pub struct FitError {
    pub all_nodes: usize,
    pub diagnosis: Diagnosis,
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnosis = &self.diagnosis;
        write!(f, "0/{} nodes are available:", self.all_nodes)?;
        match &diagnosis.pre_filter_message {
            Some(message) => write!(f, " {message}.")?,
            None => {
                let counted = histogram(diagnosis.rejections.iter().flat_map(|(_, r)| r.reasons.iter()));
                if !counted.is_empty() {
                    write!(f, " {counted}.")?;
                }
            }
        }
        if !diagnosis.post_filter_messages.is_empty() {
            write!(f, " {}", diagnosis.post_filter_messages.join(", "))?;
        }
        Ok(())
    }
}

/// `2 Insufficient cpu, 3 node(s) were unschedulable`: sorted as text.
pub(crate) fn histogram<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut lines: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    lines.join(", ")
}
