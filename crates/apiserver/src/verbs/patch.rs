//! PATCH: JSON patch, merge patch, strategic merge patch, apply.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/patch.go.

use api::patch::{self, PatchError};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;

use super::apply::Configuration;
use super::write::{Change, Write};
use super::{Call, WriteOptions, body};
use crate::error::{ApiError, Result};
use crate::registry::Codec;
use crate::registry::before::Part;
use crate::{Body, Response, media};

/// What a patch is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

const MEDIA_TYPES: [(&str, Kind); 4] = [
    ("application/json-patch+json", Kind::Json),
    ("application/merge-patch+json", Kind::Merge),
    ("application/strategic-merge-patch+json", Kind::Strategic),
    ("application/apply-patch+yaml", Kind::Apply),
];

/// A patch as the client sent it.
pub struct Patch {
    pub kind: Kind,
    bytes: Bytes,
    validation: api::Validation,
    /// Of the last time it was applied.
    warnings: Mutex<Vec<String>>,
}

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let (patch, options) = Patch::read(call, request_body).await?;
    let write = Write::new(call, &options)?;
    let part = Part::of(&call.info.subresource);
    let outcome = match patch.configuration(call, &options)? {
        Some(configuration) => write.update(part, &write.applying(&configuration)).await?,
        None => write.update(part, &ObjectPatch { call, patch: &patch }).await?,
    };
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    call.answer(status, &outcome.object, &patch.warnings())
}

impl Patch {
    /// # Errors
    /// 415 for types that the resource cannot be patched with, 422 for options that do not go with them.
    pub async fn read(call: &Call, request_body: Body) -> Result<(Self, WriteOptions)> {
        let content_type = media::content_type(&call.headers);
        // What a custom resource's lists mean is not known well enough to merge them.
        let usable = |kind: Kind| kind != Kind::Strategic || call.served.custom.is_none();
        let found = MEDIA_TYPES.iter().find(|(name, kind)| *name == content_type && usable(*kind));
        let Some((_, kind)) = found else {
            let accepted: Vec<&str> =
                MEDIA_TYPES.iter().filter(|(_, kind)| usable(*kind)).map(|(name, _)| *name).collect();
            return Err(ApiError::unsupported_media_type(&accepted));
        };
        let bytes = body::read(request_body, call.core.config.max_body_bytes).await?;
        let options = WriteOptions::of_patch(&call.query, *kind == Kind::Apply)?;
        let patch = Self { kind: *kind, bytes, validation: options.validation, warnings: Mutex::default() };
        Ok((patch, options))
    }

    /// What is to be applied; none for patches of another kind.
    pub fn configuration(&self, call: &Call, options: &WriteOptions) -> Result<Option<Configuration>> {
        if self.kind != Kind::Apply {
            return Ok(None);
        }
        let configuration = Configuration::read(call, &self.bytes, options)?;
        *self.warnings.lock() = configuration.warnings.clone();
        Ok(Some(configuration))
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    /// The patched object, read again by its schema.
    ///
    /// # Errors
    /// 400 for what is no patch, 422 for one that does not fit.
    pub fn apply(&self, codec: &Codec, mut object: Value) -> Result<Value> {
        let applied = match self.kind {
            Kind::Json => patch::json(&mut object, &self.bytes),
            Kind::Merge => patch::merge(&mut object, &self.bytes),
            Kind::Strategic => patch::strategic(codec.type_ref(), &mut object, &self.bytes),
            Kind::Apply => return Err(ApiError::internal("an apply is no patch of a tree")),
        };
        applied.map_err(refusal)?;
        let decoded = codec.reread(&object, self.validation).map_err(|error| {
            let message = format!("Invalid value: {:?}: {error}", object.to_string());
            ApiError::invalid("", "", "", &[("FieldValueInvalid".into(), message, "patch".into())])
        })?;
        if self.validation == api::Validation::Warn {
            *self.warnings.lock() = decoded.warnings;
        }
        Ok(decoded.value)
    }
}

fn refusal(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::Unprocessable(why) => {
            ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request")
                .with_details(crate::error::Details::default())
                .with_log(why)
        }
    }
}

struct ObjectPatch<'a> {
    call: &'a Call,
    patch: &'a Patch,
}

impl Change for ObjectPatch<'_> {
    fn apply(&self, old: &Value) -> Result<Value> {
        let served = &self.call.served;
        let patched = self.patch.apply(&served.codec, served.to_served(old.clone()))?;
        Ok(served.to_stored(patched))
    }
}
