//! PATCH: JSON patch, merge patch, strategic merge patch.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/patch.go.

use api::patch::{self, PatchError};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;

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
}

const MEDIA_TYPES: [(&str, Kind); 3] = [
    ("application/json-patch+json", Kind::Json),
    ("application/merge-patch+json", Kind::Merge),
    ("application/strategic-merge-patch+json", Kind::Strategic),
];

/// A patch as the client sent it.
pub struct Patch {
    kind: Kind,
    bytes: Bytes,
    validation: api::Validation,
    /// Of the last time it was applied.
    warnings: Mutex<Vec<String>>,
}

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    let patch = Patch::read(call, request_body, &options).await?;
    let write = Write::new(call, &options)?;
    let change = ObjectPatch { call, patch: &patch };
    let outcome = write.update(Part::of(&call.info.subresource), &change).await?;
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    call.answer(status, &outcome.object, &patch.warnings())
}

impl Patch {
    /// # Errors
    /// 415 for types that the resource cannot be patched with.
    pub async fn read(call: &Call, request_body: Body, options: &WriteOptions) -> Result<Self> {
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
        Ok(Self { kind: *kind, bytes, validation: options.validation, warnings: Mutex::default() })
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
