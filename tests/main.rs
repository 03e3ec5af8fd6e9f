//! The one integration binary, so that RocksDB is linked once. Each module says what it proves.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails loudly and says what it skips"
)]

mod admin_served;
mod admin_trust_served;
mod agents;
mod agree;
mod approvals_served;
mod audit;
mod audit_care;
mod audit_cli;
mod audit_crash;
mod audit_export;
mod audit_http;
mod authzen;
mod authzen_worlds;
mod bulk;
mod bulk_cli;
mod bulk_wire;
mod cases;
mod chain_served;
mod chunk_cli;
mod cli;
mod collections_wire;
mod concurrency;
mod conditions;
mod conformance;
mod crash;
mod cves;
mod data;
mod demo_agents;
mod elsewhere;
mod embedding_wire;
mod exchange_served;
mod explain_served;
mod fuzz;
mod identity;
mod identity_cli;
mod language;
mod login;
mod login_browser;
mod login_consent;
mod login_passkeys;
mod login_upstream;
mod login_upstream_served;
mod mcp_asserted;
mod mcp_elsewhere;
mod mcp_served;
mod mcp_tenant;
mod never_wider;
mod oauth_served;
mod openid_ciba;
mod openid_conformance;
mod openid_fapi2;
mod oracle;
mod outgoing_served;
mod people_served;
mod push_served;
mod revocation_served;
mod roles_served;
mod scim;
mod search;
mod search_crash;
mod search_worlds;
mod semantics;
mod served;
mod storage;
mod stored;
mod story;
mod surface;
mod tidy;
mod tls;
mod token_crash;
mod vault_crash;
mod vault_served;
mod wire;
mod wire_client;
mod wire_http;
mod wire_rows;
mod wire_rows_of_tuples;
mod world;
