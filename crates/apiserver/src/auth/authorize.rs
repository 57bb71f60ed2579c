//! The contract of an authorizer, and the union of several.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Attributes, group};

/// An answer and, where there is one, its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    Deny(String),
    NoOpinion(String),
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub fn reason(&self) -> &str {
        let (Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason)) = self;
        reason
    }
}

/// Decides whether a user may do something.
///
/// 1. `NoOpinion` leaves the decision to the next authorizer; when nobody allows, the request is refused.
/// 2. The reason may name rules and roles, never the content of objects.
#[async_trait]
pub trait Authorizer: Send + Sync {
    async fn authorize(&self, attributes: &Attributes) -> Decision;
}

/// Asks one after the other; the first that has an opinion decides.
///
/// Upstream: k8s.io/apiserver/pkg/authorization/union.
pub struct Union(pub Vec<Arc<dyn Authorizer>>);

#[async_trait]
impl Authorizer for Union {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            match authorizer.authorize(attributes).await {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
}

/// Allows members of `system:masters` everything, before any rule has been read.
///
/// Upstream: k8s.io/apiserver/pkg/authorization/authorizerfactory, `NewPrivilegedGroups`.
pub struct Privileged;

#[async_trait]
impl Authorizer for Privileged {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        match attributes.user.is_in(group::MASTERS) {
            true => Decision::Allow(String::new()),
            false => Decision::NoOpinion(String::new()),
        }
    }
}
