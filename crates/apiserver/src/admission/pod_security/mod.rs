//! PodSecurity: a namespace's labels say what its pods may ask of their node.
//!
//! In reading order: [`policy`] (the labels), [`baseline`] and [`restricted`] (the checks), here: who is checked when.
//!
//! Upstream: k8s.io/pod-security-admission.

mod baseline;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};
use policy::{Level, Policy, Standard};

/// Pods of a namespace that are looked at when its level rises.
const MOST_PODS: usize = 3000;

pub(super) struct PodSecurity {
    pub objects: Arc<dyn Objects>,
}

/// Subresources of pods that change nothing of what is checked.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

#[async_trait]
impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        if !matches!(request.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        match (request.resource.group.as_str(), request.resource.resource.as_str()) {
            ("", "namespaces") => self.namespace(request).await,
            ("", "pods") => self.pod(request).await,
            _ => self.template(request).await,
        }
    }
}

impl PodSecurity {
    async fn policy(&self, request: &Request) -> Result<Policy, ApiError> {
        let namespace = self.objects.get("", "namespaces", "", &request.namespace).await;
        let Some(namespace) = namespace else {
            let why = format!("failed to lookup namespace {}", request.namespace);
            return Err(ApiError::internal(why));
        };
        Ok(Policy::of(&namespace["metadata"]["labels"]))
    }

    async fn pod(&self, request: &Request) -> Result<(), ApiError> {
        if IGNORED.contains(&request.subresource.as_str()) {
            return Ok(());
        }
        let Some(pod) = &request.object else { return Ok(()) };
        if request.old.as_ref().is_some_and(|old| !is_significant(pod, old)) {
            return Ok(());
        }
        let policy = self.policy(request).await?;
        let found = problems(policy.enforce, &pod["metadata"], &pod["spec"]);
        if !found.is_empty() {
            return Err(request.forbidden(violates("violates", policy.enforce, &found)));
        }
        self.warn(request, policy, &pod["metadata"], &pod["spec"]);
        Ok(())
    }

    /// Controllers are told, and not refused: their pods are.
    async fn template(&self, request: &Request) -> Result<(), ApiError> {
        let Some(object) = &request.object else { return Ok(()) };
        let resource = (request.resource.group.as_str(), request.resource.resource.as_str());
        let template = match resource {
            _ if !request.subresource.is_empty() => return Ok(()),
            ("", "podtemplates") => &object["template"],
            ("", "replicationcontrollers")
            | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
            | ("batch", "jobs") => &object["spec"]["template"],
            ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"],
            _ => return Ok(()),
        };
        if template.is_object() {
            let policy = self.policy(request).await?;
            self.warn(request, policy, &template["metadata"], &template["spec"]);
        }
        Ok(())
    }

    fn warn(&self, request: &Request, policy: Policy, metadata: &Value, spec: &Value) {
        let found = problems(policy.warn, metadata, spec);
        if !found.is_empty() {
            request.warn(violates("would violate", policy.warn, &found));
        }
    }

    async fn namespace(&self, request: &Request) -> Result<(), ApiError> {
        let (Some(namespace), "") = (&request.object, request.subresource.as_str()) else { return Ok(()) };
        let labels = |object: &Value| object["metadata"]["labels"].clone();
        let (new, errors) = Policy::read(&labels(namespace));
        let old = request.old.as_ref().map(|old| Policy::read(&labels(old)));
        if !errors.is_empty() && old.as_ref().is_none_or(|(_, before)| *before != errors) {
            return Err(ApiError::invalid("", "Namespace", &request.name, &errors));
        }
        let Some((old, _)) = old else { return Ok(()) };
        let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
        if new.enforce == old.enforce || new.enforce.level == Level::Privileged || relaxed {
            return Ok(());
        }
        self.warn_of_pods(request, new.enforce).await;
        Ok(())
    }

    /// What already runs stays; but the one who sets the level should know.
    async fn warn_of_pods(&self, request: &Request, standard: Standard) {
        let pods = self.objects.list("", "pods", &request.namespace).await;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in pods.iter().take(MOST_PODS) {
            let reasons: Vec<String> = problems(standard, &pod["metadata"], &pod["spec"])
                .into_iter()
                .map(|problem| problem.reason)
                .collect();
            if !reasons.is_empty() {
                found.entry(reasons.join(", ")).or_default().push(fields::name(pod).to_owned());
            }
        }
        if found.is_empty() {
            return;
        }
        let (namespace, standard) = (&request.name, standard.to_string());
        request.warn(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {standard:?}"
        ));
        let mut lines: Vec<String> = found.into_iter().map(|(reasons, pods)| line(&reasons, pods)).collect();
        lines.sort();
        lines.into_iter().for_each(|line| request.warn(line));
    }
}

/// `a (and 2 other pods): privileged`.
fn line(reasons: &str, mut pods: Vec<String>) -> String {
    pods.sort();
    match pods.as_slice() {
        [one] => format!("{one}: {reasons}"),
        [first, _] => format!("{first} (and 1 other pod): {reasons}"),
        [first, rest @ ..] => format!("{first} (and {} other pods): {reasons}", rest.len()),
        [] => reasons.to_owned(),
    }
}

/// A broken rule.
struct Problem {
    /// `hostPath volumes`
    reason: String,
    /// `volume "a"`
    detail: String,
}

/// Everything that `standard` does not allow: baseline's rules first, each part by the rules' ids.
fn problems(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Problem> {
    let rules = match standard.level {
        Level::Privileged => return Vec::new(),
        Level::Baseline => baseline::RULES.to_vec(),
        Level::Restricted => {
            let kept = baseline::RULES.iter().filter(|rule| !restricted::REPLACED.contains(&rule.id));
            kept.chain(restricted::RULES).copied().collect()
        }
    };
    let pod = Pod { metadata, spec, minor: standard.version.minor() };
    let known = rules.iter().filter(|rule| rule.since <= pod.minor);
    known.filter_map(|rule| (rule.check)(&pod)).map(|(reason, detail)| Problem { reason, detail }).collect()
}

fn violates(verb: &str, standard: Standard, found: &[Problem]) -> String {
    let told = |problem: &Problem| match problem.detail.as_str() {
        "" => problem.reason.clone(),
        detail => format!("{} ({detail})", problem.reason),
    };
    let all: Vec<String> = found.iter().map(told).collect();
    format!("{verb} PodSecurity {:?}: {}", standard.to_string(), all.join(", "))
}

/// Whether an update of a pod changes what is checked.
fn is_significant(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value, list: &str| -> Vec<Value> {
        fields::list(&pod["spec"], list).iter().map(|container| container["image"].clone()).collect()
    };
    let changed = |list: &str| images(pod, list) != images(old, list);
    changed("/containers") || changed("/initContainers") || changed("/ephemeralContainers")
}

/// What a rule looks at.
struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    /// The version of the standard: 1.MINOR.
    minor: u32,
}

/// A rule of a standard.
#[derive(Clone, Copy)]
struct Rule {
    id: &'static str,
    /// The minor version that brought it.
    since: u32,
    /// Reason and detail, if it is broken.
    check: fn(&Pod<'_>) -> Option<(String, String)>,
}

impl Pod<'_> {
    fn containers(&self) -> impl Iterator<Item = &Value> {
        ["/initContainers", "/containers", "/ephemeralContainers"]
            .into_iter()
            .flat_map(|list| fields::list(self.spec, list))
    }

    /// The quoted names of containers that break a rule.
    fn bad(&self, is_bad: impl Fn(&Value) -> bool) -> Vec<String> {
        self.containers().filter(|c| is_bad(c)).map(|c| fields::text(c, "/name").to_owned()).collect()
    }

    /// `pod and containers "a", "b"`: those that say something bad at `pointer` below their security context.
    fn setters(&self, pointer: &str, is_bad: impl Fn(&Value) -> bool) -> Vec<String> {
        let at = |holder: &Value| holder["securityContext"].pointer(pointer).is_some_and(&is_bad);
        let mut setters = Vec::new();
        if at(self.spec) {
            setters.push("pod".to_owned());
        }
        let bad = self.bad(at);
        if !bad.is_empty() {
            setters.push(containers(&bad));
        }
        setters
    }

    fn is_windows(&self) -> bool {
        fields::text(self.spec, "/os/name") == "windows"
    }

    /// Root in a user namespace of its own is nobody outside.
    fn has_own_users(&self) -> bool {
        self.minor >= 35 && self.spec["hostUsers"] == false
    }
}

/// `container "a"`, `containers "a", "b"`.
fn containers(names: &[String]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), quoted(names))
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}
