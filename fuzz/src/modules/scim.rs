//! SCIM: bodies, filters, paths and operations, without the people whom they are about.

#[path = "../../../src/modules/scim/fault.rs"]
mod fault;
#[path = "../../../src/modules/scim/filter.rs"]
mod filter;
#[path = "../../../src/modules/scim/patch.rs"]
mod patch;
#[path = "../../../src/modules/scim/path.rs"]
mod path;
#[path = "../../../src/modules/scim/schema.rs"]
mod schema;
#[path = "../../../src/modules/scim/shape.rs"]
mod shape;

pub use fault::{Answer, Fault};
pub use filter::{FILTER_BYTES_MAX, Filter};
pub use patch::OPERATIONS_MAX;
pub use schema::Kind;
pub use shape::VALUES_MAX;

use serde_json::{Map, Value};

/// As `list.rs` has it.
const PAGE_MAX: usize = 200;

/// Reads the body of a POST or a PUT.
///
/// # Errors
/// It is no such resource.
pub fn read(kind: Kind, body: &Value) -> Answer<Map<String, Value>> {
    shape::read(kind, body)
}

/// Does the operations of a PATCH.
///
/// # Errors
/// One cannot be done.
pub fn apply(kind: Kind, body: &Value, wanted: &mut Map<String, Value>) -> Answer<()> {
    patch::apply(kind, body, wanted)
}

/// Whether a text is a path of PATCH, or which keyword its fault has.
///
/// # Errors
/// It is none.
pub fn is_target(kind: Kind, text: &str) -> Answer<()> {
    filter::Target::parse(kind, text).map(drop)
}

/// The part of a resource that is answered.
///
/// # Errors
/// A name is none.
pub fn selected(kind: Kind, only: Option<&str>, without: Option<&str>, resource: &Value) -> Answer<Value> {
    Ok(shape::Selection::read(kind, &[], only, without)?.of(kind, resource))
}
