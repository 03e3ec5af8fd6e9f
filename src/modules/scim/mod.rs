//! Provisioning by SCIM 2.0 (RFC 7642 to 7644): the directory of a company pushes its people, their managers and its groups.
//!
//! There is no second truth. A person is a [`User`](crate::identity::User) of the tenant, `active` is what suspension is, a
//! manager is `user:ID#manager`, a group is a team, and a member of it is `team:ID#member`: the tuples that decide. What a
//! directory says besides, which decides nothing, is kept as it was said.
//!
//! Who may is an administrator of the tenant by Check, with a token that has the scope `scim:read` or `scim:write`.

mod fault;
mod filter;
mod groups;
pub mod http;
mod list;
mod patch;
mod path;
mod records;
mod schema;
mod shape;
pub mod teams;
#[cfg(test)]
mod tests;
mod users;

pub use fault::{Answer, Fault};
pub use filter::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, Filter};
pub use groups::{MEMBER_CHANGES_MAX, MEMBERS_MAX, note_team};
pub use list::{LOOKED_AT_MAX, PAGE_MAX};
pub use patch::OPERATIONS_MAX;
pub use records::{ATTRIBUTES_BYTES_MAX, SCIM};
pub use schema::Kind;
pub use shape::VALUES_MAX;
pub use users::forget_user;

/// The scope that reads.
pub const READ: &str = "scim:read";
/// The scope that changes, and reads.
pub const WRITE: &str = "scim:write";
