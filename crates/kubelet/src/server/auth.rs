//! Who asks, and whether they may: client certificates of the cluster's CA, else TokenReview; then, unless the client
//! is a master, SubjectAccessReview on the node's subresources.
//!
//! Upstream: pkg/kubelet/server/auth.go.

use http::{Method, Request, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use rustls::pki_types::CertificateDer;
use stdx::error_chain;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Refusal;
use crate::context::Context;

const MASTERS: &str = "system:masters";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub name: String,
    pub groups: Vec<String>,
}

/// The identity in a certificate that TLS has already verified.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok().map(ToOwned::to_owned)).collect();
    Some(Identity { name, groups })
}

/// Lets the request through, or says why not.
pub(crate) async fn check<B>(
    context: &Context,
    peer: Option<Identity>,
    request: &Request<B>,
) -> Result<(), Refusal> {
    let identity = match peer {
        Some(peer) => peer,
        None => by_token(context, request).await?,
    };
    if identity.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    authorize(context, identity, request).await
}

async fn by_token<B>(context: &Context, request: &Request<B>) -> Result<Identity, Refusal> {
    let unauthorized = || Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized");
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(unauthorized)?;
    let review = TokenReview {
        spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(context.config.client.clone());
    let answer = api.create(&PostParams::default(), &review).await.map_err(|e| unavailable(&e))?;
    let status = answer.status.filter(|s| s.authenticated == Some(true)).ok_or_else(unauthorized)?;
    let user = status.user.unwrap_or_default();
    Ok(Identity { name: user.username.unwrap_or_default(), groups: user.groups.unwrap_or_default() })
}

async fn authorize<B>(context: &Context, identity: Identity, request: &Request<B>) -> Result<(), Refusal> {
    let (verb, subresource) = (verb(request.method()), subresource(request.uri().path()));
    let name = &context.config.node_name;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(identity.name.clone()),
            groups: Some(identity.groups),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                version: Some("v1".into()),
                resource: Some("nodes".into()),
                subresource: Some(subresource.into()),
                name: Some(name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(context.config.client.clone());
    let answer = api.create(&PostParams::default(), &review).await.map_err(|e| unavailable(&e))?;
    if answer.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])",
            identity.name
        ),
    ))
}

fn unavailable(error: &kube::Error) -> Refusal {
    tracing::warn!(error = error_chain(error), "request to the kubelet could not be reviewed");
    Refusal::internal("the request could not be reviewed")
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

fn subresource(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        _ => "proxy",
    }
}
