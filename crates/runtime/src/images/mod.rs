//! Images: what containers are made from.
//!
//! Never touches a container. Its store hands out root file systems by the id of the container that uses them.
//! Reading order: [`contract`] (what others ask), [`reference`] (names), [`layout`] (what lies where), [`scratch`] (what
//! is not finished), [`garbage`] (what nobody needs), [`unpack`] (layers to folders, never outside them), [`platform`],
//! [`archive`] (import), [`registries`], [`download`], [`pull`], [`add`] (what import and pull both do then), [`rootfs`]
//! (overlay mounts), [`store`] (the contract fulfilled), [`demo`] (an image made from this program).
//!
//! Several processes may work on one store at a time: the runtime, and `dromon image`. Locks on files keep them apart.

mod add;
mod archive;
mod contract;
mod demo;
mod digest;
mod download;
mod garbage;
mod layout;
mod platform;
mod pull;
mod reference;
mod registries;
mod rootfs;
mod scratch;
mod store;
#[cfg(test)]
mod tests;
mod unpack;

pub use add::AddError;
pub use archive::ImportError;
pub use contract::{Error, Images, Rootfs, Usage};
pub use demo::{DEMO_IMAGE, demo_archive};
pub use download::{DownloadError, Progress};
pub use layout::{Index, LayoutError, Record};
pub use pull::PullError;
pub use reference::{Reference, ReferenceError};
pub use registries::ClientError;
pub use store::Store;
pub use unpack::UnpackError;
