//! Assertions that do not leave this server: for a call of a client that goes on through it to a resource of another domain,
//! where this server redeems them itself, as the client that the managed connection names there.
//!
//! They are made by the rules of `idjag.rs` and no others. Nothing is had this way that the client could not have at the token
//! endpoint with the ID token or the refresh token of the same grant: where it has neither, or may not exchange, or could not
//! show who it is, there is none. What is asked here again and again, before each call, is whether there would be one now.

use super::class::Approvals;
use super::exchange::TOKEN_EXCHANGE;
use super::idjag::{self, Asked, Basis};
use super::subject::{Seen, noted};
use crate::identity::{Answer, Chain, Env, ErrorCode, Grant, Held, Refusal, Seconds, Tenant, TokenKind, again};

/// What a call that goes on needs to be asserted, and by what token it came.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The grant of the token with which it came, which was judged just now.
    pub grant: &'a str,
    /// Who acts by that token, as a subject.
    pub agent: &'a str,
    /// The issuer of the other authorization server.
    pub audience: &'a str,
    /// As which client this server shows itself there: the one that the managed connection names for the agent.
    pub client_there: &'a str,
    /// The resource there.
    pub resource: &'a str,
    /// Scopes of the managed connection by name; none for all that need nobody.
    pub scopes: &'a [String],
    /// Through what it goes on, for the log.
    pub through: &'a str,
}

/// An assertion for this server alone, which has no `Debug`.
pub struct OnwardAssertion {
    /// The assertion.
    pub assertion: String,
    /// Its id.
    pub jti: String,
    /// What it says, as [`Onward::judge`] says it.
    pub says: String,
    /// The scopes that it asserts, as they are called there.
    pub scopes: Vec<String>,
    /// Until when the approvals that it rests on are good, when it rests on any.
    pub approved_until: Option<Seconds>,
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::AccessDenied, rule, text)
}

impl Onward<'_> {
    /// Judges whether there would be an assertion now. Answers what it would say, in a text that is another whenever that is.
    /// Nothing is made and nothing used up: of a scope that needs an approval is said that it needs one.
    ///
    /// # Errors
    /// There would be none; the rule says why.
    pub fn judge(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<String> {
        let chain = tenant.living(self.grant, env)?;
        let (grant, until) = self.exchangeable(tenant, &chain, env)?;
        let resources = [self.resource.to_owned()];
        let judged = idjag::judge(&basis(tenant, &chain, grant, until, env), &self.asked(&resources))?;
        self.must_be_named(judged.client_there())?;
        judged.outlook(!self.scopes.is_empty())
    }

    /// Makes an assertion, and writes it down, by the same rules. What needs an approval uses it up, or is refused.
    ///
    /// # Errors
    /// There is none, which is written down too; the rule says why.
    pub fn assert(&self, tenant: &Tenant, approvals: &dyn Approvals, env: &Env<'_>) -> Answer<OnwardAssertion> {
        let client = tenant.living(self.grant, env)?.client().clone();
        noted(tenant, &client, env, |seen| again(|| self.asserted(tenant, approvals, seen, env)))
    }

    fn asserted(
        &self,
        tenant: &Tenant,
        approvals: &dyn Approvals,
        seen: &mut Seen,
        env: &Env<'_>,
    ) -> Answer<OnwardAssertion> {
        seen.asked(Some(&self.audience.to_owned()), Some(&self.scopes.to_vec()));
        let chain = tenant.living(self.grant, env)?;
        let (grant, until) = self.exchangeable(tenant, &chain, env)?;
        seen.subject(grant);
        let resources = [self.resource.to_owned()];
        let (basis, asked) = (basis(tenant, &chain, grant, until, env), self.asked(&resources));
        let judged = idjag::judge(&basis, &asked)?;
        self.must_be_named(judged.client_there())?;
        let says = judged.outlook(asked.scopes.is_some())?;
        let made = idjag::make((&basis, &asked), judged, approvals, |event| event.detail("through", self.through))?;
        let idjag::Made { assertion, jti, scopes, approved_until, .. } = made;
        Ok(OnwardAssertion { assertion, jti, says, scopes, approved_until })
    }

    fn asked<'a>(&'a self, resources: &'a [String]) -> Asked<'a> {
        let scopes = Some(self.scopes).filter(|scopes| !scopes.is_empty());
        Asked { audience: self.audience, resources, scopes, approval: None, whole: scopes.is_some() }
    }

    /// The grant, and until when its client has something with which to ask at the token endpoint.
    fn exchangeable<'a>(&self, tenant: &Tenant, chain: &'a Chain, env: &Env<'_>) -> Answer<(&'a Held<Grant>, Seconds)> {
        let client = chain.client();
        let grant = chain.grants().first().ok_or_else(|| refuse("onward.grant", "what this hangs on is gone"))?;
        if client.is_public() {
            let text = "a client that cannot show who it is gets no assertion; register a key or a secret";
            return Err(refuse("exchange.public", text));
        }
        if !client.may_use(TOKEN_EXCHANGE) {
            let text = "this client may not exchange tokens, so that nothing is asserted for it in other domains";
            return Err(refuse("grant_type.client", text));
        }
        if client.subject() != self.agent {
            let text = "who acts is not the client of the token; nothing is asserted for another";
            return Err(refuse("onward.agent", text));
        }
        // Where there is no refresh token, the ID token is the one that came with the code.
        let until = match grant.refresh {
            Some(_) => chain.ends(),
            None if grant.parent.is_none() && grant.has_scope("openid") => {
                chain.ends().min(grant.created_at.saturating_add(tenant.settings().id_token_s))
            }
            None => {
                let text = "the agent has neither an ID token nor a refresh token of the person, and an assertion says who \
                            signed in; sign the person in with the scope `openid`, at this agent itself";
                return Err(refuse("onward.signed_in", text));
            }
        };
        if env.seconds() >= until {
            let text = "the agent's ID token of the person is over; sign the person in again";
            return Err(refuse("onward.over", text));
        }
        Ok((grant, until))
    }

    fn must_be_named(&self, client_there: &str) -> Answer<()> {
        if client_there == self.client_there {
            return Ok(());
        }
        let text = "this server shows itself there as another client than the managed connection names for this agent";
        Err(refuse("onward.client", text))
    }
}

fn basis<'a>(tenant: &'a Tenant, chain: &'a Chain, grant: &'a Grant, until: Seconds, env: &'a Env<'a>) -> Basis<'a> {
    let shown = if grant.refresh.is_some() { TokenKind::Refresh } else { TokenKind::Id };
    Basis { tenant, client: chain.client(), holder: None, chain, grant, shown: shown.urn(), until, env }
}
