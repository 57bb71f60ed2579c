//! Kubeconfigs: how to reach the cluster, and as whom.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Credential, FileError, write_atomic};

/// One cluster, one user, one context.
#[derive(Clone, Copy, Debug)]
pub struct Kubeconfig<'a> {
    /// `https://127.0.0.1:6443`
    pub server: &'a str,
    /// The authority that the server's certificate is verified with, PEM.
    pub ca: &'a str,
    pub cluster: &'a str,
    pub user: &'a str,
    pub credential: &'a Credential,
}

impl Kubeconfig<'_> {
    /// The file's text.
    pub fn to_yaml(&self) -> String {
        let Self { server, cluster, user, .. } = self;
        let (ca, certificate, key) =
            (encode(self.ca), encode(&self.credential.certificate), encode(&self.credential.key));
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: {cluster}\n\
             \x20 cluster:\n\
             \x20   server: {server}\n\
             \x20   certificate-authority-data: {ca}\n\
             users:\n\
             - name: {user}\n\
             \x20 user:\n\
             \x20   client-certificate-data: {certificate}\n\
             \x20   client-key-data: {key}\n\
             contexts:\n\
             - name: {user}@{cluster}\n\
             \x20 context:\n\
             \x20   cluster: {cluster}\n\
             \x20   user: {user}\n\
             current-context: {user}@{cluster}\n\
             preferences: {{}}\n"
        )
    }

    /// Writes the file, readable for its owner alone.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        write_atomic(path, self.to_yaml().as_bytes(), 0o600)
    }
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}
