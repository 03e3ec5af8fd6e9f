//! Administration of what tokens say and how many there are, and of who asks for them: claims of a tenant's own, limits of
//! resources, clients, keys and settings, people, roles, and whose word about workloads is taken.

pub mod changes;
pub mod clients;
pub mod http;
pub mod people;
pub mod roles;
pub mod tenant;

/// The scope that reads claims, and the one that changes them.
pub const CLAIMS_READ: &str = "claims:read";
/// See [`CLAIMS_READ`].
pub const CLAIMS_WRITE: &str = "claims:write";
/// The scope that reads resources and their limits, and the one that changes them.
pub const RESOURCES_READ: &str = "resources:read";
/// See [`RESOURCES_READ`].
pub const RESOURCES_WRITE: &str = "resources:write";
/// The scope that reads trusted issuers of workloads, and the one that changes them.
pub const WORKLOADS_READ: &str = "workloads:read";
/// See [`WORKLOADS_READ`].
pub const WORKLOADS_WRITE: &str = "workloads:write";
