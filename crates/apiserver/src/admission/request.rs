//! A write, as admission sees it.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::auth::UserInfo;
use crate::{ApiError, GroupResource};

/// What kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    /// exec, attach, port-forward, proxy.
    Connect,
}

/// A write on its way to the store.
///
/// Upstream: k8s.io/apiserver/pkg/admission, `Attributes`.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: Operation,
    pub resource: GroupResource,
    pub version: String,
    /// The object's kind, without group.
    pub kind: String,
    /// Empty for the resource itself.
    pub subresource: String,
    /// Empty for cluster-scoped resources; the namespace's own name for `namespaces`.
    pub namespace: String,
    /// Empty on create with generateName.
    pub name: String,
    /// The new state; none on delete. On connect, the options (`PodExecOptions` …).
    pub object: Option<Value>,
    /// The stored state; none on create.
    pub old: Option<Value>,
    /// CreateOptions, UpdateOptions, DeleteOptions; null when there are none.
    pub options: Value,
    pub user: UserInfo,
    pub dry_run: bool,
    /// What the client should know, whatever becomes of the write.
    pub warnings: Warnings,
    pub rounds: Rounds,
}

/// Which mutating webhooks are asked twice: those that want to be, when the object changed after them.
///
/// Upstream: k8s.io/apiserver/pkg/admission/reinvocation.go.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    is_second: bool,
    /// A webhook changed the object: every plugin sees it once more.
    wants_second: bool,
    asked: Vec<String>,
    again: Vec<String>,
    left: Option<Value>,
}

impl Rounds {
    /// Whether there is to be a second round; begins it.
    pub fn begin_second(&mut self) -> bool {
        let next = self.wants_second && !self.is_second;
        self.is_second |= next;
        next
    }

    /// Before the first webhook of a round: other plugins may have changed what the last one left.
    pub fn begin(&mut self, object: Option<&Value>) {
        if self.is_second && self.left.as_ref() != object {
            self.changed();
        }
    }

    pub fn end(&mut self, object: Option<&Value>) {
        self.left = object.filter(|_| self.wants_second).cloned();
    }

    pub fn asks(&self, hook: &str) -> bool {
        !self.is_second || self.again.iter().any(|again| again == hook)
    }

    /// This webhook wants to know of later changes.
    pub fn asked(&mut self, hook: &str) {
        self.asked.push(hook.to_owned());
    }

    /// The object is not what those before have seen.
    pub fn changed(&mut self) {
        self.wants_second = true;
        self.again.append(&mut self.asked);
    }
}

/// Texts for the client; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub fn push(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Request {
    /// Whether this is about `resource` of `group` itself, no subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.is_sub(group, resource, "")
    }

    pub fn is_sub(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource && self.subresource == subresource
    }

    /// Whether an object of `resource` is being created.
    pub fn creates(&self, group: &str, resource: &str) -> bool {
        self.operation == Operation::Create && self.is(group, resource)
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.push(text);
    }

    /// A 403 in upstream's words: `pods "x" is forbidden: WHY`.
    ///
    /// Upstream: k8s.io/apiserver/pkg/admission/errors.go, `NewForbidden`.
    pub fn forbidden(&self, why: impl AsRef<str>) -> ApiError {
        let generated =
            || self.object.as_ref().and_then(|object| object["metadata"]["generateName"].as_str());
        let name = match self.name.as_str() {
            "" => generated().unwrap_or("Unknown"),
            name => name,
        };
        ApiError::forbidden(&self.resource, name, why.as_ref())
    }
}
