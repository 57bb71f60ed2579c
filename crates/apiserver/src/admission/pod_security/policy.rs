//! The labels of a namespace.
//!
//! Upstream: k8s.io/pod-security-admission/api/helpers.go, `PolicyToEvaluate`.

use std::fmt;

use serde_json::Value;

/// The minor version of this API; `latest`.
const LATEST: u32 = 36;
const PREFIX: &str = "pod-security.kubernetes.io/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Latest,
    /// 1.x
    Minor(u32),
}

/// A level as some version defined it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub level: Level,
    pub version: Version,
}

/// What a namespace asks for. Audit annotations are not written, so `audit` is only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub enforce: Standard,
    pub warn: Standard,
}

/// Reason, message, field.
pub(super) type Error = (String, String, String);

impl Version {
    pub fn minor(self) -> u32 {
        match self {
            Self::Latest => LATEST,
            Self::Minor(minor) => minor.min(LATEST),
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

const OPEN: Standard = Standard { level: Level::Privileged, version: Version::Latest };

impl Policy {
    pub fn of(labels: &Value) -> Self {
        Self::read(labels).0
    }

    /// The policy, and what is wrong with the labels. A broken enforce label counts as the strictest.
    pub fn read(labels: &Value) -> (Self, Vec<Error>) {
        let mut errors = Vec::new();
        let enforce = standard(labels, "enforce", &mut errors);
        standard(labels, "audit", &mut errors);
        let warn = standard(labels, "warn", &mut errors);
        let enforced = enforce.unwrap_or(OPEN);
        let told = match (warn, labels.get(format!("{PREFIX}warn"))) {
            (Some(warn), Some(_)) => warn,
            (None, Some(_)) => OPEN,
            // Who is refused pods should learn it from the controller already.
            (_, None) if enforce.is_some() => enforced,
            (warn, None) => warn.unwrap_or(OPEN),
        };
        let broken = labels.get(format!("{PREFIX}enforce")).is_some() && enforce.is_none();
        let strict = Standard { level: Level::Restricted, version: enforced.version };
        (Self { enforce: if broken { strict } else { enforced }, warn: told }, errors)
    }
}

/// None where the level cannot be read.
fn standard(labels: &Value, mode: &str, errors: &mut Vec<Error>) -> Option<Standard> {
    let label = |name: String| labels.get(&name).and_then(Value::as_str).map(|value| (name, value));
    let mut refuse = |name: &str, value: &str, why: &str| {
        let message = format!("Invalid value: {value:?}: {why}");
        errors.push(("FieldValueInvalid".into(), message, format!("metadata.labels[{name}]")));
    };
    let level = match label(format!("{PREFIX}{mode}")) {
        None => Some(Level::Privileged),
        Some((_, "privileged")) => Some(Level::Privileged),
        Some((_, "baseline")) => Some(Level::Baseline),
        Some((_, "restricted")) => Some(Level::Restricted),
        Some((name, other)) => {
            refuse(&name, other, "must be one of privileged, baseline, restricted");
            None
        }
    };
    let version = match label(format!("{PREFIX}{mode}-version")) {
        None | Some((_, "latest")) => Version::Latest,
        Some((name, text)) => match text.strip_prefix("v1.").and_then(|minor| minor.parse().ok()) {
            Some(minor) => Version::Minor(minor),
            None => {
                refuse(&name, text, r#"must be "latest" or "v1.x""#);
                Version::Latest
            }
        },
    };
    Some(Standard { level: level?, version })
}
