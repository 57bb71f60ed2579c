//! Yes, or no and why.

use std::borrow::Cow;

/// A sentence for people, grouped and counted over the nodes.
pub type Reason = Cow<'static, str>;

pub type Verdict = Result<(), Rejection>;

/// How final a no is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// Fewer pods on the node would help.
    Unschedulable,
    /// Nothing that preemption does would help.
    Unresolvable,
    /// Something failed that should not.
    Error,
}

/// Why a plugin said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub kind: RejectionKind,
    pub reasons: Vec<Reason>,
    /// Who said it.
    pub plugin: &'static str,
}

impl Rejection {
    pub fn unschedulable(plugin: &'static str, reason: impl Into<Reason>) -> Self {
        Self { kind: RejectionKind::Unschedulable, reasons: vec![reason.into()], plugin }
    }

    pub fn unresolvable(plugin: &'static str, reason: impl Into<Reason>) -> Self {
        Self { kind: RejectionKind::Unresolvable, reasons: vec![reason.into()], plugin }
    }

    pub fn error(plugin: &'static str, reason: impl Into<Reason>) -> Self {
        Self { kind: RejectionKind::Error, reasons: vec![reason.into()], plugin }
    }

    /// The reasons in one line.
    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }
}
