//! What the module keeps: what a directory says of people and teams that decides nothing.

use crate::engine::Module;
use crate::identity::{Seconds, Stored, hash_of};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The module whose records these are.
pub const SCIM: Module = Module::new("scim");
/// Largest part of a person that is kept here, as JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;
/// The index of ids at clients: of people, and of teams.
pub(super) const PERSON_BY_EXTERNAL: u8 = b'p';
pub(super) const TEAM_BY_EXTERNAL: u8 = b'g';

/// What a directory says of a person, by the user's id. Login names, whether they are active, and managers are elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// Rises with each change, so that no two writers take the same for a start.
    pub(super) version: u32,
    /// When SCIM last changed the person.
    pub(super) changed_at: Seconds,
    /// Their id at the client.
    pub(super) external_id: Option<String>,
    /// The attributes as they were said, by the names of the schemas; those of an extension below its URN.
    pub(super) attributes: Map<String, Value>,
}

impl Stored for Person {
    const MODULE: Module = SCIM;
    const SORT: u8 = b'u';
    const WHAT: &'static str = "provisioned user";
}

/// A team, by its id. Who is in it is tuples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Team {
    /// As of a person.
    pub(super) version: u32,
    /// What it is called.
    pub(super) display_name: String,
    /// Its id at the client.
    pub(super) external_id: Option<String>,
    /// When it was made.
    pub(super) created_at: Seconds,
    /// When it was last changed.
    pub(super) changed_at: Seconds,
}

impl Stored for Team {
    const MODULE: Module = SCIM;
    const SORT: u8 = b't';
    const WHAT: &'static str = "team";
}

/// An id at a client, in a key.
pub(super) fn external_part(id: &str) -> String {
    hash_of(id)
}
