//! What the modules that ask other people's servers want of the rest of the house.

use super::plugs::Administration;
use crate::identity::{Answer, Env, Examined, Tenant};
use crate::modules::{agent, vault};
use axum::http::request::Parts;

impl vault::admin::http::Tokens for Administration {
    fn judge(&self, tenant: &Tenant, head: &Parts, env: &Env<'_>) -> Answer<Examined> {
        agent::http::Tokens::judge(self, tenant, head, env)
    }
}
