//! Reading a body: bounded, in any encoding, into an object of the expected kind.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::Value;

use super::{Call, WriteOptions};
use crate::Body;
use crate::error::{ApiError, Result};
use crate::media;
use crate::registry::Codec;

/// The whole body.
///
/// # Errors
/// 413 if it is too large, 400 if it breaks off.
pub async fn read(mut body: Body, limit: usize) -> Result<Bytes> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request(format!("cannot read the body of the request: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue }; // trailers say nothing here
        if collected.len() + data.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The object in the body, with the warnings that its decoding gave.
pub async fn object(
    call: &Call,
    body: Body,
    codec: &Codec,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>)> {
    let encoding = media::content_encoding(&call.headers)?;
    if encoding == media::Encoding::Protobuf && codec.as_custom().is_some() {
        return Err(ApiError::unsupported_media_type(&[media::JSON, media::YAML]));
    }
    let bytes = read(body, call.core.config.max_body_bytes).await?;
    codec.decode(&bytes, encoding, options.validation)
}

/// `DeleteOptions` from the body, or from the query when there is none.
pub async fn delete_options(call: &Call, body: Body) -> Result<Value> {
    let bytes = read(body, call.core.config.max_body_bytes).await?;
    if !bytes.is_empty() {
        let encoding = media::content_encoding(&call.headers)?;
        return call.core.registry.delete_options().decode_plain(&bytes, encoding);
    }
    Ok(super::write_options::delete_options_of_query(&call.query))
}
