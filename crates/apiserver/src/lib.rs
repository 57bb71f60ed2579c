//! The API server: every request of every client, human or component, comes through here.
//!
//! Never runs a controller, never talks to a container runtime, never polls. It knows no kind outside
//! [`strategy`]; group, resource and subresource arrive as data from [`api::Schema`].
//!
//! In reading order:
//! - [`server`]: `Config`, `Server::start`, `Handle`; what is put together, and how others hold it
//! - [`path`]: the request path, a list of named layers; each layer is a file
//! - [`request_info`]: what a URL and a method mean
//! - [`paths`]: what is behind it; [`verbs`]: one handler per verb; [`media`], [`encode`]: what goes over the wire
//! - [`registry`]: the objects; [`strategy`]: what differs by kind; [`cache`]: what reads are answered from;
//!   [`addresses`]: what Services hold
//! - [`custom`]: custom resources
//! - [`metrics`]: what nodes and pods use, asked of kubelets
//! - [`error`]: what can go wrong, and the one place where it becomes a `Status`
//! - [`body`]: the one body type
//! - [`serve`], [`tls`]: sockets; [`auth`]: who asks and whether they may; [`admission`]: what changes or refuses a
//!   write; [`webhooks`]: who else is asked;
//!   [`streaming`]: what is passed on to kubelets, pods and services

pub mod addresses;
pub mod admission;
pub mod auth;
pub mod body;
pub mod cache;
pub mod config;
pub mod custom;
pub mod encode;
pub mod error;
pub mod media;
mod metrics;
pub mod object;
mod openapi;
pub mod path;
pub mod paths;
pub mod registry;
pub mod request_info;
pub mod serve;
pub mod server;
pub mod strategy;
pub mod streaming;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod verbs;
pub mod webhooks;

pub use body::{Body, BoxError};
pub use config::Config;
pub use error::{ApiError, GroupResource};
pub use request_info::RequestInfo;
pub use server::{Handle, Server, StartError};

/// A request as it travels down the path.
pub type Request = http::Request<Body>;
/// An answer as it travels back.
pub type Response = http::Response<Body>;
