//! What SPIFFE says of names and keys: trust domains, the IDs of workloads in them, and which keys of a bundle verify their
//! JWT-SVIDs. Pure.

use serde_json::{Value, json};

/// Longest SPIFFE ID (SPIFFE-ID 2.3), in bytes.
const SPIFFE_ID_BYTES_MAX: usize = 2_048;
/// Longest name of a trust domain (SPIFFE-ID 2.3).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
const SPIFFE: &str = "spiffe://";
/// `use` of the keys of a bundle that verify JWT-SVIDs (SPIFFE Bundle 4.2.2).
const OF_SVIDS: &str = "jwt-svid";

/// The name of a trust domain in `spiffe://example.org`, if it is one (SPIFFE-ID 2.1).
pub(super) fn trust_domain(text: &str) -> Option<&str> {
    let name = text.strip_prefix(SPIFFE)?;
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    (!name.is_empty() && name.len() <= TRUST_DOMAIN_BYTES_MAX && name.bytes().all(fine)).then_some(name)
}

/// The trust domain of a SPIFFE ID with a path, as `spiffe://example.org`, if it is one (SPIFFE-ID 2).
pub(super) fn domain_of(id: &str) -> Option<&str> {
    let path_at = id.get(SPIFFE.len()..)?.find('/')?.saturating_add(SPIFFE.len());
    let (domain, path) = id.split_at_checked(path_at)?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(fine);
    let whole = id.len() <= SPIFFE_ID_BYTES_MAX && path.strip_prefix('/')?.split('/').all(segment);
    (whole && trust_domain(domain).is_some()).then_some(domain)
}

/// Whether an issuer is a trust domain of SPIFFE.
pub(super) fn is_spiffe(issuer: &str) -> bool {
    issuer.starts_with(SPIFFE)
}

/// The keys of a trust domain's bundle that verify JWT-SVIDs; what is for something else is passed over, and so is what does
/// not say what it is for (SPIFFE Bundle 4.2.2).
pub(super) fn keys_of_svids(bundle: &Value) -> Value {
    let keys = bundle.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_svids = keys.iter().filter(|key| key.get("use").and_then(Value::as_str) == Some(OF_SVIDS));
    let plain = of_svids.cloned().map(|mut key| {
        // That they are for SVIDs is seen to here; elsewhere `use` is of RFC 7517.
        key.as_object_mut().map(|members| members.remove("use"));
        key
    });
    json!({ "keys": plain.collect::<Vec<_>>() })
}
