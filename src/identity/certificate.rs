//! Certificates by which clients show who they are, and to which tokens are bound (RFC 8705).
//!
//! Whoever shows one has proved in the TLS handshake that they hold its key. What it is worth is judged here: for
//! `tls_client_auth` an authority that is trusted has signed it and its subject is the client's (2.1); for
//! `self_signed_tls_client_auth` its key is one of the client's (2.2); a token is bound to its bytes, whoever signed it (3.1).

use super::proof::thumbprint;
use super::{Answer, ErrorCode, Refusal, encode};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

/// Longest subject by which a client is known.
pub const TLS_SUBJECT_BYTES_MAX: usize = 1024;
/// Most alternative names of a certificate that are looked at; one with more is none.
const NAMES_MAX: usize = 100;

/// A certificate that a client has shown, and whose key it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its SHA-256 thumbprint, `x5t#S256`.
    pub thumbprint: String,
    /// Whether an authority that is trusted for clients has signed it, and it is good now.
    pub trusted: bool,
    /// Its bytes, in standard base64, as `x5c` has them.
    encoded: String,
    subject: Option<Name>,
    names: Vec<AlternativeName>,
    /// The thumbprint of its key (RFC 7638).
    key: Option<String>,
}

/// A name in a certificate besides its subject (RFC 5280 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
enum AlternativeName {
    Dns(String),
    Uri(String),
    Ip(IpAddr),
    Email(String),
}

/// The subject that the certificate of a client has (RFC 8705 2.1.2): one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsSubject {
    /// The distinguished name, as RFC 4514 writes it. Its values are compared letter for letter.
    #[serde(rename = "tls_client_auth_subject_dn")]
    Dn(String),
    /// A DNS name among the alternative ones.
    #[serde(rename = "tls_client_auth_san_dns")]
    Dns(String),
    /// A URI among them; `spiffe://…` for an X.509-SVID.
    #[serde(rename = "tls_client_auth_san_uri")]
    Uri(String),
    /// An IP address among them.
    #[serde(rename = "tls_client_auth_san_ip")]
    Ip(IpAddr),
    /// A mail address among them.
    #[serde(rename = "tls_client_auth_san_email")]
    Email(String),
}

/// A distinguished name: the most special part first, as RFC 4514 writes it; each part is one or more of type and value.
type Name = Vec<Vec<(String, String)>>;

/// Short names of types (RFC 4514 3), and their object identifiers.
const TYPES: [(&str, &str); 10] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("SERIALNUMBER", "2.5.4.5"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("#".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The distinguished name of a certificate.
fn name_of(name: &X509Name<'_>) -> Name {
    let part = |part: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let one = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            let value = attribute.as_str().map_or_else(|_| hex(attribute.attr_value().data), str::to_owned);
            (attribute.attr_type().to_id_string(), value)
        };
        let mut all: Vec<(String, String)> = part.iter().map(one).collect();
        all.sort();
        all
    };
    let mut parts: Vec<_> = name.iter_rdn().map(part).collect();
    parts.reverse();
    parts
}

/// Reads a distinguished name as RFC 4514 writes it.
fn read_name(text: &str) -> Option<Name> {
    let (mut name, mut part) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let kind = kind.trim();
        let known = TYPES.iter().find(|(short, id)| short.eq_ignore_ascii_case(kind) || *id == kind);
        let dotted = || kind.contains('.') && kind.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let id = known.map(|(_, id)| (*id).to_owned()).or_else(|| dotted().then(|| kind.to_owned()))?;
        let (value, end, after) = read_value(after)?;
        part.push((id, value));
        if end != Some('+') {
            part.sort();
            name.push(std::mem::take(&mut part));
        }
        if end.is_none() {
            return Some(name);
        }
        rest = after;
    }
}

/// A value up to what ends it, which is `,` or `+`, or the end. A backslash stands before a special letter, or two digits.
fn read_value(text: &str) -> Option<(String, Option<char>, &str)> {
    let mut bytes: Vec<u8> = Vec::new();
    // Blanks around a value are none of it, but for those behind a backslash.
    let text = text.trim_start_matches(' ');
    let (mut kept, mut letters) = (0, text.char_indices());
    let ended = |mut bytes: Vec<u8>, kept: usize| {
        while bytes.len() > kept && bytes.last() == Some(&b' ') {
            bytes.pop();
        }
        String::from_utf8(bytes).ok()
    };
    while let Some((at, letter)) = letters.next() {
        match letter {
            ',' | '+' => return Some((ended(bytes, kept)?, Some(letter), text.get(at + 1..)?)),
            '\\' => {
                let (_, first) = letters.next()?;
                match first.to_digit(16) {
                    Some(high) => {
                        let (_, second) = letters.next()?;
                        bytes.push(u8::try_from(high * 16 + second.to_digit(16)?).ok()?);
                    }
                    None if "\\ \"#=+,;<>".contains(first) => bytes.extend(first.encode_utf8(&mut [0; 4]).bytes()),
                    None => return None,
                }
                kept = bytes.len();
            }
            '"' | ';' | '<' | '>' | '\0' => return None,
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Some((ended(bytes, kept)?, None, ""))
}

/// A certificate's key as a JWK, if it is of a kind that clients have.
#[expect(clippy::wildcard_enum_match_arm, reason = "other kinds are none of ours")]
pub(super) fn jwk_of(key: &SubjectPublicKeyInfo<'_>) -> Option<Value> {
    Some(match key.parsed().ok()? {
        PublicKey::RSA(key) => {
            let number = |bytes: &[u8]| {
                encode(bytes.iter().position(|b| *b != 0).and_then(|at| bytes.get(at..)).unwrap_or_default())
            };
            json!({"kty": "RSA", "n": number(key.modulus), "e": number(key.exponent)})
        }
        PublicKey::EC(point) => {
            let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
            let (curve, half) = match curve.as_str() {
                "1.2.840.10045.3.1.7" => ("P-256", 32),
                "1.3.132.0.34" => ("P-384", 48),
                "1.3.132.0.35" => ("P-521", 66),
                _ => return None,
            };
            let (form, point) = point.data().split_first()?;
            let (x, y) = point.split_at_checked(half).filter(|(_, y)| *form == 4 && y.len() == half)?;
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        }
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&key.subject_public_key.data)})
        }
        _ => return None,
    })
}

impl ClientCertificate {
    /// A certificate from its DER bytes. `trusted` says whether an authority has signed it. None when it is malformed.
    #[must_use]
    pub fn read(der: &[u8], trusted: bool) -> Option<ClientCertificate> {
        use base64::Engine as _;
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map_or(&[][..], |extension| extension.value.general_names.as_slice());
        if !rest.is_empty() || names.len() > NAMES_MAX {
            return None;
        }
        let subject = name_of(certificate.subject());
        Some(ClientCertificate {
            thumbprint: encode(digest::digest(&digest::SHA256, der).as_ref()),
            trusted,
            encoded: base64::engine::general_purpose::STANDARD.encode(der),
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            names: names.iter().filter_map(alternative).collect(),
            key: jwk_of(certificate.public_key()).as_ref().and_then(thumbprint),
        })
    }

    /// Whether it is of a subject, by an authority that is trusted (RFC 8705 2.1).
    #[must_use]
    pub fn is_of(&self, subject: &TlsSubject) -> bool {
        let is = |name: &AlternativeName| match (subject, name) {
            (TlsSubject::Dns(wanted), AlternativeName::Dns(name)) => wanted.eq_ignore_ascii_case(name),
            (TlsSubject::Uri(wanted), AlternativeName::Uri(name)) => wanted == name,
            (TlsSubject::Email(wanted), AlternativeName::Email(name)) => wanted == name,
            (TlsSubject::Ip(wanted), AlternativeName::Ip(name)) => wanted == name,
            _ => false,
        };
        let found = match subject {
            TlsSubject::Dn(wanted) => self.subject.is_some() && read_name(wanted) == self.subject,
            // An X.509-SVID has one URI; a certificate with several says nobody's (SPIFFE X509-SVID 2).
            TlsSubject::Uri(wanted) if wanted.starts_with("spiffe://") => {
                let uris = self.names.iter().filter(|name| matches!(name, AlternativeName::Uri(_)));
                uris.count() == 1 && self.names.iter().any(is)
            }
            TlsSubject::Dns(_) | TlsSubject::Uri(_) | TlsSubject::Ip(_) | TlsSubject::Email(_) => {
                self.names.iter().any(is)
            }
        };
        self.trusted && found
    }

    /// The key of a JWK set that it has, or where it is itself as `x5c` (RFC 8705 2.2).
    #[must_use]
    pub fn key_in<'a>(&self, set: &'a Value) -> Option<&'a Value> {
        let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        keys.iter().find(|jwk| {
            let chain = jwk.get("x5c").and_then(Value::as_array).and_then(|chain| chain.first());
            let same_key = self.key.is_some() && thumbprint(jwk) == self.key;
            // A certificate in `x5c` must be of the key beside it, and so is of the one that is held.
            same_key && chain.is_none_or(|first| first.as_str() == Some(self.encoded.as_str()))
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "other kinds are none of ours")]
fn alternative(name: &GeneralName<'_>) -> Option<AlternativeName> {
    match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Dns((*name).to_owned())),
        GeneralName::URI(uri) => Some(AlternativeName::Uri((*uri).to_owned())),
        GeneralName::RFC822Name(address) => Some(AlternativeName::Email((*address).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let sixteen = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| sixteen()).ok().map(AlternativeName::Ip)
        }
        _ => None,
    }
}

/// As the command line writes it: `san-uri=spiffe://example.org/sales`.
impl std::fmt::Display for TlsSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsSubject::Dn(name) => write!(f, "dn={name}"),
            TlsSubject::Dns(name) => write!(f, "san-dns={name}"),
            TlsSubject::Uri(uri) => write!(f, "san-uri={uri}"),
            TlsSubject::Ip(address) => write!(f, "san-ip={address}"),
            TlsSubject::Email(address) => write!(f, "san-email={address}"),
        }
    }
}

impl std::str::FromStr for TlsSubject {
    type Err = String;

    fn from_str(text: &str) -> Result<TlsSubject, String> {
        let right =
            "write dn, san-dns, san-uri, san-ip or san-email, `=`, and the name, as `san-dns=sales.example.org`";
        let (kind, name) = text.split_once('=').ok_or(right)?;
        let subject = match kind {
            "dn" => TlsSubject::Dn(name.to_owned()),
            "san-dns" => TlsSubject::Dns(name.to_owned()),
            "san-uri" => TlsSubject::Uri(name.to_owned()),
            "san-ip" => TlsSubject::Ip(name.parse().map_err(|_| format!("`{name}` is no IP address"))?),
            "san-email" => TlsSubject::Email(name.to_owned()),
            _ => return Err(right.to_owned()),
        };
        subject.check().map(|()| subject).map_err(|refusal| refusal.description)
    }
}

impl TlsSubject {
    /// Refuses what no certificate can have.
    pub(super) fn check(&self) -> Answer<()> {
        let refuse = |text: String| Err(Refusal::new(ErrorCode::InvalidRequest, "client.tls_subject", text));
        let text = match self {
            TlsSubject::Dn(text) | TlsSubject::Dns(text) | TlsSubject::Uri(text) | TlsSubject::Email(text) => text,
            TlsSubject::Ip(_) => return Ok(()),
        };
        if text.is_empty() || text.len() > TLS_SUBJECT_BYTES_MAX || text.chars().any(char::is_control) {
            return refuse(format!("the subject of a client's certificate has 1 to {TLS_SUBJECT_BYTES_MAX} bytes"));
        }
        if matches!(self, TlsSubject::Dn(_)) && read_name(text).is_none() {
            return refuse(format!("`{text}` is no distinguished name; write as `CN=sales,O=Example` (RFC 4514)"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_standard_writes_them() {
        let cn = |value: &str| vec![("2.5.4.3".to_owned(), value.to_owned())];
        let o = || vec![("2.5.4.10".to_owned(), "Acme, Inc.".to_owned())];
        assert_eq!(read_name(r"CN=sales,O=Acme\, Inc."), Some(vec![cn("sales"), o()]));
        assert_eq!(read_name(r"cn = sales , 2.5.4.10=Acme\2c Inc."), Some(vec![cn("sales"), o()]));
        assert_eq!(read_name(r"CN=\ x\ "), Some(vec![cn(" x ")]));
        assert_eq!(read_name(r"CN=Lu\C4\8Di\C4\87"), Some(vec![cn("Lučić")]));
        let two = vec![vec![("2.5.4.11".to_owned(), "b".to_owned()), ("2.5.4.3".to_owned(), "a".to_owned())]];
        assert_eq!((read_name("CN=a+OU=b"), read_name("OU=b+CN=a")), (Some(two.clone()), Some(two)));
        assert_ne!(read_name("CN=sales,O=x"), read_name("O=x,CN=sales"));
        for bad in ["", "sales", "CN", "nobody=x", "CN=a;O=b", r#"CN="a""#, r"CN=a\", r"CN=a\g", r"CN=\c3", "CN=a,"] {
            assert_eq!(read_name(bad), None, "{bad}");
        }
    }
}
