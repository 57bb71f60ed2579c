//! The one body type: a boxed stream of bytes, the same for requests and answers, sockets and in-process callers.

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

/// Any error that a body's source may have.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that arrive over time.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A body of nothing.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body that is there at once.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that arrives chunk by chunk, as a watch does.
pub fn stream<S>(chunks: S) -> Body
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    use futures::TryStreamExt;
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}
