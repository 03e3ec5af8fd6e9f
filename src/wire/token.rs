//! Opaque tokens: base64url without meaning to clients. A page token says where a list goes on; a consistency token names
//! a revision of one database.

use crate::engine::Position;
use crate::tuple::Revision;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The first byte of a consistency token; another one is another layout.
const TOKEN_VERSION: u8 = 1;
const TOKEN_BYTES: usize = 1 + 8 + 8;

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

/// Why a consistency token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no consistency token at all.
    #[error("is no consistency token; send one back as it came in `bailiwick-consistency-token`")]
    Malformed,
    /// Another database made it.
    #[error("is a consistency token of another database; ask this one without it first")]
    OtherDatabase,
}

/// What makes and reads the consistency tokens of one database.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    database: u64,
}

impl Tokens {
    /// Tokens that name a database by its identity.
    #[must_use]
    pub fn new(identity: u128) -> Tokens {
        let [high, low] =
            [identity >> 64, identity & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0));
        Tokens { database: high ^ low }
    }

    /// The token of a revision.
    #[must_use]
    pub fn encode(&self, revision: Revision) -> String {
        let mut bytes = [TOKEN_VERSION; TOKEN_BYTES];
        let (_, rest) = bytes.split_at_mut(1);
        let (database, at) = rest.split_at_mut(8);
        database.copy_from_slice(&self.database.to_be_bytes());
        at.copy_from_slice(&revision.0.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The revision of a token.
    ///
    /// # Errors
    /// It is none, or of another database.
    pub fn decode(&self, token: &str) -> Result<Revision, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| TokenError::Malformed)?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| TokenError::Malformed)?;
        let (version, rest) = bytes.split_at(1);
        let (database, revision) = rest.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        if version != [TOKEN_VERSION] {
            return Err(TokenError::Malformed);
        }
        if number(database) != self.database {
            return Err(TokenError::OtherDatabase);
        }
        Ok(Revision(number(revision)))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_database() {
        let (ours, other) = (Tokens::new(7 << 70 | 3), Tokens::new(8 << 70 | 3));
        let token = ours.encode(Revision(u64::MAX - 1));
        assert_eq!(ours.decode(&token), Ok(Revision(u64::MAX - 1)));
        assert_eq!(other.decode(&token), Err(TokenError::OtherDatabase));
        for bad in ["", "x", "cjE", token.get(..20).unwrap(), &format!("{token}AA")] {
            assert_eq!(ours.decode(bad), Err(TokenError::Malformed), "{bad}");
        }
    }
}
