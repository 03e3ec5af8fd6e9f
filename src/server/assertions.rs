//! What is asserted for calls that go on through the vault to a resource of another domain: the exchange judges and makes it, by
//! the rules of the token endpoint.

use super::approvals::Spent;
use crate::identity::{Answer, Env, Tenant};
use crate::modules::exchange::{self, Onward};
use crate::modules::vault::{self, Assertion, Hidden, WantedAssertion};

/// See the file's head.
pub(super) struct Asserting(pub(super) Spent);

/// A call in the words of the exchange.
fn onward<'a>(wanted: &WantedAssertion<'a>) -> Onward<'a> {
    Onward {
        grant: &wanted.caller.grant,
        agent: &wanted.caller.agent,
        audience: wanted.issuer,
        client_there: wanted.client_id,
        resource: wanted.resource,
        scopes: wanted.scopes,
        through: wanted.connection,
    }
}

impl vault::Assertions for Asserting {
    fn judge(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<String> {
        onward(wanted).judge(tenant, env)
    }

    fn make(&self, tenant: &Tenant, wanted: &WantedAssertion<'_>, env: &Env<'_>) -> Answer<Assertion> {
        let made = onward(wanted).assert(tenant, &self.0, env)?;
        let exchange::OnwardAssertion { assertion, jti: id, says, scopes, approved_until } = made;
        Ok(Assertion { text: Hidden::new(assertion), id, says, scopes, approved_until })
    }
}
