//! How every component talks to the API server: shared informers, keyed work queues, expectations, events, leader
//! election, over a [`kube::Client`] that is either a TLS connection or the server's own service in this process.
//!
//! Never polls, knows no resource by name, keeps no decision of a component. Reading order: [`key`], [`informer`],
//! [`store`], [`hub`], [`queue`], [`controller`], [`expectations`], [`events`], [`election`].

mod controller;
mod election;
mod events;
mod expectations;
mod hub;
mod informer;
mod key;
mod queue;
mod store;

pub use controller::{BoxError, Controller, Next, Reconcile};
pub use election::{ElectionError, LeaderElection};
pub use events::{EventType, Recorder, reference};
pub use expectations::Expectations;
pub use hub::Hub;
pub use key::Key;
pub use queue::Queue;
pub use store::{Change, Changes, Object, Store};

/// Whether the server answered that the object is not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    has_code(error, 404)
}

/// Whether the server answered that the object changed meanwhile, or is there already.
pub fn is_conflict(error: &kube::Error) -> bool {
    has_code(error, 409)
}

/// Whether a creation failed because the name is taken.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "AlreadyExists")
}

/// Whether a creation failed because its namespace is being deleted: not worth another try.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
