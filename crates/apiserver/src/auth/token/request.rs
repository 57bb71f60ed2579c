//! `serviceaccounts/NAME/token`: makes a token.
//!
//! Upstream: pkg/registry/core/serviceaccount/storage/token.go; pkg/apis/authentication/validation.

use std::sync::Arc;

use serde_json::{Value, json};
use stdx::{Clock, Random};

use super::claims::{Claims, Kubernetes, Reference};
use super::{Issuer, jwt};
use crate::auth::{Objects, fields};
use crate::{ApiError, GroupResource};

const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
/// What the ServiceAccount plugin asks for. Tokens of such pods live a year, so that old clients that never reload
/// them go on working, and warn after the hour. Upstream: `WarnOnlyBoundTokenExpirationPeriod`.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Makes tokens.
pub struct Requests {
    issuer: Arc<Issuer>,
    objects: Arc<dyn Objects>,
    clock: Clock,
    random: Random,
}

/// What a token is bound to.
#[derive(Default)]
struct Bound {
    pod: Option<Reference>,
    node: Option<Reference>,
    secret: Option<Reference>,
}

impl Requests {
    pub fn new(issuer: Arc<Issuer>, objects: Arc<dyn Objects>, clock: Clock, random: Random) -> Self {
        Self { issuer, objects, clock, random }
    }

    /// Answers the TokenRequest `request` for the account `name`: the same object with its status filled in.
    ///
    /// # Errors
    /// When the account or the bound object does not exist, or the request is invalid.
    pub async fn create(&self, namespace: &str, name: &str, mut request: Value) -> Result<Value, ApiError> {
        let accounts = GroupResource::new("", "serviceaccounts");
        let account = self.objects.get("", "serviceaccounts", namespace, name).await;
        let account = account.ok_or_else(|| ApiError::not_found(&accounts, name))?;
        check_names(&request, namespace, name)?;
        let seconds = match request.pointer("/spec/expirationSeconds").and_then(Value::as_i64) {
            None => DEFAULT_SECONDS,
            Some(seconds) => check_seconds(seconds)?,
        };
        let bound = self.bind(namespace, name, &request["spec"]["boundObjectRef"]).await?;
        let mut audiences = fields::owned_texts(&request, "/spec/audiences");
        if audiences.is_empty() {
            audiences.clone_from(&self.issuer.audiences);
        }
        let now = self.clock.now();
        let extend = seconds == WARN_ONLY_SECONDS && bound.pod.is_some() && self.are_ours(&audiences);
        let (lifetime, warn_after) =
            if extend { (EXTENDED_SECONDS, now.as_second() + seconds) } else { (seconds, 0) };
        let claims = Claims {
            aud: audiences.clone(),
            exp: now.as_second() + lifetime,
            iat: now.as_second(),
            iss: self.issuer.name.clone(),
            jti: self.random.uuid(),
            nbf: now.as_second(),
            sub: format!("system:serviceaccount:{namespace}:{name}"),
            kubernetes: Kubernetes {
                namespace: namespace.to_owned(),
                node: bound.node,
                pod: bound.pod,
                secret: bound.secret,
                serviceaccount: Reference::to(&account),
                warnafter: warn_after,
            },
        };
        let token = jwt::sign(self.issuer.signing(), &claims)
            .map_err(|error| ApiError::internal(format!("failed to generate token: {error}")))?;
        request["metadata"]["name"] = json!(name);
        request["metadata"]["namespace"] = json!(namespace);
        request["metadata"]["creationTimestamp"] = json!(rfc3339(now.as_second()));
        request["spec"]["audiences"] = json!(audiences);
        request["spec"]["expirationSeconds"] = json!(seconds);
        request["status"] =
            json!({"token": token, "expirationTimestamp": rfc3339(now.as_second() + seconds)});
        Ok(request)
    }

    fn are_ours(&self, audiences: &[String]) -> bool {
        audiences.iter().all(|audience| self.issuer.audiences.contains(audience))
    }

    async fn bind(&self, namespace: &str, account: &str, reference: &Value) -> Result<Bound, ApiError> {
        if reference.is_null() {
            return Ok(Bound::default());
        }
        let (kind, api_version) = (fields::text(reference, "/kind"), fields::text(reference, "/apiVersion"));
        let resource = match (api_version, kind) {
            ("v1", "Pod") => "pods",
            ("v1", "Secret") => "secrets",
            ("v1", "Node") => "nodes",
            _ => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
                return Err(ApiError::bad_request(text));
            }
        };
        let name = fields::text(reference, "/name");
        let object_namespace = if resource == "nodes" { "" } else { namespace };
        let object = self.objects.get("", resource, object_namespace, name).await;
        let object = object.ok_or_else(|| ApiError::not_found(&GroupResource::new("", resource), name))?;
        check_uid(kind, name, &object, fields::text(reference, "/uid"))?;
        let target = Some(Reference::to(&object));
        Ok(match resource {
            "pods" => {
                check_account(&object, account)?;
                Bound { pod: target, node: self.node_of(&object).await, secret: None }
            }
            "secrets" => Bound { secret: target, ..Bound::default() },
            _ => Bound { node: target, ..Bound::default() },
        })
    }

    /// The node that the pod runs on; without uid when the node is not registered.
    async fn node_of(&self, pod: &Value) -> Option<Reference> {
        let name = fields::text(pod, "/spec/nodeName");
        if name.is_empty() {
            return None;
        }
        let node = self.objects.get("", "nodes", "", name).await;
        Some(node.map_or_else(
            || Reference { name: name.to_owned(), uid: String::new() },
            |node| Reference::to(&node),
        ))
    }
}

fn check_names(request: &Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    let (given_name, given_namespace) = (fields::name(request), fields::namespace(request));
    if !given_name.is_empty() && given_name != name {
        let text =
            format!("the name of the object ({given_name}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(text));
    }
    if !given_namespace.is_empty() && given_namespace != namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(text));
    }
    Ok(())
}

fn check_seconds(seconds: i64) -> Result<i64, ApiError> {
    let why = match seconds {
        ..LEAST_SECONDS => "may not specify a duration less than 10 minutes",
        LEAST_SECONDS..=MOST_SECONDS => return Ok(seconds),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let cause = (
        "FieldValueInvalid".to_owned(),
        format!("Invalid value: {seconds}: {why}"),
        "spec.expirationSeconds".to_owned(),
    );
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]))
}

fn check_uid(kind: &str, name: &str, object: &Value, wanted: &str) -> Result<(), ApiError> {
    if wanted.is_empty() || wanted == fields::uid(object) {
        return Ok(());
    }
    let why = format!(
        "the UID in the bound object reference ({wanted}) does not match the UID in record. \
         The object might have been deleted and then recreated"
    );
    Err(ApiError::conflict(&GroupResource::new("", kind), name, &why))
}

fn check_account(pod: &Value, account: &str) -> Result<(), ApiError> {
    match fields::text(pod, "/spec/serviceAccountName") == account {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        ))),
    }
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string() // beyond year 9999: its end
}
