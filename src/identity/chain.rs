//! Certificates that a client's assertions carry (`x5c`, RFC 7515 4.1.6), as UDAP has them: the client is registered with the
//! authorities and the name of its certificate, and its key may be another tomorrow.
//!
//! A chain is looked at only where a client is registered so. It must end at one of that client's own authorities, and at no
//! other: neither the system's, nor those of TLS, nor another client's. What is revoked is not asked for.

use super::certificate::{ClientCertificate, TlsSubject, jwk_of};
use super::shown::refuse;
use super::{Answer, ErrorCode, Refusal, Seconds, encode};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

/// Most certificates of a chain, the client's own and all above it.
pub const CHAIN_MAX: usize = 6;
/// Largest certificate of a chain.
const CERTIFICATE_BYTES_MAX: usize = 8 << 10;
/// Most authorities of a client.
pub const AUTHORITIES_MAX: usize = 8;
/// Longest text of them.
pub const AUTHORITIES_BYTES_MAX: usize = 32 << 10;

/// How a client is known by the certificates that its assertions carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssertionChain {
    /// The authorities, in PEM.
    pub authorities: String,
    /// The name that the client's certificate has, as UDAP a URI among the alternative ones.
    pub subject: TlsSubject,
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "client.chain", text)
}

/// The certificates of a PEM text; none when anything else is in it, or too many.
fn read_pem(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem = pem.ok().filter(|pem| pem.label == "CERTIFICATE")?;
        if found.len() == AUTHORITIES_MAX {
            return None;
        }
        found.push(pem.contents);
    }
    Some(found).filter(|found| !found.is_empty())
}

/// A certificate, and nothing behind it.
fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

/// Whether a certificate is of an authority.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca()
        && certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// Whether what a certificate says of its key lets it sign for who has it.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.digital_signature()))
}

fn is_good_at(certificate: &X509Certificate<'_>, now: Seconds) -> bool {
    let now = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    now.is_some_and(|now| certificate.validity().is_valid_at(now))
}

/// The certificates of an `x5c`, the client's own first, in standard base64 (RFC 7515 4.1.6).
fn read_chain(x5c: &Value) -> Option<Vec<CertificateDer<'static>>> {
    let list = x5c.as_array().filter(|list| (1..=CHAIN_MAX).contains(&list.len()))?;
    let one = |text: &Value| {
        let text = text.as_str().filter(|text| text.len() <= CERTIFICATE_BYTES_MAX * 4 / 3 + 4)?;
        let der = STANDARD.decode(text).ok().filter(|der| der.len() <= CERTIFICATE_BYTES_MAX)?;
        read(&der)?;
        Some(CertificateDer::from(der))
    };
    list.iter().map(one).collect()
}

impl AssertionChain {
    /// What it is called in histories: the name, and which authorities.
    #[must_use]
    pub fn name(&self) -> String {
        let thumbprint = |der: &Vec<u8>| encode(digest::digest(&digest::SHA256, der).as_ref());
        let by: Vec<String> = read_pem(&self.authorities).unwrap_or_default().iter().map(thumbprint).collect();
        format!("{} by {}", self.subject, by.join(" "))
    }

    /// Refuses what no chain could end at, and what is of nobody.
    pub(super) fn check(&self) -> Answer<()> {
        self.subject.check()?;
        if self.authorities.len() > AUTHORITIES_BYTES_MAX {
            return Err(invalid(format!("the authorities have more than {AUTHORITIES_BYTES_MAX} bytes")));
        }
        let found = read_pem(&self.authorities).ok_or_else(|| {
            let text = "give 1 to 8 certificates of authorities in PEM, and nothing else; a private key is of nobody's concern here";
            invalid(text)
        })?;
        if !found.iter().all(|der| read(der).is_some_and(|certificate| is_authority(&certificate))) {
            return Err(invalid(
                "one of the certificates is of no authority (a CA); of a client itself, register the key",
            ));
        }
        Ok(())
    }

    /// The key of whoever a chain is of, as a JWK, once the chain ends at an authority of the client's and is good now, and the
    /// name is that of the client.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidClient`].
    pub(super) fn key(&self, x5c: &Value, now: Seconds) -> Answer<Value> {
        let malformed = || refuse("client.chain.form");
        let chain = read_chain(x5c).ok_or_else(malformed)?;
        let (own, above) = chain.split_first().ok_or_else(malformed)?;
        let roots: Vec<CertificateDer<'_>> =
            read_pem(&self.authorities).unwrap_or_default().into_iter().map(CertificateDer::from).collect();
        // An authority that is over signs nothing more.
        let good = roots.iter().filter(|root| read(root).is_some_and(|root| is_good_at(&root, now)));
        let anchors: Vec<_> = good.filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let leaf = EndEntityCert::try_from(own).map_err(|error| malformed().because(error.to_string()))?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, above, time, KeyUsage::client_auth(), None, None)
            .map_err(|error| refuse("client.chain.authority").because(error.to_string()))?;
        let certificate = read(own).ok_or_else(malformed)?;
        if !may_sign(&certificate) {
            return Err(refuse("client.chain.usage"));
        }
        if !ClientCertificate::read(own, true).is_some_and(|own| own.is_of(&self.subject)) {
            return Err(refuse("client.chain.subject"));
        }
        jwk_of(certificate.public_key()).ok_or_else(|| refuse("client.chain.key"))
    }
}
