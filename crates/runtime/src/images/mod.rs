//! Images: what containers are made from.
//!
//! Never touches a container. Its store hands out root file systems by the id of the container that uses them.
//! Reading order: [`contract`] (what others ask), [`reference`] (names), [`layout`] (what lies where), [`unpack`]
//! (layers to folders, never outside them), [`archive`] (import), [`pull`] (registries), [`add`] (what both do then),
//! [`rootfs`] (overlay mounts), [`store`] (the contract fulfilled), [`demo`] (an image made from this program).

mod add;
mod archive;
mod contract;
mod demo;
mod digest;
mod layout;
mod pull;
mod reference;
mod rootfs;
mod store;
mod unpack;

pub use add::AddError;
pub use archive::ImportError;
pub use contract::{Error, Images, Rootfs, Usage};
pub use demo::{DEMO_IMAGE, demo_archive};
pub use layout::{Index, LayoutError, Record};
pub use pull::{Progress, PullError};
pub use reference::{Reference, ReferenceError};
pub use store::Store;
pub use unpack::UnpackError;
