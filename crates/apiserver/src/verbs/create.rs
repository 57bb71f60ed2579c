//! POST to a collection.

use http::StatusCode;
use serde_json::{Value, json};

use super::write::Write;
use super::{Call, WriteOptions, body};
use crate::error::{ApiError, Result};
use crate::{Body, Response, object};

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let (mut object, warnings) = body::object(call, request_body, &call.served.codec, &options).await?;
    call.check_place(&mut object)?;
    let Some(_) = &call.served.storage else {
        return call.core.virtuals.create(call, object, &options, &warnings).await;
    };
    let mut object = call.served.to_stored(object);
    let write = Write::new(call, &options)?;
    write.ownership.track(None, &mut object);
    let stored = write.create(object).await?;
    call.answer(StatusCode::CREATED, &stored, &warnings)
}

impl Call {
    /// The object's namespace and name are the path's.
    ///
    /// # Errors
    /// 400 if it says otherwise.
    pub fn check_place(&self, object: &mut Value) -> Result<()> {
        let namespace = self.namespace();
        let own = object::namespace(object);
        if !own.is_empty() && own != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object::set_meta(object, "namespace", (!namespace.is_empty()).then(|| json!(namespace)));
        let (own, path) = (object::name(object), self.name());
        if path.is_empty() || own == path {
            return Ok(());
        }
        if own.is_empty() {
            object::set_meta(object, "name", Some(json!(path)));
            return Ok(());
        }
        Err(ApiError::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({path})"
        )))
    }
}
