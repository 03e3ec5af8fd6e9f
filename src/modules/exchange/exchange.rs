//! Token exchange within a tenant (RFC 8693): an access token that is a part of the one that was shown.

use super::admin::connection_to;
use super::class::{Approvals, Had, NeedsApproval, Sorted, check_usable, not_connected};
use super::idjag::{Asked, Basis};
use super::records::Connection;
use super::request::{Request, Wants};
use super::subject::{Seen, actor, noted, part_of, subject};
use super::{act, idjag, metadata};
use crate::engine::View;
use crate::identity::{
    Answer, Caller, Change, Env, ErrorCode, EventKind, Examined, Form, Grant, GrantType, Held, Narrowed, Outcome,
    Refusal, Resource, Seconds, Tenant, TokenAnswer, TokenKind, Wanted, again,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The grant type (RFC 8693 2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// See the file's head, and `idjag.rs` for assertions across domains.
pub struct TokenExchange {
    approvals: Arc<dyn Approvals>,
}

impl TokenExchange {
    /// The grant type, with who knows what was approved.
    #[must_use]
    pub fn new(approvals: Arc<dyn Approvals>) -> TokenExchange {
        TokenExchange { approvals }
    }
}

impl GrantType for TokenExchange {
    fn name(&self) -> &'static str {
        TOKEN_EXCHANGE
    }

    fn describe(&self, _: &Tenant, metadata: &mut Map<String, Value>) {
        metadata.insert(metadata::REQUESTED.to_owned(), json!([idjag::ID_JAG]));
    }

    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer> {
        let attempt = Attempt { tenant, caller, approvals: &*self.approvals, env };
        noted(tenant, &caller.client, env, |seen| again(|| attempt.run(form, seen)))
    }
}

/// One request.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    tenant: &'a Tenant,
    caller: &'a Caller,
    approvals: &'a dyn Approvals,
    env: &'a Env<'a>,
}

/// A resource that is asked for, and the connection that leads to it.
struct Way {
    connection: Held<Connection>,
    resource: Resource,
}

impl Attempt<'_> {
    fn run(&self, form: &Form, seen: &mut Seen) -> Answer<TokenAnswer> {
        self.caller.must_be_confidential()?;
        let request = Request::read(form)?;
        seen.asked(request.audiences.first().or(request.resources.first()), request.scopes.as_ref());
        if request.wants == Wants::IdJag {
            idjag::check(self.tenant, &request)?;
        }
        let examined = subject(self.tenant, self.caller, request.subject, seen, self.env)?;
        let actor_ends = request.actor.map(|token| actor(self.tenant, self.caller, token, self.env)).transpose()?;
        let until = examined.ends().min(actor_ends.unwrap_or(Seconds::MAX));
        match request.wants {
            Wants::Access => self.access(&request, &examined, until),
            Wants::IdJag => self.assertion(&request, &examined, until),
        }
    }

    fn assertion(&self, request: &Request<'_>, examined: &Examined, until: Seconds) -> Answer<TokenAnswer> {
        let basis = Basis {
            tenant: self.tenant,
            client: &self.caller.client,
            holder: Some(self.caller),
            chain: examined.chain(),
            grant: &examined.grant,
            shown: examined.kind.urn(),
            until,
            env: self.env,
        };
        let asked = Asked {
            audience: request.audiences.first().map(String::as_str).unwrap_or_default(),
            resources: &request.resources,
            scopes: request.scopes.as_deref(),
            approval: request.approval,
            whole: false,
        };
        let judged = idjag::judge(&basis, &asked)?;
        let made = idjag::make((&basis, &asked), judged, self.approvals, |event| event)?;
        Ok(TokenAnswer {
            access_token: made.assertion,
            issued_token_type: Some(idjag::ID_JAG.to_owned()),
            token_type: "N_A",
            expires_in: made.until.saturating_sub(self.env.seconds()),
            scope: Some(made.scopes.join(" ")).filter(|scope| !scope.is_empty()),
            refresh_token: None,
            id_token: None,
            authorization_details: Vec::new(),
            more: made.told,
        })
    }

    /// What the client gets of what it asks for.
    fn had(&self, change: &mut Change<'_>, sorted: Sorted, request: &Request<'_>, examined: &Examined) -> Answer<Had> {
        let needs = NeedsApproval {
            tenant: self.tenant,
            client: &self.caller.client,
            user: examined.grant.user(),
            connection: "",
            audience: "",
            scopes: &[],
            details: request.details.as_deref().unwrap_or_default(),
            approval: request.approval,
        };
        sorted.decide(self.approvals, change, &needs, request.scopes.is_some(), self.env)
    }

    fn access(&self, request: &Request<'_>, examined: &Examined, until: Seconds) -> Answer<TokenAnswer> {
        let view = self.tenant.view()?;
        // `audience` is a name of a service; here services have no names besides the identifiers of their resources.
        let mut targets = request.resources.clone();
        targets.extend(request.audiences.iter().filter(|a| !request.resources.contains(a)).cloned());
        let wanted = Wanted {
            scopes: request.scopes.clone(),
            resources: (!targets.is_empty()).then_some(targets),
            details: request.details.clone(),
            until: Some(until),
        };
        let part = part_of(examined, &wanted)?;
        let ways = self.ways(&view, &part.resources)?;
        let sorted = self.sort(&view, &part.scopes, &ways)?;
        let mut change = self.tenant.change(self.env);
        let mut had = self.had(&mut change, sorted, request, examined)?;
        // It hangs on each way by which it is good somewhere, also where it has no scope.
        ways.iter().for_each(|way| had.goes_through(&way.connection.id));
        let grant = self.grant(request, examined, part, &had)?;
        examined.chain().expect(&mut change);
        ways.iter().for_each(|way| change.expect(&way.connection));
        self.tenant.add_grant(&mut change, &grant, self.env)?;
        let answer = self.tenant.issue(&mut change, self.caller, &grant, &Wanted::default(), self.env)?;
        let mut event = self.tenant.event_of(&grant, EventKind::ExchangeAllowed, Outcome::Allowed, self.env);
        event = event.revision(view.revision()).action(answer.scope.as_deref().unwrap_or_default());
        event = event.detail("subject_token", &examined.jti).detail("subject_type", examined.kind.urn());
        let through: Vec<&str> = ways.iter().map(|way| way.connection.id.as_str()).collect();
        event = event.detail("connection", through.join(" "));
        change.event(&had.noted(event));
        change.commit()?;
        let issued_token_type = Some(TokenKind::Access.urn().to_owned());
        Ok(TokenAnswer { issued_token_type, more: had.told(), ..answer })
    }

    /// The connections to all that is asked for. Each must be this client's.
    fn ways(&self, view: &View, resources: &[String]) -> Answer<Vec<Way>> {
        if resources.is_empty() {
            let text = "this token is for no resource, so that nothing can be made of it; name one that it is for";
            return Err(Refusal::new(ErrorCode::InvalidTarget, "exchange.target", text));
        }
        let mut ways = Vec::with_capacity(resources.len());
        for identifier in resources {
            let connection = connection_to(self.tenant, identifier)?;
            let connection = connection.ok_or_else(|| not_connected("connection.unknown").because(identifier))?;
            check_usable(view, &self.caller.client, &connection.id)?;
            let resource = self.tenant.resource(identifier)?.ok_or_else(|| not_connected("connection.resource"))?;
            ways.push(Way { connection, resource: resource.value });
        }
        Ok(ways)
    }

    /// Scopes by what the client may have of them where they are asked for. A scope that no resource has, such as one of
    /// OpenID Connect, is not for others to pass on.
    fn sort(&self, view: &View, scopes: &[String], ways: &[Way]) -> Answer<Sorted> {
        let mut sorted = Sorted::default();
        for scope in scopes {
            let having = ways.iter().filter(|way| way.resource.scope(scope).is_some());
            let having: Vec<(String, String)> =
                having.map(|way| (way.connection.id.clone(), way.resource.identifier.clone())).collect();
            sorted.add(view, &self.caller.client, scope, &having)?;
        }
        Ok(sorted)
    }

    /// The new grant: a part of the subject token, which it hangs on.
    fn grant(&self, request: &Request<'_>, examined: &Examined, part: Narrowed, had: &Had) -> Answer<Grant> {
        let client = &self.caller.client;
        // Nobody acts for themselves.
        let actors = match examined.grant.user() {
            Some(_) => act::taken_on(client, &examined.grant.actors)?,
            None => Vec::new(),
        };
        let mut details = part.details;
        if request.details.is_some() {
            self.tenant.allowed_details(client, &details)?;
        } else {
            let may = |detail: &Value| self.tenant.allowed_details(client, std::slice::from_ref(detail)).is_ok();
            details.retain(may);
        }
        let life = self.env.seconds().saturating_add(self.tenant.settings().access_token_s);
        let part = Narrowed {
            scopes: had.scopes.clone(),
            resources: part.resources,
            details,
            until: part.until.min(life).min(had.until.unwrap_or(Seconds::MAX)),
        };
        let through = had.through.clone();
        Ok(Grant { through, ..examined.child(TOKEN_EXCHANGE, client, actors, part, self.env) })
    }
}
