//! A certificate authority, and what it issues.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Profile, Purpose};

/// Ten years, as kubeadm's.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks of other machines may run behind; upstream allows the same five minutes.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("cannot make a key")]
    Key { source: rcgen::Error },
    #[error("{name:?} is not a valid DNS name")]
    Name { name: String, source: rcgen::Error },
    #[error("cannot sign the certificate of {name:?}")]
    Sign { name: String, source: rcgen::Error },
    #[error("cannot read the authority's certificate or key")]
    Authority { source: rcgen::Error },
}

/// A certificate and its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A certificate authority with its key at hand.
#[derive(Clone, Debug)]
pub struct Authority {
    credential: Credential,
}

impl Authority {
    /// A new authority, signed by itself.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn create(name: &str, now: Timestamp) -> Result<Self, IssueError> {
        let key = new_key()?;
        let mut params = params(name, &[], now, CA_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.subject_alt_names = vec![dns_name(name)?];
        let signed =
            params.self_signed(&key).map_err(|source| IssueError::Sign { name: name.to_owned(), source })?;
        Ok(Self { credential: Credential { certificate: signed.pem(), key: key.serialize_pem() } })
    }

    /// The authority whose certificate and key were kept.
    pub fn from_credential(credential: Credential) -> Self {
        Self { credential }
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.credential.certificate
    }

    /// A new key and its certificate.
    ///
    /// # Errors
    /// When a name is malformed or the authority's own files are.
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Credential, IssueError> {
        let key = new_key()?;
        let ca_key =
            KeyPair::from_pem(&self.credential.key).map_err(|source| IssueError::Authority { source })?;
        let issuer = Issuer::from_ca_cert_pem(&self.credential.certificate, ca_key)
            .map_err(|source| IssueError::Authority { source })?;
        let params = leaf_params(profile, now)?;
        let signed = params
            .signed_by(&key, &issuer)
            .map_err(|source| IssueError::Sign { name: profile.common_name.clone(), source })?;
        Ok(Credential { certificate: signed.pem(), key: key.serialize_pem() })
    }

    /// Whether `credential` was issued here, says what `profile` says, and lives for another third of its lifetime.
    pub fn is_current(&self, credential: &Credential, profile: &Profile, now: Timestamp) -> bool {
        let remaining = profile.lifetime / 3;
        self.vouches_for(&credential.certificate, now + remaining)
            && KeyPair::from_pem(&credential.key).is_ok_and(|key| holds(&credential.certificate, &key))
            && names_of(&credential.certificate).is_some_and(|names| names == wanted_names(profile))
    }

    fn vouches_for(&self, certificate: &str, at: Timestamp) -> bool {
        with_certificate(certificate, |leaf| {
            with_certificate(self.certificate(), |ca| {
                leaf.validity().not_after.timestamp() > at.as_second()
                    && leaf.verify_signature(Some(ca.public_key())).is_ok()
            })
        })
        .flatten()
        .unwrap_or(false)
    }

    /// Whether the authority itself is usable at `at`.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.vouches_for(self.certificate(), at)
            && KeyPair::from_pem(&self.credential.key).is_ok_and(|key| holds(self.certificate(), &key))
    }
}

fn new_key() -> Result<KeyPair, IssueError> {
    KeyPair::generate().map_err(|source| IssueError::Key { source })
}

fn params(name: &str, organizations: &[String], now: Timestamp, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    for organization in organizations {
        subject.push(DnType::OrganizationName, organization.as_str());
    }
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    // rcgen's date type comes from a crate that this one does not depend on, so it is reached by addition.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now - CLOCK_SKEW);
    params.not_after = epoch + since_epoch(now + lifetime);
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf_params(profile: &Profile, now: Timestamp) -> Result<CertificateParams, IssueError> {
    let mut params = params(&profile.common_name, &profile.organizations, now, profile.lifetime);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    params.extended_key_usages = match profile.purpose {
        Purpose::Server => vec![server],
        Purpose::Client => vec![client],
        Purpose::Both => vec![server, client],
    };
    for name in &profile.dns_names {
        params.subject_alt_names.push(dns_name(name)?);
    }
    params.subject_alt_names.extend(profile.addresses.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn dns_name(name: &str) -> Result<SanType, IssueError> {
    match name.try_into() {
        Ok(text) => Ok(SanType::DnsName(text)),
        Err(source) => Err(IssueError::Name { name: name.to_owned(), source }),
    }
}

pub(crate) fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)) // before 1970 is as good as 1970
}

fn with_certificate<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    // Unreadable counts as absent: the caller issues it anew.
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    Some(read(&certificate))
}

fn holds(certificate: &str, key: &KeyPair) -> bool {
    with_certificate(certificate, |certificate| {
        *certificate.public_key().subject_public_key.data == *key.public_key_raw()
    })
    .unwrap_or(false)
}

/// Common name, organizations and alternative names, in one comparable form.
fn names_of(certificate: &str) -> Option<Vec<String>> {
    use x509_parser::extensions::GeneralName;
    with_certificate(certificate, |certificate| {
        let subject = certificate.subject();
        let mut names: Vec<String> =
            subject.iter_common_name().map(|name| format!("CN={}", text(name))).collect();
        names.extend(subject.iter_organization().map(|name| format!("O={}", text(name))));
        let alternative = certificate.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push(format!("DNS={name}")),
                GeneralName::IPAddress(bytes) => names.push(format!("IP={bytes:?}")),
                _ => {}
            }
        }
        names.sort();
        names
    })
}

fn text<'a>(attribute: &'a x509_parser::x509::AttributeTypeAndValue<'_>) -> &'a str {
    attribute.as_str().unwrap_or_default() // a subject that is no text matches no wanted one
}

fn wanted_names(profile: &Profile) -> Vec<String> {
    let mut names = vec![format!("CN={}", profile.common_name)];
    names.extend(profile.organizations.iter().map(|name| format!("O={name}")));
    names.extend(profile.dns_names.iter().map(|name| format!("DNS={name}")));
    names.extend(profile.addresses.iter().map(|address| match address {
        std::net::IpAddr::V4(v4) => format!("IP={:?}", v4.octets()),
        std::net::IpAddr::V6(v6) => format!("IP={:?}", v6.octets()),
    }));
    names.sort();
    names
}
