//! Subresources: those that are a part of the object go to the verbs, the others are here.

mod binding;
mod eviction;
mod scale;

use http::StatusCode;
use serde_json::{Value, json};

pub use binding::bind;

use super::{Call, WriteOptions, body, get, patch, update};
use crate::error::{ApiError, Result};
use crate::registry::{Storage, Swap};
use crate::{Body, Response, object};

/// Answers a request for a subresource.
pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let (resource, name) = (call.served.resource.as_str(), call.info.subresource.as_str());
    let Some(subresource) = call.served.subresource(name) else { return Err(ApiError::no_such_path()) };
    call.check_verb(&subresource.verbs)?;
    match (resource, name, call.info.verb.as_str()) {
        ("pods", "binding", "create") => binding::serve(call, request_body).await,
        ("pods", "eviction", "create") => eviction::serve(call, request_body).await,
        ("serviceaccounts", "token", "create") => token(call, request_body).await,
        (_, "scale", _) => scale::serve(call, request_body).await,
        (.., "get") => get::serve(call).await,
        (.., "update") => update::serve(call, request_body).await,
        (.., "patch") => patch::serve(call, request_body).await,
        _ => Err(ApiError::method_unknown()),
    }
}

async fn token(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let (request, warnings) = own_object(call, request_body, &options).await?;
    let answered = call.core.virtuals.token(call.namespace(), call.name(), request).await?;
    call.answer_plain(StatusCode::CREATED, &answered, &warnings)
}

/// The subresource's own object from the body.
async fn own_object(call: &Call, request_body: Body, options: &WriteOptions) -> Result<(Value, Vec<String>)> {
    let subresource = call.served.subresource(&call.info.subresource);
    let codec = subresource.and_then(|sub| sub.codec.as_ref()).ok_or_else(ApiError::no_such_path)?;
    let (mut value, warnings) = body::object(call, request_body, codec, options).await?;
    codec.default(&mut value);
    Ok((value, warnings))
}

/// A Status that says that it is done.
fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

/// Changes a stored object past admission and validation: for the server's own bookkeeping.
async fn rewrite(
    storage: &Storage,
    namespace: &str,
    name: &str,
    dry_run: bool,
    change: impl Fn(&mut Value) -> Result<()>,
) -> Result<Value> {
    let mut current = storage.must_read(namespace, name).await?;
    loop {
        let mut changed = current.value.clone();
        change(&mut changed)?;
        if dry_run {
            return Ok(changed);
        }
        match storage.replace(&current, &changed).await? {
            Swap::Done(done) => return Ok(done),
            Swap::Stale(Some(newer)) => current = newer,
            Swap::Stale(None) => return Err(ApiError::not_found(&storage.resource, name)),
        }
    }
}

/// The uid that a request asks for, if it does, is the object's.
fn check_uid(storage: &Storage, asked: &str, object: &Value) -> Result<()> {
    let uid = object::meta(object, "uid");
    if asked.is_empty() || asked == uid {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}");
    Err(ApiError::conflict(&storage.resource, object::name(object), &why))
}
