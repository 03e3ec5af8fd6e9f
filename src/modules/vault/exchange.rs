//! Exchange mode: the access token itself, for SDKs that call the API on their own (the dialect of Auth0's Token Vault).
//!
//! Only where a connection allows it, which none does by itself: then neither the proxy's rules nor its filter bind the
//! agent. So it takes all that the rules would ask for at one time or another: what is shown is for the proxy, and has every
//! scope of a rule, each given without an approval, and of a person who was authenticated as every rule asks. Each exchange is an event of its own.

use super::lease::{self, Looked, Whose};
use super::records::Holder;
use super::{Caller, Connection, Vault, connection_scope, proxy};
use crate::engine::{Decision, View};
use crate::identity::{
    Answer, Caller as ClientCaller, Env, ErrorCode, EventKind, Examined, Form, GrantType, Outcome, Refusal, Seconds,
    Tenant, TokenAnswer, TokenKind, check,
};
use serde_json::Map;

/// The grant type.
pub const FEDERATED_GRANT: &str = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token";
/// The type of what is asked for.
const FEDERATED_TOKEN: &str = "http://auth0.com/oauth/token-type/federated-connection-access-token";

/// The grant type of exchange mode.
pub struct FederatedConnection(Vault);

impl FederatedConnection {
    /// The grant type over a vault.
    #[must_use]
    pub fn new(vault: Vault) -> FederatedConnection {
        FederatedConnection(vault)
    }

    fn take(&self, tenant: &Tenant, caller: &ClientCaller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        caller.must_be_confidential()?;
        let (examined, id) = subject(tenant, caller, form, env)?;
        let acting = Caller::of(&examined);
        let view = tenant.view()?;
        let connection = proxy::usable(tenant, &view, &acting, &id)?;
        if !connection.spec.exchange {
            let text = "this connection hands out no tokens; call its API through the proxy";
            return Err(Refusal::new(ErrorCode::AccessDenied, "exchange.mode", text));
        }
        let audiences = proxy::audiences(tenant, &id);
        if !examined.resources.iter().any(|resource| audiences.contains(resource)) {
            let text =
                format!("the subject token is not for the proxy; ask for one with the `resource` `{}`", audiences[0]);
            return Err(Refusal::new(ErrorCode::InvalidGrant, "exchange.audience", text));
        }
        every_rule(&view, &connection, &acting, env.seconds())?;
        let Whose::Kept(holder) = lease::whose(&connection, &acting)? else {
            return Err(Refusal::failed("exchange.holder", "a connection that hands out tokens keeps none"));
        };
        let lease = self.leased(tenant, &id, &connection, &holder, env)?;
        let held = lease.kept()?;
        none_withheld(&view, &connection, &acting, &held.scopes)?;
        let token =
            lease.secret.access_token().ok_or_else(|| Refusal::failed("lease.token", "a credential has no token"))?;
        let event = acting.tell(tenant.event(EventKind::VaultLeased, Outcome::Allowed, env)).revision(view.revision());
        let event = event.resource(connection.object()).action("exchange").detail("mode", "exchange");
        let event = event.detail("holder", holder.subject()).detail("generation", held.generation.to_string());
        let mut change = tenant.change(env);
        change.event(&event.detail("scope", held.scopes.join(" ")));
        change.commit()?;
        Ok(TokenAnswer {
            access_token: token.to_owned(),
            issued_token_type: Some(FEDERATED_TOKEN.to_owned()),
            token_type: "Bearer",
            expires_in: held.expires_at.map_or(0, |end| end.saturating_sub(env.seconds())),
            scope: Some(held.scopes.join(" ")).filter(|scope| !scope.is_empty()),
            refresh_token: None,
            id_token: None,
            authorization_details: Vec::new(),
            more: Map::new(),
        })
    }

    /// A lease, refreshed when it has to be. This runs on a thread that may wait.
    fn leased(
        &self,
        tenant: &Tenant,
        id: &str,
        connection: &Connection,
        holder: &Holder,
        env: &Env<'_>,
    ) -> Answer<lease::Lease> {
        let fallback = match self.0.look_at(tenant, connection, holder, env)? {
            Looked::Ready(lease) => return Ok(*lease),
            Looked::Refresh(fallback) => fallback,
            Looked::Broken(_) => None,
        };
        let outgoing = &self.0.inner.outgoing;
        let waited = outgoing.wait(self.0.refresh(tenant, id, holder));
        let refreshed =
            waited.unwrap_or_else(|| Err(Refusal::failed("lease.runtime", "there is nobody to ask others")));
        match (refreshed, fallback) {
            (Err(refusal), Some(lease)) if refusal.error == ErrorCode::TemporarilyUnavailable => Ok(*lease),
            (Err(refusal), _) => Err(refusal),
            (Ok(()), _) => match self.0.look_at(tenant, connection, holder, env)? {
                Looked::Ready(lease) | Looked::Refresh(Some(lease)) => Ok(*lease),
                Looked::Refresh(None) | Looked::Broken(_) => {
                    Err(Refusal::failed("lease.stale", "a token that was just made is over"))
                }
            },
        }
    }
}

fn takes_approval(scope: &str) -> Refusal {
    let text = format!("the scope `{scope}` takes an approval of each call; call the API through the proxy");
    Refusal::new(ErrorCode::AccessDenied, "exchange.approval", text)
}

/// Sees that every rule of the connection would let calls of the caller through, without an approval: no rule binds what is
/// handed out.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named stays as it is")]
fn every_rule(view: &View, connection: &Connection, acting: &Caller, now: Seconds) -> Answer<()> {
    if connection.spec.rules.is_empty() {
        let text = "no rule of this connection lets anything through, so that it hands out nothing";
        return Err(Refusal::new(ErrorCode::AccessDenied, "exchange.rules", text));
    }
    for rule in &connection.spec.rules {
        let asks = proxy::scoped(view, connection, acting, rule, now).map_err(|refusal| match refusal.error {
            ErrorCode::InsufficientScope => Refusal { error: ErrorCode::InvalidScope, ..refusal },
            _ => refusal,
        })?;
        if asks {
            return Err(takes_approval(rule.scope.as_deref().unwrap_or_default()));
        }
    }
    Ok(())
}

/// Sees that the caller is denied no scope that the provider gave, and that none takes an approval: a scope may be classified
/// though no rule names it.
fn none_withheld(view: &View, connection: &Connection, acting: &Caller, scopes: &[String]) -> Answer<()> {
    for scope in scopes {
        let object = connection_scope(&connection.spec.id, scope);
        if check(view, &acting.agent, "never", &object)? == Decision::Allow {
            let text = format!("`{}` is denied the scope `{scope}` of this connection", acting.agent);
            return Err(Refusal::new(ErrorCode::AccessDenied, "exchange.scope.denied", text));
        }
        if check(view, &acting.agent, "needs_approval", &object)? == Decision::Allow {
            return Err(takes_approval(scope));
        }
    }
    Ok(())
}

/// What is shown, and the connection that is meant: it must be a token of ours, given to the client that shows it.
fn subject(tenant: &Tenant, caller: &ClientCaller, form: &Form, env: &Env<'_>) -> Answer<(Examined, String)> {
    let invalid = |rule, text: &str| Refusal::new(ErrorCode::InvalidRequest, rule, text);
    if form.get("requested_token_type").is_some_and(|kind| kind != FEDERATED_TOKEN) {
        return Err(invalid("exchange.type", "`requested_token_type` is not that of an access token of a connection"));
    }
    let kind = match form.need("subject_token_type")? {
        "urn:ietf:params:oauth:token-type:access_token" => TokenKind::Access,
        "urn:ietf:params:oauth:token-type:refresh_token" => TokenKind::Refresh,
        _ => return Err(invalid("exchange.subject_type", "`subject_token_type` is neither access nor refresh token")),
    };
    let examined = tenant.examine_shown(caller, form.need("subject_token")?, kind, env).map_err(|refusal| {
        let error = if refusal.error == ErrorCode::InvalidToken { ErrorCode::InvalidGrant } else { refusal.error };
        Refusal { error, ..refusal }
    })?;
    if examined.grant.client != caller.client.id {
        let text = "the subject token was given to another client";
        return Err(Refusal::new(ErrorCode::InvalidGrant, "exchange.client", text));
    }
    examined.must_be_held(env).map_err(|refusal| Refusal { error: ErrorCode::InvalidGrant, ..refusal })?;
    if examined.jkt.is_some() && examined.jkt != caller.jkt {
        let text = "the subject token is bound to a key that this request does not prove (RFC 9449)";
        return Err(Refusal::new(ErrorCode::InvalidDpopProof, "exchange.dpop", text));
    }
    let examined = match kind {
        TokenKind::Refresh => tenant.as_if_refreshed(caller, examined, env)?,
        TokenKind::Access | TokenKind::Id => examined,
    };
    Ok((examined, form.need("connection")?.to_owned()))
}

impl GrantType for FederatedConnection {
    fn name(&self) -> &'static str {
        FEDERATED_GRANT
    }

    fn redeem(&self, tenant: &Tenant, caller: &ClientCaller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let taken = self.take(tenant, caller, form, env);
        if let Err(refusal) = &taken
            && refusal.error != ErrorCode::ServerError
        {
            let event = tenant.event(EventKind::VaultRefused, Outcome::Refused, env);
            // For whom it asks is known when what it shows is good.
            let event = match subject(tenant, caller, form, env) {
                Ok((examined, _)) => Caller::of(&examined).tell(event),
                Err(_) => event.client(caller.client.subject()),
            };
            let event = event.resource(format!("connection:{}", form.get("connection").unwrap_or_default()));
            let mut change = tenant.change(env);
            change.event(&event.action("exchange").reason(refusal.rule));
            change.commit()?;
        }
        taken
    }
}
