//! Why a call of the runtime failed, and what the client is told.

use std::io;

use tonic::Status;

use crate::{images, link};

/// A failed call; becomes a gRPC status in exactly one place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an error occurred when try to find {kind} {id:?}: not found")]
    NotFound { kind: &'static str, id: String },
    #[error("{0}")]
    Invalid(String),
    #[error("{kind} {id:?} is not {wanted}")]
    State { kind: &'static str, id: String, wanted: &'static str },
    #[error("failed to start container {id:?}")]
    Start { id: String, source: link::Error },
    #[error("{0} timed out")]
    Timeout(&'static str),
    #[error("this runtime cannot {0}")]
    Unsupported(&'static str),
    #[error(transparent)]
    Shim(#[from] link::Error),
    #[error("image")]
    Image(#[from] images::Error),
    #[error("failed to setup network for sandbox {id:?}")]
    Network { id: String, source: network::Error },
    #[error("{step}")]
    Io { step: String, source: io::Error },
    #[error("cgroup")]
    Cgroup(#[from] linux::cgroup::Error),
}

impl Error {
    pub fn io(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let step = step.into();
        move |source| Self::Io { step, source }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = stdx::error_chain(&error);
        match &error {
            Error::NotFound { .. } | Error::Image(images::Error::NotFound { .. }) => Self::not_found(message),
            Error::Invalid(_) | Error::Image(images::Error::InvalidReference { .. }) => {
                Self::invalid_argument(message)
            }
            Error::State { .. } => Self::failed_precondition(message),
            Error::Timeout(_) => Self::deadline_exceeded(message),
            Error::Unsupported(_) => Self::unimplemented(message),
            _ => Self::unknown(message),
        }
    }
}
