//! The virtual resources of authentication.k8s.io and authorization.k8s.io: an object in, the same with a status out.
//!
//! Upstream: pkg/registry/authentication, pkg/registry/authorization.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rbac::{Rbac, Rule};
use super::token::Verifier;
use super::{Attributes, Authenticator, Authorizer, Credentials, Decision, UserInfo, fields};
use crate::ApiError;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers reviews.
pub struct Reviews {
    verifier: Arc<Verifier>,
    /// Of tokens that have no audience.
    others: Arc<dyn Authenticator>,
    audiences: Vec<String>,
    authorizer: Arc<dyn Authorizer>,
    rbac: Rbac,
}

/// One broken rule: reason, message, field.
type Cause = (String, String, String);

impl Reviews {
    /// `audiences`: those that the API server itself answers to.
    pub fn new(
        verifier: Arc<Verifier>,
        others: Arc<dyn Authenticator>,
        audiences: Vec<String>,
        authorizer: Arc<dyn Authorizer>,
        rbac: Rbac,
    ) -> Self {
        Self { verifier, others, audiences, authorizer, rbac }
    }

    /// Whether creating `group`/`resource` is a review.
    pub fn is_review(group: &str, resource: &str) -> bool {
        match group {
            AUTHENTICATION => matches!(resource, "tokenreviews" | "selfsubjectreviews"),
            AUTHORIZATION => matches!(
                resource,
                "subjectaccessreviews"
                    | "localsubjectaccessreviews"
                    | "selfsubjectaccessreviews"
                    | "selfsubjectrulesreviews"
            ),
            _ => false,
        }
    }

    /// Fills in the status of `review`, which `user` sent.
    ///
    /// # Errors
    /// When the review is invalid, or of a resource that is none.
    pub async fn create(
        &self,
        resource: &str,
        namespace: &str,
        user: &UserInfo,
        mut review: Value,
    ) -> Result<Value, ApiError> {
        review["status"] = match resource {
            "tokenreviews" => self.token(&review).await?,
            "selfsubjectreviews" => json!({ "userInfo": user }),
            "subjectaccessreviews" => {
                invalid("SubjectAccessReview", subject_causes(&review))?;
                self.access(&subject(&review), &review).await
            }
            "localsubjectaccessreviews" => {
                invalid("LocalSubjectAccessReview", local_causes(&review, namespace))?;
                self.access(&subject(&review), &review).await
            }
            "selfsubjectaccessreviews" => {
                invalid("SelfSubjectAccessReview", attribute_causes(&review))?;
                self.access(user, &review).await
            }
            "selfsubjectrulesreviews" => self.rules(user, &review)?,
            _ => return Err(ApiError::no_such_path()),
        };
        Ok(review)
    }

    async fn token(&self, review: &Value) -> Result<Value, ApiError> {
        let token = fields::text(review, "/spec/token");
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let mut audiences = fields::owned_texts(review, "/spec/audiences");
        if audiences.is_empty() {
            audiences.clone_from(&self.audiences);
        }
        Ok(match self.verifier.verify(token, &audiences).await {
            Ok(Some((user, audiences))) => {
                json!({"authenticated": true, "user": user, "audiences": audiences})
            }
            Ok(None) => self.other_token(token, &audiences).await,
            Err(error) => {
                let chain = stdx::error_chain(&error);
                json!({"user": {}, "error": format!("[invalid bearer token, {chain}]")})
            }
        })
    }

    /// Tokens that have no audience are for the server itself.
    async fn other_token(&self, token: &str, audiences: &[String]) -> Value {
        let credentials = Credentials { peer: None, token: Some(token) };
        let known: Vec<&String> = audiences.iter().filter(|asked| self.audiences.contains(asked)).collect();
        match self.others.authenticate(credentials).await {
            Ok(Some(user)) if !known.is_empty() => {
                json!({"authenticated": true, "user": user, "audiences": known})
            }
            Ok(_) => json!({"user": {}}),
            Err(error) => json!({"user": {}, "error": stdx::error_chain(&error)}),
        }
    }

    async fn access(&self, user: &UserInfo, review: &Value) -> Value {
        let decision = self.authorizer.authorize(&attributes(user, &review["spec"])).await;
        let mut status = json!({"allowed": decision.is_allowed()});
        if matches!(decision, Decision::Deny(_)) {
            status["denied"] = json!(true);
        }
        if !decision.reason().is_empty() {
            status["reason"] = json!(decision.reason());
        }
        status
    }

    fn rules(&self, user: &UserInfo, review: &Value) -> Result<Value, ApiError> {
        let namespace = fields::text(review, "/spec/namespace");
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let mut rules = self.rbac.rules(user, namespace);
        if user.is_in(super::group::MASTERS) {
            rules.extend(Rule::everything());
        }
        let (paths, resources): (Vec<Rule>, Vec<Rule>) =
            rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
        // The Node authorizer's decisions are no rules.
        let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
        if user.as_node().is_some() {
            status["incomplete"] = json!(true);
            status["evaluationError"] = json!("node authorizer does not support user rule resolution");
        }
        Ok(status)
    }
}

/// The user that a SubjectAccessReview asks about.
fn subject(review: &Value) -> UserInfo {
    let spec = &review["spec"];
    let extra = spec["extra"].as_object().into_iter().flatten();
    UserInfo {
        name: fields::text(spec, "/user").to_owned(),
        uid: fields::text(spec, "/uid").to_owned(),
        groups: fields::owned_texts(spec, "/groups"),
        extra: extra.map(|(key, values)| (key.clone(), fields::owned_texts(values, ""))).collect(),
    }
}

fn attributes(user: &UserInfo, spec: &Value) -> Attributes {
    let text = |pointer: &str| fields::text(spec, pointer).to_owned();
    if !spec["nonResourceAttributes"].is_null() {
        return Attributes::path(
            user,
            &text("/nonResourceAttributes/verb"),
            &text("/nonResourceAttributes/path"),
        );
    }
    Attributes {
        user: user.clone(),
        verb: text("/resourceAttributes/verb"),
        namespace: text("/resourceAttributes/namespace"),
        group: text("/resourceAttributes/group"),
        version: text("/resourceAttributes/version"),
        resource: text("/resourceAttributes/resource"),
        subresource: text("/resourceAttributes/subresource"),
        name: text("/resourceAttributes/name"),
        path: String::new(),
        is_resource: true,
    }
}

fn cause(field: &str, value: &str, why: &str) -> Cause {
    ("FieldValueInvalid".to_owned(), format!("Invalid value: {value}: {why}"), field.to_owned())
}

/// Upstream: pkg/apis/authorization/validation.
fn attribute_causes(review: &Value) -> Vec<Cause> {
    let spec = &review["spec"];
    match (spec["resourceAttributes"].is_null(), spec["nonResourceAttributes"].is_null()) {
        (false, false) => vec![cause(
            "spec.nonResourceAttributes",
            &spec["nonResourceAttributes"].to_string(),
            "cannot be specified in combination with resourceAttributes",
        )],
        (true, true) => vec![cause(
            "spec.resourceAttributes",
            "null",
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )],
        _ => Vec::new(),
    }
}

fn subject_causes(review: &Value) -> Vec<Cause> {
    let mut causes = attribute_causes(review);
    let spec = &review["spec"];
    if fields::text(spec, "/user").is_empty() && fields::list(spec, "/groups").is_empty() {
        causes.push(cause("spec.user", r#""""#, "at least one of user or group must be specified"));
    }
    causes
}

fn local_causes(review: &Value, namespace: &str) -> Vec<Cause> {
    let mut causes = subject_causes(review);
    let given = fields::text(review, "/spec/resourceAttributes/namespace");
    if given != namespace {
        let why = format!("must match metadata.namespace: {namespace}");
        causes.push(cause("spec.resourceAttributes.namespace", &format!("{given:?}"), &why));
    }
    if !review["spec"]["nonResourceAttributes"].is_null() {
        let value = review["spec"]["nonResourceAttributes"].to_string();
        causes.push(cause("spec.nonResourceAttributes", &value, "disallowed on this kind of request"));
    }
    causes
}

fn invalid(kind: &str, causes: Vec<Cause>) -> Result<(), ApiError> {
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(AUTHORIZATION, kind, "", &causes)),
    }
}
