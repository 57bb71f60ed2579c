//! The `authorizer` of expressions: asks whether somebody may do something.
//!
//! Upstream: apiserver/pkg/cel/library/authz.go.

use std::sync::Arc;

use cel::Value as Cel;
use futures::FutureExt;

use super::Request;
use crate::auth::{Attributes, Authorizer, Decision, UserInfo};

/// One step of `authorizer.group('').resource('pods').check('get')`.
#[derive(Clone)]
pub(super) struct Host {
    authorizer: Arc<dyn Authorizer>,
    asked: Attributes,
    /// What `authorizer.requestResource` stands for.
    request: Attributes,
    decision: Option<Decision>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "authorizer of {:?}", self.asked.user.name)
    }
}

impl Host {
    pub fn new(authorizer: Arc<dyn Authorizer>, request: &Request) -> Self {
        let asked = Attributes { user: request.user.clone(), ..Attributes::default() };
        let request = Attributes {
            namespace: request.namespace.clone(),
            subresource: request.subresource.clone(),
            name: request.name.clone(),
            ..Attributes::resource(&request.user, "", &request.resource.group, &request.resource.resource)
        };
        Self { authorizer, asked, request, decision: None }
    }

    fn with(&self, change: impl FnOnce(&mut Attributes)) -> Self {
        let mut next = self.clone();
        change(&mut next.asked);
        next
    }

    fn check(&self, verb: &str) -> Result<Self, String> {
        let mut asked = self.asked.clone();
        verb.clone_into(&mut asked.verb);
        // Authorizers answer from what they hold: there is nothing to wait for.
        let answer = self.authorizer.authorize(&asked).now_or_never();
        let decision = answer.ok_or_else(|| "the authorizer has no answer yet".to_owned())?;
        Ok(Self { decision: Some(decision), ..self.clone() })
    }
}

impl cel::Host for Host {
    fn call<'a>(&self, method: &str, args: &[Cel<'a>]) -> Result<Cel<'a>, String> {
        let text = |index: usize| args.get(index).and_then(Cel::as_text).unwrap_or("").to_owned();
        let decided = |of: fn(&Decision) -> Cel<'a>| {
            self.decision.as_ref().map(of).ok_or_else(|| format!("no such overload: {method}"))
        };
        let next = match method {
            "requestResource" => self.with(|asked| *asked = self.request.clone()),
            "path" => self.with(|asked| asked.path = text(0)),
            "group" => self.with(|asked| {
                (asked.group, asked.version, asked.is_resource) = (text(0), "*".into(), true);
            }),
            "resource" => self.with(|asked| asked.resource = text(0)),
            "subresource" => self.with(|asked| asked.subresource = text(0)),
            "namespace" => self.with(|asked| asked.namespace = text(0)),
            "name" => self.with(|asked| asked.name = text(0)),
            "serviceAccount" => {
                let (namespace, name) = (text(0), text(1));
                let all = format!("system:serviceaccounts:{namespace}");
                let groups = ["system:serviceaccounts", &all, "system:authenticated"];
                let user = UserInfo::new(format!("system:serviceaccount:{namespace}:{name}"), &groups);
                self.with(|asked| asked.user = user)
            }
            "check" => self.check(&text(0))?,
            "allowed" => return decided(|decision| Cel::Bool(decision.is_allowed())),
            "reason" => return decided(|decision| Cel::text(decision.reason())),
            "errored" => return decided(|_| Cel::Bool(false)),
            "error" => return decided(|_| Cel::text("")),
            other => return Err(format!("no such overload: {other}")),
        };
        Ok(Cel::Host(Arc::new(next)))
    }
}
