//! The plugins that are on by default, in upstream's order.
//!
//! Upstream: pkg/kubeapiserver/options/plugins.go, `AllOrderedPlugins`. Not here yet: PodTopologyLabels, mutating
//! policies. Webhooks, validating policies and ResourceQuota are added where the registry is.

use std::sync::Arc;

use stdx::{Clock, Random};

use super::Chain;
use super::certificates::{Signers, SubjectRestriction};
use super::defaults::{DefaultClass, INGRESS, STORAGE};
use super::limit_ranger::LimitRanger;
use super::namespace_lifecycle::NamespaceLifecycle;
use super::node_restriction::NodeRestriction;
use super::pod_security::PodSecurity;
use super::priority::Priority;
use super::runtime_class::RuntimeClass;
use super::service_account::ServiceAccount;
use super::taint_nodes::TaintNodesByCondition;
use super::tolerations::DefaultTolerationSeconds;
use super::volumes::{ClaimResize, InUseProtection};
use crate::auth::rbac::{Escalation, Rbac};
use crate::auth::{Authorizer, Objects};

/// What plugins are made from.
pub struct Parts {
    pub objects: Arc<dyn Objects>,
    pub authorizer: Arc<dyn Authorizer>,
    pub rbac: Rbac,
    pub clock: Clock,
    pub random: Random,
}

impl Chain {
    /// The default plugins.
    pub fn builtin(parts: Parts) -> Self {
        let Parts { objects, authorizer, rbac, clock, random } = parts;
        Self::new(vec![
            Arc::new(NamespaceLifecycle { objects: objects.clone() }),
            Arc::new(LimitRanger { objects: objects.clone() }),
            Arc::new(ServiceAccount { objects: objects.clone(), clock, random }),
            Arc::new(NodeRestriction { objects: objects.clone() }),
            Arc::new(TaintNodesByCondition),
            Arc::new(PodSecurity { objects: objects.clone() }),
            Arc::new(Priority { objects: objects.clone() }),
            Arc::new(DefaultTolerationSeconds),
            Arc::new(DefaultClass { objects: objects.clone(), kind: STORAGE }),
            Arc::new(InUseProtection),
            Arc::new(ClaimResize { objects: objects.clone() }),
            Arc::new(RuntimeClass { objects: objects.clone() }),
            Arc::new(Signers { authorizer: authorizer.clone() }),
            Arc::new(SubjectRestriction),
            Arc::new(DefaultClass { objects, kind: INGRESS }),
            Arc::new(Escalation::new(rbac, authorizer)),
        ])
    }
}
