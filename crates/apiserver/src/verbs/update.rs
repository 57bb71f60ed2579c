//! PUT: the whole object, or one of its subresources of the same kind.

use http::StatusCode;
use serde_json::Value;

use super::write::{Change, Write};
use super::{Call, WriteOptions, body};
use crate::error::Result;
use crate::registry::before::Part;
use crate::{Body, Response, object};

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    let (mut object, warnings) = body::object(call, request_body, &call.served.codec, &options).await?;
    call.check_place(&mut object)?;
    let part = Part::of(&call.info.subresource);
    let write = Write::new(call, &options)?;
    let creates = part == Part::Main && write.storage.traits.create_on_update;
    let put = Put { object: call.served.to_stored(object), creates };
    let outcome = write.update(part, &put).await?;
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    call.answer(status, &outcome.object, &warnings)
}

struct Put {
    object: Value,
    creates: bool,
}

impl Change for Put {
    fn apply(&self, _old: &Value) -> Result<Value> {
        Ok(self.object.clone())
    }

    fn create(&self) -> Option<Result<Value>> {
        let mut object = self.object.clone();
        object::set_meta(&mut object, "resourceVersion", None);
        self.creates.then_some(Ok(object))
    }
}
