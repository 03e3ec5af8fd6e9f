//! What all handlers share: the clock, fresh identifiers, tokens, bounds, threads, the client of other people's servers, how
//! texts of others are shown, and the one list of error codes.

mod administration;
mod bounds;
mod challenge;
mod deadline;
mod embedding;
mod flight;
mod front;
mod hidden;
mod jwks;
mod listen;
mod outgoing;
mod places;
mod pool;
mod problem;
mod random;
mod token;

pub use administration::{Call, Json, Judge, challenged, read_json, wrong_body};
pub use bounds::Bounds;
pub use challenge::challenge;
pub use deadline::{Deadlines, Flag};
pub use embedding::{
    EMBEDDED_TEXT_BYTES_MAX, EMBEDDED_TEXTS_MAX, EMBEDDING_KEY_BYTES_MAX, Embedder, EmbeddingError, EmbeddingKey,
    EmbeddingSettings, EmbeddingStartError,
};
pub use flight::Flights;
pub use front::{Asked, FORM_BYTES_MAX, Front, body as read_body, json as json_response};
pub use hidden::{is_hidden, visible};
pub use jwks::{FETCHED_JWKS_BYTES_MAX, JWKS_KEPT_MAX_S, JWKS_KEPT_MIN_S, JWKS_KEPT_S, JWKS_REFETCH_S, JwkSets};
pub use listen::{
    ALIVE_EVERY, ALIVE_TIMEOUT, CONNECTIONS_MAX, Connection, HANDSHAKE_TIMEOUT, HEAD_TIMEOUT, Listener, Peer, Secure,
    WRITE_TIMEOUT, serve_http,
};
pub use outgoing::{
    ANSWER_HEADER_BYTES_MAX, ANSWER_HEADERS_MAX, Allowed, AllowedError, Outgoing, OutgoingAnswer, OutgoingError,
    OutgoingRequest, OutgoingSettings, OutgoingStartError, Range, Redirects, Resolution, Resolver, SystemResolver,
    URL_BYTES_MAX, WholeAnswer, judge,
};
pub use places::{Place, Places};
pub use pool::{Pool, PoolFull};
pub use problem::{Code, Problem};
pub use random::random;
pub use token::{TokenError, Tokens, decode_page, encode_page};

use crate::tuple::Timestamp;

/// The time now. The only place that reads the clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A fresh identifier that sorts behind all made before it by this process.
#[must_use]
pub fn fresh_id() -> ulid::Ulid {
    static LAST: parking_lot::Mutex<ulid::Ulid> = parking_lot::Mutex::new(ulid::Ulid::nil());
    let mut last = LAST.lock();
    let fresh = ulid::Ulid::generate();
    *last = if fresh > *last { fresh } else { last.increment().unwrap_or(fresh) };
    *last
}

/// Does what waits for the disk on a thread that may. `None` when it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok() // a panic there was reported when it happened
}

/// What identifies a request in logs and in `X-Request-Id`: a random UUID (version 4).
#[must_use]
pub fn request_id() -> [u8; 36] {
    use std::cell::Cell;
    use std::hash::BuildHasher as _;
    thread_local! {
        /// Seeded from the system; an identifier of requests needs to be unique, not secret.
        static STATE: Cell<u64> = Cell::new(std::hash::RandomState::new().hash_one(std::thread::current().id()));
    }
    let next = || {
        // splitmix64
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let bits = u128::from(next()) << 64 | u128::from(next());
    let bits = bits & !(0xf << 76) | 4 << 76; // the version
    let bits = bits & !(3 << 62) | 2 << 62; // the variant
    let mut text = [b'-'; 36];
    let mut left = bits;
    for (place, byte) in text.iter_mut().enumerate().rev() {
        if !matches!(place, 8 | 13 | 18 | 23) {
            *byte = match u8::try_from(left & 0xf).unwrap_or(0) {
                digit @ 0..=9 => b'0' + digit,
                letter => b'a' + (letter - 10),
            };
            left >>= 4;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn request_ids_are_uuids_and_differ() {
        let ids: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| String::from_utf8(super::request_id().to_vec()).unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]));
            assert_eq!(id.matches('-').count(), 4);
        }
    }
}
