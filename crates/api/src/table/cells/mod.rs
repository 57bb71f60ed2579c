//! The cells that are computed: one small function each, named in the `.rules` files as `@name`.
//!
//! Upstream: pkg/printers/internalversion/printers.go.

mod admission;
mod events;
mod metrics;
mod nodes;
mod pods;
mod services;
mod storage;
mod text;
mod various;
mod workloads;

pub(crate) use admission::*;
pub(crate) use events::*;
pub(crate) use metrics::*;
pub(crate) use nodes::*;
pub(crate) use pods::*;
pub(crate) use services::*;
pub(crate) use storage::*;
pub(crate) use various::*;
pub(crate) use workloads::*;

use crate::access::Access;
use jiff::Timestamp;
use serde_json::Value;

/// What a cell may know besides its object.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub now: Timestamp,
}

/// Computes one cell.
pub type Cell = fn(&Value, Context) -> Value;

pub(crate) fn age(object: &Value, cx: Context) -> Value {
    super::duration::since(object.text("metadata.creationTimestamp"), cx.now).into()
}

/// The string at `path`, or `otherwise` where it is absent or empty.
fn text_or(object: &Value, path: &str, otherwise: &str) -> Value {
    match object.text(path) {
        "" => otherwise.into(),
        text => text.into(),
    }
}
