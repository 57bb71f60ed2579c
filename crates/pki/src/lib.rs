//! The cluster's own certificate authorities, the certificates and keys made from them, and kubeconfigs.
//!
//! Never talks to the network, never logs or prints a secret ([`Credential`]'s `Debug` hides its key), knows nothing
//! of HTTP. Everything is ECDSA P-256. Reading order: [`authority`] (a CA and what it issues), [`profile`] (what each
//! certificate says), [`request`] (what others ask for), [`ensure`] (the folder), [`service_account`] (token keys), [`kubeconfig`], [`file`].

mod authority;
mod ensure;
mod file;
mod jws;
pub mod kubeconfig;
mod profile;
mod request;
mod service_account;

pub use authority::{Authority, Credential, IssueError};
pub use ensure::{EnsureError, Pki, ensure};
pub use file::{FileError, write_atomic};
pub use jws::{detached_jws, is_signed_by};
pub use kubeconfig::Kubeconfig;
pub use profile::{Names, Profile, Purpose};
pub use request::{CertificateRequest, RequestError, RequestedNames, SignError};
pub use service_account::{KeyError, SigningKey, VerifyingKey};
