//! What is behind all layers: resources go to their verbs, every other path to a document.

mod discovery;
mod documents;
mod handler;
mod health;
mod openapi;
mod version;

pub use documents::Documents;
pub use handler::Handler;
