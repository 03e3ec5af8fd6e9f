//! Who asks, for whom, with what, and what is recorded of it.

mod event;

pub use event::{
    ACTORS_MAX, AUDIT, DETAILS_MAX, EVENT_BYTES_MAX, EVENT_TEXT_BYTES_MAX, Event, EventError, EventKind, Outcome,
    audit_key,
};
