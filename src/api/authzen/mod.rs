//! OpenID AuthZEN's Authorization API 1.0: the engine's questions in the words of policy enforcement and decision points
//! (`docs/authzen.md`). Subject, action and resource are user, relation and object; nothing is decided here.

mod entity;
mod evaluate;
mod http;
mod metadata;
mod page;
mod search;

pub(super) use http::{echo, is_discovery, routes};
pub use metadata::{PolicyDecisionPoint, PolicyDecisionPointError};

use super::rules::{self, Checked};
use super::validate::Wire;
use crate::wire::Problem;
use serde::de::DeserializeOwned;

/// The body of a request.
trait Asks: DeserializeOwned + Send + 'static {
    /// Its name in the log.
    const NAME: &'static str;
}

/// A request as it came.
struct Sent<B> {
    /// The store, from the path.
    store: String,
    /// The model, from the header; empty means the latest.
    model: String,
    body: B,
}

impl<B: Asks> Wire for Sent<B> {
    const NAME: &'static str = B::NAME;
    const NAMED_BY_CALLER: bool = true;

    fn validate(&self) -> Checked {
        rules::ulid((Self::NAME, "StoreId"), &self.store)?;
        rules::ulid_or_empty((Self::NAME, "AuthorizationModelId"), &self.model)
    }

    fn store(&self) -> &str {
        &self.store
    }

    fn set_store(&mut self, store: String) {
        self.store = store;
    }
}

/// An answer as JSON.
fn printed(answer: &impl serde::Serialize) -> Result<Vec<u8>, Problem> {
    use crate::wire::Code;
    serde_json::to_vec(answer).map_err(|_| Problem::new(Code::Internal, "Internal Server Error"))
}
