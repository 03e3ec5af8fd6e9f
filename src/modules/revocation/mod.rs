//! Global Token Revocation (draft-parecki-oauth-global-token-revocation-06), in both roles: another system says that all is
//! over that a person has here, and it is; and when it is over here, other systems are told.
//!
//! * As receiver, `/global-token-revocation` believes an administrator with a token for it, and of its own people whoever is
//!   trusted with who they are: a provider with which people sign in, an issuer whose assertions are taken. What it does is
//!   what *Sign out everywhere* does.
//! * As sender, each place that the tenant names is told of each person who was signed out everywhere, suspended or deleted,
//!   whoever did that. What is to be told lies in the database, and is told again, later each time, until the place answers or
//!   it is too late to matter.
//!
//! A place may be told by shared signals in place of that (OpenID SSF, CAEP): a stream that is pushed.
//!
//! What is told goes from system to system with the name of its cause, so that none acts on it twice: those that tell each
//! other in a circle do not go round.

mod asker;
pub mod http;
mod places;
mod receive;
mod records;
mod signals;
mod subject;
mod tell;

pub use asker::{Issuers, Keys, LIFE_MAX_S, Naming, REVOCATION_TYP, Trusted};
pub use http::{PATH, Setup, describe, routes};
pub use places::{places, put_place, remove_place};
pub use records::{PLACES_MAX, Place, REVOCATION, Signals, SubjectFormat};
pub use signals::{AUTHORIZATION_BYTES_MAX, SECURITY_EVENT_TYP, reseal_streams, verify_stream};
pub use subject::{SUBJECT_BODY_BYTES_MAX, SubjectId};
pub use tell::{Message, Posted, Posts, TRIES_MAX, tell};

#[cfg(test)]
mod tests;
