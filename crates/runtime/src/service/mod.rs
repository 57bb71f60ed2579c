//! The two CRI services over a [`Node`](crate::Node).

mod images;
mod runtime;

pub(crate) use images::ImageServer;
pub(crate) use runtime::RuntimeServer;
