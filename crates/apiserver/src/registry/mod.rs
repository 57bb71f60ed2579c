//! The objects: where they lie, how they are written, and which resources there are.
//!
//! In reading order: [`keys`] (places), [`Storage`] (one stored resource), [`before`] (what a write changes whatever
//! the kind), [`deletion`] (what a DELETE means), [`Served`] (a resource of a group and version), [`Registry`] (all of
//! them).

pub mod before;
mod codec;
mod convert;
mod customs;
pub mod deletion;
pub mod keys;
mod live;
mod served;
mod storage;
mod table;

pub use codec::Codec;
pub use convert::Conversion;
pub use customs::Customs;
pub use live::LiveObjects;
pub use served::{Served, Subresource};
pub use storage::{Current, Storage, Swap, read_failure, write_failure};
pub use table::Registry;
