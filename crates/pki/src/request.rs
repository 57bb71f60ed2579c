//! Certificate signing requests: what they ask for, and signing them.
//!
//! Upstream: pkg/controller/certificates/authority (`PermissiveSigningPolicy`).

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SigningKey as _,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::{CLOCK_SKEW, since_epoch};
use crate::{Authority, IssueError};

/// Why a request cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    #[error("the certificate request is malformed")]
    Malformed,
    #[error("the certificate request is not signed by its own key, or asks for what is not supported")]
    Unsupported { source: rcgen::Error },
}

/// A request that was signed by the key that it names.
pub struct CertificateRequest {
    params: CertificateSigningRequestParams,
    /// The subject as it was written: DER.
    subject: Vec<u8>,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub names: RequestedNames,
}

/// How many alternative names of each kind are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestedNames {
    pub dns: usize,
    pub addresses: usize,
    pub emails: usize,
    pub uris: usize,
}

impl CertificateRequest {
    /// Reads a PEM request, and checks that its sender has the key.
    ///
    /// # Errors
    /// When it is malformed, forged, or of a kind that cannot be signed.
    pub fn parse(pem: &str) -> Result<Self, RequestError> {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| RequestError::Pem)?;
        if block.label != "CERTIFICATE REQUEST" && block.label != "NEW CERTIFICATE REQUEST" {
            return Err(RequestError::Pem);
        }
        let (_, parsed) =
            X509CertificationRequest::from_der(&block.contents).map_err(|_| RequestError::Malformed)?;
        let subject = &parsed.certification_request_info.subject;
        let texts = |names: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
            names.map(|name| name.as_str().map(str::to_owned)).collect::<Result<Vec<_>, _>>()
        };
        let names = texts(&mut subject.iter_common_name()).map_err(|_| RequestError::Malformed)?;
        let organizations = texts(&mut subject.iter_organization()).map_err(|_| RequestError::Malformed)?;
        let params = CertificateSigningRequestParams::from_der(&block.contents.clone().into())
            .map_err(|source| RequestError::Unsupported { source })?;
        Ok(Self {
            params,
            subject: subject.as_raw().to_vec(),
            common_name: names.into_iter().next_back().unwrap_or_default(),
            organizations,
            names: requested_names(&parsed),
        })
    }
}

fn requested_names(request: &X509CertificationRequest<'_>) -> RequestedNames {
    let mut names = RequestedNames::default();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(alternative) = extension else { continue };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(_) => names.dns += 1,
                GeneralName::IPAddress(_) => names.addresses += 1,
                GeneralName::RFC822Name(_) => names.emails += 1,
                GeneralName::URI(_) => names.uris += 1,
                _ => {}
            }
        }
    }
    names
}

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("unrecognized usage values: {usages:?}")]
    Usages { usages: Vec<String> },
    #[error("cannot issue the certificate")]
    Issue(#[from] IssueError),
    #[error("the issued certificate cannot be read back")]
    Certificate,
}

impl Authority {
    /// Signs a request for `usages` (`client auth`, …) and `lifetime`, at most the authority's own. Gives PEM.
    ///
    /// # Errors
    /// For a usage that there is not, or when the authority's files are malformed.
    pub fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<String, SignError> {
        let key =
            KeyPair::from_pem(&self.credential().key).map_err(|source| IssueError::Authority { source })?;
        let mut params = request.params.params.clone();
        set_usages(&mut params, usages)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(now - CLOCK_SKEW);
        params.not_after =
            epoch + since_epoch(self.not_after().map_or(now + lifetime, |end| end.min(now + lifetime)));
        let issuer = Issuer::from_ca_cert_pem(self.certificate(), &key)
            .map_err(|source| IssueError::Authority { source })?;
        let sign_error = |source| IssueError::Sign { name: request.common_name.clone(), source };
        let signed = params.signed_by(&request.params.public_key, &issuer).map_err(sign_error)?;
        let der = with_subject(signed.der(), &request.subject).ok_or(SignError::Certificate)?;
        let signature = key.sign(&der.tbs).map_err(sign_error)?;
        Ok(pem(&der.sealed(&signature)))
    }

    fn not_after(&self) -> Option<Timestamp> {
        let (_, block) = x509_parser::pem::parse_x509_pem(self.certificate().as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
        Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
    }
}

fn set_usages(params: &mut rcgen::CertificateParams, usages: &[String]) -> Result<(), SignError> {
    (params.key_usages, params.extended_key_usages) = (Vec::new(), Vec::new());
    let mut unknown = Vec::new();
    for usage in usages {
        match (key_usage(usage), extended_key_usage(usage)) {
            (Some(usage), _) => params.key_usages.push(usage),
            (None, Some(usage)) => params.extended_key_usages.push(usage),
            (None, None) => unknown.push(usage.clone()),
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(SignError::Usages { usages: unknown }) }
}

fn key_usage(usage: &str) -> Option<KeyUsagePurpose> {
    Some(match usage {
        "signing" | "digital signature" => KeyUsagePurpose::DigitalSignature,
        "content commitment" => KeyUsagePurpose::ContentCommitment,
        "key encipherment" => KeyUsagePurpose::KeyEncipherment,
        "key agreement" => KeyUsagePurpose::KeyAgreement,
        "data encipherment" => KeyUsagePurpose::DataEncipherment,
        "cert sign" => KeyUsagePurpose::KeyCertSign,
        "crl sign" => KeyUsagePurpose::CrlSign,
        "encipher only" => KeyUsagePurpose::EncipherOnly,
        "decipher only" => KeyUsagePurpose::DecipherOnly,
        _ => return None,
    })
}

fn extended_key_usage(usage: &str) -> Option<ExtendedKeyUsagePurpose> {
    Some(match usage {
        "any" => ExtendedKeyUsagePurpose::Any,
        "server auth" => ExtendedKeyUsagePurpose::ServerAuth,
        "client auth" => ExtendedKeyUsagePurpose::ClientAuth,
        "code signing" => ExtendedKeyUsagePurpose::CodeSigning,
        "email protection" | "s/mime" => ExtendedKeyUsagePurpose::EmailProtection,
        "timestamping" => ExtendedKeyUsagePurpose::TimeStamping,
        "ocsp signing" => ExtendedKeyUsagePurpose::OcspSigning,
        _ => return None,
    })
}

/// A certificate taken apart: what is signed, and the name of the algorithm.
struct Unsealed {
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
}

impl Unsealed {
    fn sealed(&self, signature: &[u8]) -> Vec<u8> {
        // A bit string begins with the number of its unused bits.
        let bits = [&[0], signature].concat();
        sequence(&[self.tbs.clone(), self.algorithm.clone(), element(0x03, &bits)].concat())
    }
}

/// The certificate with another subject. rcgen keeps one value of each kind, and a user may be in several groups,
/// each an organization; so the subject is put in as the request wrote it.
fn with_subject(certificate: &[u8], subject: &[u8]) -> Option<Unsealed> {
    let outer = elements(content(certificate)?)?;
    let fields = elements(content(outer.first()?)?)?;
    // Version, serial number, algorithm, issuer, validity, subject (RFC 5280, 4.1).
    let body: Vec<&[u8]> =
        fields.iter().enumerate().map(|(at, field)| if at == 5 { subject } else { field }).collect();
    Some(Unsealed { tbs: sequence(&body.concat()), algorithm: outer.get(1)?.to_vec() })
}

fn sequence(body: &[u8]) -> Vec<u8> {
    element(0x30, body)
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let digits = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut all = vec![tag];
    if body.len() > 127 {
        all.push(0x80 | digits.len() as u8);
    }
    all.extend(digits);
    all.extend(body);
    all
}

/// Header and body lengths of the element that `der` begins with.
fn lengths(der: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*der.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let digits = der.get(2..2 + (first & 0x7f))?;
    let body =
        digits.iter().try_fold(0_usize, |n, byte| n.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    Some((2 + digits.len(), body))
}

fn content(der: &[u8]) -> Option<&[u8]> {
    let (header, body) = lengths(der)?;
    der.get(header..header.checked_add(body)?)
}

fn elements(mut der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !der.is_empty() {
        let (header, body) = lengths(der)?;
        let (one, rest) = der.split_at_checked(header.checked_add(body)?)?;
        all.push(one);
        der = rest;
    }
    Some(all)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType};

    use super::*;

    fn request(common_name: &str, organization: &str) -> String {
        let mut params = CertificateParams::new(vec!["n1".to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        // The same attribute under another key: two organizations.
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), "second");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        params.serialize_request(&key).expect("a request").pem().expect("text")
    }

    #[test]
    fn a_request_is_read_and_signed_with_its_whole_subject() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let ca = Authority::create("kubernetes", now).expect("an authority");
        let request =
            CertificateRequest::parse(&request("system:node:n1", "system:nodes")).expect("readable");
        assert_eq!(request.common_name, "system:node:n1");
        assert_eq!(request.organizations, ["system:nodes", "second"]);
        assert_eq!(request.names, RequestedNames { dns: 1, ..RequestedNames::default() });
        let usages = ["client auth".to_owned(), "digital signature".to_owned()];
        let pem = ca.sign(&request, &usages, Duration::from_secs(3600), now).expect("signed");
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
        let (_, leaf) = X509Certificate::from_der(&block.contents).expect("a certificate");
        let (_, root) = x509_parser::pem::parse_x509_pem(ca.certificate().as_bytes()).expect("PEM");
        let (_, root) = X509Certificate::from_der(&root.contents).expect("a certificate");
        leaf.verify_signature(Some(root.public_key())).expect("signed by the authority");
        assert_eq!(leaf.subject().to_string(), "O=system:nodes, O=second, CN=system:node:n1");
        assert_eq!(leaf.validity().not_after.timestamp(), now.as_second() + 3600);
        let usage = leaf.extended_key_usage().expect("readable").expect("there").value;
        assert!(usage.client_auth && !usage.server_auth);
        let refused = ca.sign(&request, &["flying".to_owned()], Duration::from_secs(60), now);
        assert_eq!(refused.expect_err("refused").to_string(), r#"unrecognized usage values: ["flying"]"#);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(matches!(CertificateRequest::parse("x"), Err(RequestError::Pem)));
        let now = Timestamp::UNIX_EPOCH;
        let ca = Authority::create("kubernetes", now).expect("an authority");
        assert!(matches!(CertificateRequest::parse(ca.certificate()), Err(RequestError::Pem)));
    }
}
