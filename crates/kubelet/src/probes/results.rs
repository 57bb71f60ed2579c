//! What the probes of a pod last found.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// As events name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Unknown,
}

/// Shared by the prober, which writes, and the worker, which reads. Keyed by container ID: a new container starts afresh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(Arc<RwLock<HashMap<(String, Kind), Outcome>>>);

impl Results {
    pub fn get(&self, container: &str, kind: Kind) -> Option<Outcome> {
        self.0.read().get(&(container.to_owned(), kind)).copied()
    }

    /// Whether this changed anything.
    pub fn set(&self, container: &str, kind: Kind, outcome: Outcome) -> bool {
        self.0.write().insert((container.to_owned(), kind), outcome) != Some(outcome)
    }

    pub fn forget(&self, container: &str) {
        self.0.write().retain(|(id, _), _| id != container);
    }
}
