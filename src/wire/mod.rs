//! What all handlers share: the clock, fresh identifiers, tokens, and the one list of error codes.

mod bounds;
mod problem;
mod token;

pub use bounds::Bounds;
pub use problem::{Code, Problem};
pub use token::{decode_page, decode_revision, encode_page, encode_revision};

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
