//! Expressions over a write: match conditions of webhooks and policies, and what policies say.
//!
//! [`environment`] declares what upstream declares (`object`, `oldObject`, `request`, `params`, `namespaceObject`,
//! `authorizer`, `variables`), [`Scene`] holds the values for one request, [`Condition`] is a compiled match condition:
//! ```ignore
//! let conditions = Condition::compile_all(&hook["matchConditions"])?;
//! let scene = Scene::of(&request, namespace, authorizer);
//! match expressions::all_hold(&conditions, &scene, &mut budget) { Ok(None) => …matches…, Ok(Some(name)) => …, Err(why) => … }
//! ```
//!
//! Upstream: apiserver/pkg/admission/plugin/cel, apiserver/pkg/cel/environment.

use std::sync::Arc;

use cel::{CompileError, Environment, Program, Type, Value as Cel};
use serde_json::{Value, json};

use super::authorizer::Host;
use super::{Operation, Request};
use crate::auth::Authorizer;

/// What expressions of one write may cost together.
pub const BUDGET: u64 = cel::REQUEST_BUDGET;

static DYN: Type = Type::Dyn;

/// What expressions may speak of.
pub fn environment() -> Environment {
    let mut env = Environment::new();
    for name in ["object", "oldObject", "request", "params", "namespaceObject", "variables"] {
        env.declare(name, Type::Dyn);
    }
    env.declare("authorizer", Type::Named("kubernetes.authorization.Authorizer"));
    env
}

/// The values for one request.
pub struct Scene {
    object: Value,
    old: Value,
    request: Value,
    pub params: Value,
    pub namespace: Value,
    pub variables: Value,
    host: Host,
}

impl Scene {
    pub fn of(request: &Request, namespace: Value, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            object: request.object.clone().unwrap_or_default(), // null where there is none
            old: request.old.clone().unwrap_or_default(),       // as above
            request: described(request),
            params: Value::Null,
            namespace,
            variables: json!({}),
            host: Host::new(authorizer, request),
        }
    }

    /// By name, as programs take them.
    pub fn names(&self) -> [(&'static str, Cel<'_>); 7] {
        let of = |value| Cel::of(value, &DYN);
        [
            ("object", of(&self.object)),
            ("oldObject", of(&self.old)),
            ("request", of(&self.request)),
            ("params", of(&self.params)),
            ("namespaceObject", of(&self.namespace)),
            ("variables", of(&self.variables)),
            ("authorizer", Cel::Host(Arc::new(self.host.clone()))),
        ]
    }
}

/// An `AdmissionRequest` without its objects.
fn described(request: &Request) -> Value {
    let operation = match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    };
    let (group, version) = (&request.resource.group, &request.version);
    let kind = json!({"group": group, "version": version, "kind": request.kind});
    let resource = json!({"group": group, "version": version, "resource": request.resource.resource});
    json!({
        "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
        "subResource": request.subresource, "requestSubResource": request.subresource,
        "name": request.name, "namespace": request.namespace, "operation": operation,
        "userInfo": {
            "username": request.user.name, "uid": request.user.uid, "groups": request.user.groups,
            "extra": request.user.extra,
        },
        "dryRun": request.dry_run, "options": request.options,
    })
}

/// A match condition.
#[derive(Debug, Clone)]
pub struct Condition {
    pub name: String,
    pub program: Program,
}

impl Condition {
    /// All of a `matchConditions` list.
    ///
    /// # Errors
    /// The first that does not compile.
    pub fn compile_all(conditions: &Value) -> Result<Vec<Self>, CompileError> {
        let env = environment();
        let one = |condition: &Value| {
            let text = condition["expression"].as_str().unwrap_or("");
            let name = condition["name"].as_str().unwrap_or("").to_owned();
            Ok(Self { name, program: env.compile(text)? })
        };
        conditions.as_array().into_iter().flatten().map(one).collect()
    }
}

/// None if all hold, else the name of the one that does not. A condition that is false decides, whatever others
/// failed at.
///
/// # Errors
/// What the conditions failed at.
pub fn all_hold<'c>(
    conditions: &'c [Condition],
    scene: &Scene,
    budget: &mut u64,
) -> Result<Option<&'c str>, String> {
    let names = scene.names();
    let mut failures = Vec::new();
    for condition in conditions {
        match condition.program.evaluate(&names, budget) {
            Ok(Cel::Bool(true)) => {}
            Ok(Cel::Bool(false)) => return Ok(Some(&condition.name)),
            Ok(_) => failures.push(format!("{}: must evaluate to a bool", condition.name)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() { Ok(None) } else { Err(failures.join(", ")) }
}
