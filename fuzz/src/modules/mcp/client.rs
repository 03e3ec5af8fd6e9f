//! The client of MCP servers: what servers and authorization servers say, without the requests.

#[path = "../../../../src/modules/mcp/client/answer.rs"]
mod answer;
#[path = "../../../../src/modules/mcp/client/challenge.rs"]
mod challenge;
#[path = "../../../../src/modules/mcp/client/fault.rs"]
mod fault;
#[path = "../../../../src/modules/mcp/client/metadata.rs"]
mod metadata;
#[path = "../../../../src/modules/mcp/client/mirror.rs"]
mod mirror;

pub use answer::{code_of, error_of, token_of};
pub use challenge::{CHALLENGES_MAX, PARAMETERS_MAX, challenges, parse, written};
pub use fault::{ClientError, shown};
pub use metadata::{resource_metadata, resource_places, server_metadata, server_places};
pub use mirror::{encoded, marks, mirrored};
