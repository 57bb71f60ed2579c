//! ValidatingAdmissionPolicy: what the cluster's policies and their bindings say of a write.
//!
//! Policies are compiled once per version of theirs. Audit annotations go nowhere, since there is no audit log.
//!
//! Upstream: apiserver/pkg/admission/plugin/policy/validating.

use std::collections::HashMap;
use std::sync::Arc;

use api::selector::LabelSelector;
use async_trait::async_trait;
use cel::{Program, Value as Cel};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::expressions::{self, BUDGET, Condition, Scene, environment};
use super::matching::resources_match;
use super::{Admission, Request};
use crate::ApiError;
use crate::auth::{Authorizer, Objects};
use crate::error::Cause;
use crate::registry::Registry;

const GROUP: &str = "admissionregistration.k8s.io";

/// The plugin.
pub struct Policies {
    registry: Arc<Registry>,
    objects: Arc<dyn Objects>,
    authorizer: Arc<dyn Authorizer>,
    /// By name, with the resourceVersion that was compiled.
    compiled: Mutex<HashMap<String, (String, Arc<Policy>)>>,
}

struct Policy {
    spec: Value,
    /// Or why it cannot be used.
    parts: Result<Parts, String>,
}

struct Parts {
    conditions: Vec<Condition>,
    variables: Vec<(String, Program)>,
    validations: Vec<Validation>,
}

struct Validation {
    text: String,
    program: Program,
    message: String,
    message_expression: Option<Program>,
    reason: String,
}

/// What a binding found wrong.
struct Finding {
    message: String,
    reason: String,
}

impl Policies {
    pub fn new(registry: Arc<Registry>, objects: Arc<dyn Objects>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { registry, objects, authorizer, compiled: Mutex::default() }
    }

    fn policy(&self, object: &Value) -> Arc<Policy> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        let (name, version) = (text("name"), text("resourceVersion"));
        let mut compiled = self.compiled.lock();
        if let Some((own, policy)) = compiled.get(&name)
            && *own == version
        {
            return policy.clone();
        }
        let spec = object["spec"].clone();
        let policy = Arc::new(Policy { parts: compile(&spec).map_err(|error| error.to_string()), spec });
        compiled.insert(name, (version, policy.clone()));
        policy
    }

    /// Whether the write's resource is namespaced.
    fn is_namespaced(&self, request: &Request) -> bool {
        let found = self.registry.find(&request.resource.group, &request.version, &request.resource.resource);
        found.map_or(!request.namespace.is_empty(), |served| served.namespaced)
    }

    /// Group and resource of a kind, and whether it is namespaced.
    fn resource_of(&self, kind: &Value) -> Option<(String, String, bool)> {
        let (group, version) = api::split_api_version(kind["apiVersion"].as_str()?);
        let all = self.registry.all();
        let found = all
            .iter()
            .find(|s| s.group == group && s.version == version && kind["kind"] == s.kind.as_str())?;
        Some((found.group.clone(), found.resource.clone(), found.namespaced))
    }

    /// The parameters of a binding, each to be judged by; one null where there are none.
    ///
    /// # Errors
    /// When they cannot be found.
    async fn params(
        &self,
        policy: &Policy,
        binding: &Value,
        request: &Request,
    ) -> Result<Vec<Value>, String> {
        let (kind, reference) = (&policy.spec["paramKind"], &binding["spec"]["paramRef"]);
        if !kind.is_object() || !reference.is_object() {
            return Ok(vec![Value::Null]);
        }
        let Some((group, resource, namespaced)) = self.resource_of(kind) else {
            return Err(format!("failed to find resource referenced by paramKind: '{}'", shown_kind(kind)));
        };
        let own = reference["namespace"].as_str().unwrap_or("");
        let namespace = match (namespaced, own) {
            (false, _) => "",
            (true, "") if request.namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                        .into(),
                );
            }
            (true, "") => request.namespace.as_str(),
            (true, own) => own,
        };
        let found: Vec<Value> = match reference["name"].as_str() {
            Some(name) => {
                let found = self.objects.get(&group, &resource, namespace, name).await;
                found.into_iter().map(|object| (*object).clone()).collect()
            }
            None => {
                let selector =
                    LabelSelector::from_value(&reference["selector"]).map_err(|error| error.to_string())?;
                let all = self.objects.list(&group, &resource, namespace).await;
                let chosen =
                    all.into_iter().filter(|own| selector.matches_value(Some(&own["metadata"]["labels"])));
                chosen.map(|object| (*object).clone()).collect()
            }
        };
        match (found.is_empty(), reference["parameterNotFoundAction"].as_str()) {
            (true, Some("Allow")) => Ok(Vec::new()),
            (true, _) => {
                Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
            }
            _ => Ok(found),
        }
    }

    /// What one binding finds wrong.
    async fn judge(
        &self,
        policy: &Policy,
        binding: &Value,
        scene: &mut Scene,
        request: &Request,
    ) -> Vec<Finding> {
        let fails = policy.spec["failurePolicy"].as_str() != Some("Ignore");
        let broken = |why: String| match fails {
            true => vec![Finding { message: why, reason: "Invalid".into() }],
            false => Vec::new(),
        };
        let parts = match &policy.parts {
            Ok(parts) => parts,
            Err(why) => return broken(why.clone()),
        };
        let params = match self.params(policy, binding, request).await {
            Ok(params) => params,
            Err(why) => return broken(format!("failed to configure binding: {why}")),
        };
        let mut budget = BUDGET;
        let mut findings = Vec::new();
        for params in params {
            scene.params = params;
            scene.variables = json!({});
            match expressions::all_hold(&parts.conditions, scene, &mut budget) {
                Ok(None) => {}
                Ok(Some(_)) => continue,
                Err(why) => {
                    findings.extend(broken(why));
                    continue;
                }
            }
            parts.fill_variables(scene, &mut budget);
            for validation in &parts.validations {
                match validation.judge(scene, &mut budget) {
                    Ok(found) => findings.extend(found),
                    Err(why) => findings.extend(broken(why)),
                }
            }
        }
        findings
    }
}

fn shown_kind(kind: &Value) -> String {
    format!("{}, Kind={}", kind["apiVersion"].as_str().unwrap_or(""), kind["kind"].as_str().unwrap_or(""))
}

fn compile(spec: &Value) -> Result<Parts, cel::CompileError> {
    let env = environment();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or("").to_owned();
    let listed = |field: &str| spec[field].as_array().cloned().unwrap_or_default(); // none given
    let mut variables = Vec::new();
    for variable in listed("variables") {
        variables.push((text(&variable, "name"), env.compile(&text(&variable, "expression"))?));
    }
    let mut validations = Vec::new();
    for validation in listed("validations") {
        let expression = text(&validation, "expression");
        let message = text(&validation, "messageExpression");
        validations.push(Validation {
            program: env.compile(&expression)?,
            message_expression: (!message.is_empty()).then(|| env.compile(&message)).transpose()?,
            message: text(&validation, "message"),
            reason: text(&validation, "reason"),
            text: expression,
        });
    }
    Ok(Parts { conditions: Condition::compile_all(&spec["matchConditions"])?, variables, validations })
}

impl Parts {
    /// In their order; one that fails is not there for those who use it.
    fn fill_variables(&self, scene: &mut Scene, budget: &mut u64) {
        for (name, program) in &self.variables {
            let value = program.evaluate(&scene.names(), budget).ok().and_then(|value| value.to_json());
            if let Some(value) = value {
                scene.variables[name.as_str()] = value;
            }
        }
    }
}

impl Validation {
    fn judge(&self, scene: &Scene, budget: &mut u64) -> Result<Option<Finding>, String> {
        let names = scene.names();
        match self.program.evaluate(&names, budget) {
            Ok(Cel::Bool(true)) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(format!("expression '{}' resulted in error: {error}", self.text)),
        }
        let made = self.message_expression.as_ref().and_then(|program| program.evaluate(&names, budget).ok());
        let made = made.as_ref().and_then(Cel::as_text).map(str::trim).filter(|text| !text.is_empty());
        let message = match (made, self.message.trim()) {
            (Some(made), _) if !made.contains('\n') => made.to_owned(),
            (_, "") => format!("failed expression: {}", self.text.trim()),
            (_, message) => message.to_owned(),
        };
        Ok(Some(Finding { message, reason: self.reason.clone() }))
    }
}

#[async_trait]
impl Admission for Policies {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        // Policies and webhooks could not be repaired if they held for themselves.
        if request.resource.group == GROUP {
            return Ok(());
        }
        let bindings = self.objects.list(GROUP, "validatingadmissionpolicybindings", "").await;
        if bindings.is_empty() {
            return Ok(());
        }
        let namespace = match request.namespace.as_str() {
            "" => None,
            name => self.objects.get("", "namespaces", "", name).await,
        };
        let namespace = namespace.map_or(Value::Null, |found| (*found).clone());
        let namespaced = self.is_namespaced(request);
        let mut scene = None;
        let mut denied = Vec::new();
        for binding in bindings {
            let name = binding["spec"]["policyName"].as_str().unwrap_or("");
            let Some(object) = self.objects.get(GROUP, "validatingadmissionpolicies", "", name).await else {
                continue;
            };
            let policy = self.policy(&object);
            let means = |matching: &Value| resources_match(matching, request, &namespace, namespaced);
            if !means(&policy.spec["matchConstraints"]) || !means(&binding["spec"]["matchResources"]) {
                continue;
            }
            let scene =
                scene.get_or_insert_with(|| Scene::of(request, namespace.clone(), self.authorizer.clone()));
            let findings = self.judge(&policy, &binding, scene, request).await;
            let binding_name = binding["metadata"]["name"].as_str().unwrap_or("");
            let does = |action: &str| {
                binding["spec"]["validationActions"].as_array().into_iter().flatten().any(|own| own == action)
            };
            for finding in findings {
                let place = format!("ValidatingAdmissionPolicy '{name}' with binding '{binding_name}'");
                if does("Warn") {
                    request.warn(format!("Validation failed for {place}: {}", finding.message));
                }
                if does("Deny") {
                    denied.push((format!("{place} denied request: {}", finding.message), finding));
                }
            }
        }
        match denied.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(refusal(request, first)),
        }
    }
}

/// The first that was found, with the code of its reason.
fn refusal(request: &Request, (message, finding): &(String, Finding)) -> ApiError {
    let (code, reason) = match finding.reason.as_str() {
        "Unauthorized" => (401, "Unauthorized"),
        "Forbidden" => (403, "Forbidden"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    let forbidden = request.forbidden(message);
    let mut details = forbidden.details().cloned().unwrap_or_default(); // a refusal has some
    details.causes.push(Cause { message: finding.message.clone(), ..Cause::default() });
    ApiError::new(code, reason, forbidden.to_string()).with_details(details)
}
