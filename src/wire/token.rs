//! Opaque tokens: base64url without meaning to clients. A page token says where a list goes on; a consistency token names
//! a revision.

use crate::engine::Position;
use crate::tuple::Revision;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Makes a token of a text.
#[must_use]
pub fn encode_page(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The text of a token; `None` when it is none of ours.
#[must_use]
pub fn decode_page(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?).ok()
}

/// The consistency token of a revision.
#[must_use]
pub fn encode_revision(revision: Revision) -> String {
    encode_page(&format!("r{}", revision.0))
}

/// The revision of a consistency token.
#[must_use]
pub fn decode_revision(token: &str) -> Option<Revision> {
    decode_page(token)?.strip_prefix('r')?.parse().ok().map(Revision)
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.revision.0, self.index)
    }
}

impl std::str::FromStr for Position {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (revision, index) = text.split_once('.').unwrap_or((text, ""));
        Ok(Position { revision: Revision(revision.parse()?), index: index.parse()? })
    }
}
