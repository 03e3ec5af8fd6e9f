//! What of the vault's records is no record.

#[path = "../../../../src/modules/vault/records/connection.rs"]
mod connection;
#[path = "../../../../src/modules/vault/records/secret.rs"]
mod secret;

pub use connection::{ClientAuth, ConnectionSpec, Provider};
pub(super) use secret::NewCredential;
pub use secret::{Hidden, Secret};

/// As `records.rs` has it.
const VAULT: crate::engine::Module = crate::engine::Module::new("vault");
