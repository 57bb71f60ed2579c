//! Server-side apply: who owns which fields, what a configuration changes, and whom it would take fields from.
//!
//! Reading order: [`element`], [`set`], [`fields_v1`] (paths, sets of them, how they are written), [`node`] (how a value
//! merges), [`collect`], [`compare`], [`merge`], [`remove`], [`check`] (the walks), [`managed`] (the entries of an
//! object), [`writer`] (what a write does to them).

mod check;
mod collect;
mod compare;
mod element;
mod fields_v1;
pub mod managed;
mod merge;
mod node;
mod remove;
mod set;
#[cfg(test)]
mod tests;
mod writer;

pub use fields_v1::write as write_fields;
pub use managed::{Managed, differ_in_time_only};
pub use node::Node;
pub use set::FieldSet;
pub use writer::{ApplyError, Conflict, Versions, Writer};
