//! The pki folder: everything that is missing, stale or near its end is made anew, the rest is left alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stdx::Clock;

use crate::file::{FileError, make_dir, read, write_atomic};
use crate::service_account::{KeyError, SigningKey, VerifyingKey};
use crate::{Authority, Credential, IssueError, Names, Profile};

/// Why the folder could not be brought in order.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    #[error("cannot keep the files of the pki folder")]
    File(#[from] FileError),
    #[error("cannot issue a certificate")]
    Issue(#[from] IssueError),
    #[error("cannot use the service-account key {path:?}")]
    Key { path: PathBuf, source: KeyError },
    /// Replacing an authority would cut off every client that trusts it, so that is left to a person.
    #[error(
        "the authority {path:?} is expired, or its key is missing or another's; move it away to make a new one"
    )]
    Authority { path: PathBuf },
}

/// What the folder holds.
#[derive(Clone, Debug)]
pub struct Pki {
    pub ca: Authority,
    pub front_proxy_ca: Authority,
    pub apiserver: Credential,
    /// The API server's identity towards kubelets.
    pub apiserver_kubelet_client: Credential,
    /// The API server's identity towards aggregated API servers.
    pub front_proxy_client: Credential,
    pub kubelet: Credential,
    pub kubelet_client: Credential,
    pub admin: Credential,
    pub scheduler: Credential,
    pub controller_manager: Credential,
    /// PKCS#8 PEM of the key that signs service-account tokens. Not printed: see [`SigningKey`].
    pub service_account_key: ServiceAccountKey,
    /// Further keys whose tokens are still accepted, PEM: `sa-*.pub` in the folder.
    pub previous_service_account_keys: Vec<VerifyingKey>,
}

/// A private key that `Debug` hides.
#[derive(Clone)]
pub struct ServiceAccountKey(String);

impl ServiceAccountKey {
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceAccountKey(..)")
    }
}

/// Brings `dir` in order for a cluster with `names`. Idempotent: what is current stays byte for byte.
///
/// # Errors
/// When files cannot be read or written, a name is malformed, or an authority is unusable.
pub fn ensure(dir: &Path, names: &Names, clock: &Clock) -> Result<Pki, EnsureError> {
    make_dir(dir)?;
    let folder = Folder { dir, clock };
    let ca = folder.authority("ca", "kubernetes")?;
    let front_proxy_ca = folder.authority("front-proxy-ca", "front-proxy-ca")?;
    let masters = &["system:masters"];
    let serving = Profile::kubelet_serving(&names.node, &names.addresses);
    let kubelet_client = Profile::client("kube-apiserver-kubelet-client", masters);
    let controller_manager = Profile::client("system:kube-controller-manager", &[]);
    Ok(Pki {
        apiserver: folder.leaf(&ca, "apiserver", &Profile::apiserver(names))?,
        apiserver_kubelet_client: folder.leaf(&ca, "apiserver-kubelet-client", &kubelet_client)?,
        front_proxy_client: folder.leaf(
            &front_proxy_ca,
            "front-proxy-client",
            &Profile::client("front-proxy-client", &[]),
        )?,
        kubelet: folder.leaf(&ca, "kubelet", &serving)?,
        kubelet_client: folder.leaf(&ca, "kubelet-client", &Profile::kubelet_client(&names.node))?,
        admin: folder.leaf(&ca, "admin", &Profile::client("kubernetes-admin", masters))?,
        scheduler: folder.leaf(&ca, "scheduler", &Profile::client("system:kube-scheduler", &[]))?,
        controller_manager: folder.leaf(&ca, "controller-manager", &controller_manager)?,
        service_account_key: folder.service_account_key()?,
        previous_service_account_keys: folder.previous_keys()?,
        ca,
        front_proxy_ca,
    })
}

struct Folder<'a> {
    dir: &'a Path,
    clock: &'a Clock,
}

impl Folder<'_> {
    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{name}.{extension}"))
    }

    fn load(&self, name: &str) -> Result<Option<Credential>, FileError> {
        let certificate = read(&self.path(name, "crt"))?;
        let key = read(&self.path(name, "key"))?;
        Ok(certificate.zip(key).map(|(certificate, key)| Credential { certificate, key }))
    }

    fn store(&self, name: &str, credential: &Credential) -> Result<(), FileError> {
        write_atomic(&self.path(name, "key"), credential.key.as_bytes(), 0o600)?;
        write_atomic(&self.path(name, "crt"), credential.certificate.as_bytes(), 0o644)
    }

    fn authority(&self, file: &str, name: &str) -> Result<Authority, EnsureError> {
        let path = self.path(file, "crt");
        let now = self.clock.now();
        if let Some(credential) = self.load(file)? {
            let authority = Authority::from_credential(credential);
            return match authority.is_valid_at(now + Duration::from_secs(60)) {
                true => Ok(authority),
                false => Err(EnsureError::Authority { path }),
            };
        }
        if path.exists() {
            return Err(EnsureError::Authority { path });
        }
        let authority = Authority::create(name, now)?;
        self.store(file, authority.credential())?;
        Ok(authority)
    }

    fn leaf(&self, authority: &Authority, file: &str, profile: &Profile) -> Result<Credential, EnsureError> {
        let now = self.clock.now();
        let kept = self.load(file)?.filter(|credential| authority.is_current(credential, profile, now));
        if let Some(credential) = kept {
            return Ok(credential);
        }
        let credential = authority.issue(profile, now)?;
        self.store(file, &credential)?;
        Ok(credential)
    }

    fn service_account_key(&self) -> Result<ServiceAccountKey, EnsureError> {
        let path = self.path("sa", "key");
        let failed = |source| EnsureError::Key { path: path.clone(), source };
        let pem = match read(&path)? {
            Some(pem) => pem,
            None => {
                let pem = SigningKey::generate_pem().map_err(failed)?;
                write_atomic(&path, pem.as_bytes(), 0o600)?;
                pem
            }
        };
        let key = SigningKey::from_pem(&pem).map_err(failed)?;
        let public = self.path("sa", "pub");
        let text = key.verifying().to_pem();
        if read(&public)?.as_deref() != Some(text.as_str()) {
            write_atomic(&public, text.as_bytes(), 0o644)?;
        }
        Ok(ServiceAccountKey(pem))
    }

    fn previous_keys(&self) -> Result<Vec<VerifyingKey>, EnsureError> {
        let failed = |source| FileError::Read { path: self.dir.to_owned(), source };
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !(name.starts_with("sa-") && name.ends_with(".pub")) {
                continue;
            }
            let pem = read(&path)?.unwrap_or_default();
            keys.push(
                VerifyingKey::from_pem(&pem)
                    .map_err(|source| EnsureError::Key { path: path.clone(), source })?,
            );
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use jiff::Timestamp;

    use super::*;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn files(dir: &Path) -> BTreeMap<String, (u32, String)> {
        let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), (mode, fs::read_to_string(entry.path()).unwrap()))
            })
            .collect()
    }

    #[test]
    fn is_idempotent_and_keys_are_private() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(start()));
        let names = Names::new("node-1", vec!["192.0.2.1".parse().unwrap()]);
        ensure(dir.path(), &names, &clock).unwrap();
        let first = files(dir.path());
        ensure(dir.path(), &names, &clock).unwrap();
        assert_eq!(first, files(dir.path()));
        for (name, (mode, _)) in &first {
            assert_eq!(*mode, if name.ends_with(".key") { 0o600 } else { 0o644 }, "{name}");
        }
    }

    #[test]
    fn changed_names_and_old_age_reissue_only_what_they_touch() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(start()));
        let changed = |before: &BTreeMap<String, (u32, String)>| -> Vec<String> {
            let after = files(dir.path());
            after
                .into_iter()
                .filter(|(name, file)| before.get(name) != Some(file))
                .map(|(name, _)| name)
                .collect()
        };
        ensure(dir.path(), &Names::new("node-1", Vec::new()), &clock).unwrap();
        let before = files(dir.path());
        let names =
            Names { dns_names: vec!["api.example.org".to_owned()], ..Names::new("node-1", Vec::new()) };
        ensure(dir.path(), &names, &clock).unwrap();
        assert_eq!(changed(&before), ["apiserver.crt", "apiserver.key"]);

        let before = files(dir.path());
        clock.advance(Duration::from_secs(300 * 24 * 60 * 60));
        ensure(dir.path(), &names, &clock).unwrap();
        assert_eq!(changed(&before).len(), 16, "eight leaves, two files each; authorities and sa.key stay");
    }

    #[test]
    fn an_authority_is_never_replaced_silently() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(start()));
        let names = Names::new("node-1", Vec::new());
        ensure(dir.path(), &names, &clock).unwrap();
        fs::remove_file(dir.path().join("ca.key")).unwrap();
        assert!(matches!(ensure(dir.path(), &names, &clock), Err(EnsureError::Authority { .. })));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(start()));
        let pki = ensure(dir.path(), &Names::new("node-1", Vec::new()), &clock).unwrap();
        assert!(!format!("{pki:?}").contains("PRIVATE KEY"));
    }
}
