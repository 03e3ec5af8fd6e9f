//! OpenFGA's surface: one set of calls on wire messages, served over gRPC and over HTTP/JSON; and AuthZEN's beside it.

mod authn;
mod authzen;
mod bulk;
mod bulk_grpc;
mod bulk_http;
mod calls;
mod collections;
mod convert;
mod cors;
mod fast;
mod form;
mod grpc;
mod http;
mod json;
mod rules;
mod run;
mod stores;
mod tuples;
mod validate;

pub use authn::{PRESHARED_KEY_BYTES_MIN, PRESHARED_KEYS_MAX, PresharedKeys, PresharedKeysError};
pub use authzen::{PolicyDecisionPoint, PolicyDecisionPointError};
pub use cors::Cors;
pub use form::{model_of, model_request};
pub use grpc::{Grpc, Health, service as grpc_service};
pub use http::routes as http_routes;
pub use run::{Api, StartError};

/// The messages, the service and its client of `openfga.v1`, generated from `schema/openfga.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod proto {
    tonic::include_proto!("openfga.v1");
}

/// The messages, the service and its client of `bailiwick.v1`, generated from `schema/bailiwick.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod own_proto {
    tonic::include_proto!("bailiwick.v1");
}

/// The compiled descriptors of `schema/`, for reflection and for the JSON mapping.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
