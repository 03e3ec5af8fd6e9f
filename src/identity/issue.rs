//! What is handed out: access tokens, ID tokens and refresh tokens of a grant, in the write that makes them known.

use super::claims::{Claims, Confirmation, TokenKind};
use super::custom::{About, Said};
use super::{
    Answer, Caller, Change, ClaimPlace, Client, Env, ErrorCode, EventKind, Examined, Form, Grant, Held, OPENID_SCOPES,
    Outcome, Refusal, Resource, Seconds, SigningAlgorithm, Tenant, Wanted, act_claim, encode, narrow, profile_claims,
    refresh,
};
use crate::tuple::Revision;
use aws_lc_rs::digest;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The answer of the token endpoint (RFC 6749 5.1, RFC 8693 2.2.1).
#[derive(Clone, Serialize)]
pub struct TokenAnswer {
    /// What was issued.
    pub access_token: String,
    /// What that is, where it may be something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
    /// How it is shown: `Bearer`, `DPoP`, or `N_A` for what is no access token.
    pub token_type: &'static str,
    /// How long it lives, in seconds.
    pub expires_in: Seconds,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What gets the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Who the person is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What it is for, in detail (RFC 9396 7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<Value>,
    /// Members that a grant type adds.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A way to get tokens. Modules bring their own; the token endpoint knows none of them.
pub trait GrantType: Send + Sync {
    /// The value of `grant_type`.
    fn name(&self) -> &'static str;

    /// Adds what clients should know of it to the issuer's metadata (RFC 8414 2).
    fn describe(&self, _tenant: &Tenant, _metadata: &mut Map<String, Value>) {}

    /// Gets tokens for a client that has shown who it is and may use this way. What is answered must be in the database.
    ///
    /// # Errors
    /// It is refused.
    fn redeem(&self, tenant: &Tenant, caller: &Caller, form: &Form, env: &Env<'_>) -> Answer<TokenAnswer>;
}

/// What an access token is for: a part of its grant, judged anew at each issue.
struct Share {
    scopes: Vec<String>,
    resources: Vec<String>,
    details: Vec<Value>,
    until: Seconds,
    revision: Revision,
}

impl Share {
    fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| has == scope)
    }
}

impl Tenant {
    /// Makes the tokens of a grant that lives, or that is made in the same change. They are a part of the grant, of what the
    /// client may ask for now, and of what the person (or who acts alone) may hold now. The event is added to the change.
    ///
    /// # Errors
    /// More is wanted than there is, or nothing is left; a claim of the tenant's cannot be said; or a resource gives the client no
    /// more tokens for now.
    pub fn issue(
        &self,
        change: &mut Change<'_>,
        caller: &Caller,
        grant: &Grant,
        wanted: &Wanted,
        env: &Env<'_>,
    ) -> Answer<TokenAnswer> {
        let client = &caller.client;
        let bound = caller.bound(env)?;
        let (keys, now) = (self.keys()?, env.seconds());
        let share = self.share(caller, grant, wanted, now)?;
        // An ID token says who the person is, and its access token is good at userinfo, which is the issuer's own.
        let of_person = grant.user().filter(|_| share.has("openid"));
        let mut audience = share.resources.clone();
        if audience.is_empty() || of_person.is_some() {
            audience.push(self.issuer().to_owned());
        }
        let about = About { grant, client, scopes: &share.scopes, audience: &audience };
        let places = [ClaimPlace::AccessToken, ClaimPlace::IdToken];
        let places = if of_person.is_some() { places.as_slice() } else { places.get(..1).unwrap_or_default() };
        let mut said = self.say(places, about, env)?.into_iter();
        let (in_access, in_id) = (said.next().unwrap_or_default(), said.next().unwrap_or_default());
        self.within_limits(caller, grant, &share.resources, env)?;
        let claims = Claims {
            aud: super::claims::Audience(audience),
            exp: share.until,
            iat: now,
            jti: jti(grant, env),
            client_id: Some(client.id.clone()),
            scope: Some(share.scopes.join(" ")).filter(|scope| !scope.is_empty()),
            authorization_details: share.details.clone(),
            act: act_claim(&grant.actors),
            cnf: Some(bound).filter(|bound| *bound != Confirmation::default()),
            profile: in_access.claims,
            ..Claims::of(grant, self.issuer())
        };
        let access_token = keys.sign(SigningAlgorithm::Es256, TokenKind::Access.typ(), &claims, now)?;
        let left_out = [in_access.left_out, in_id.left_out.clone()].concat().join(" ");
        let id_token =
            of_person.map(|user| self.id_token(user, caller, grant, (&share.scopes, &access_token, in_id), env));
        let id_token = id_token.transpose()?;
        self.note_session_client(change, grant, client, env)?;
        self.note_client_used(change, client)?;
        self.use_proof(change, env);
        let mut event = self.event_of(grant, EventKind::TokenIssued, Outcome::Done, env).token(&claims.jti);
        event = event.action(share.scopes.join(" ")).revision(share.revision);
        event = event.detail("auth_method", caller.method.name());
        if let Some(resource) = share.resources.first() {
            event = event.resource(resource);
        }
        if !left_out.is_empty() {
            event = event.detail("claims_left_out", left_out);
        }
        change.event(&event);
        Ok(TokenAnswer {
            access_token,
            issued_token_type: None,
            token_type: if caller.jkt.is_some() { "DPoP" } else { "Bearer" },
            expires_in: share.until.saturating_sub(now),
            scope: claims.scope,
            refresh_token: grant.refresh.map(|state| refresh::text(&keys, &grant.id, state.generation)),
            id_token,
            authorization_details: share.details,
            more: Map::new(),
        })
    }

    /// What was shown as a refresh token, as it would be if it were used now: a part of its grant, of what the client may ask for
    /// now, and of what the person may hold now. Whoever lets a refresh token stand for a right asks this first: its grant alone
    /// says what was allowed once.
    ///
    /// # Errors
    /// It would give nothing; as [`Tenant::issue`].
    pub fn as_if_refreshed(&self, caller: &Caller, mut examined: Examined, env: &Env<'_>) -> Answer<Examined> {
        let share = self.share(caller, &examined.grant, &Wanted::default(), env.seconds())?;
        (examined.scopes, examined.resources) = (share.scopes, share.resources);
        Ok(examined)
    }

    fn share(&self, caller: &Caller, grant: &Grant, wanted: &Wanted, now: Seconds) -> Answer<Share> {
        let client = &caller.client;
        let narrowed = narrow(grant, wanted)?;
        let mut resources: Vec<Held<Resource>> = Vec::new();
        for identifier in &narrowed.resources {
            let resource = self.resource(identifier)?.filter(|_| client.resources.contains(identifier));
            resources.push(resource.ok_or_else(|| {
                let text = format!("`{identifier}` is no resource of this client");
                Refusal::new(ErrorCode::InvalidTarget, "issue.resource", text)
            })?);
        }
        let subject = grant.user().map_or_else(|| client.subject(), |user| format!("user:{user}"));
        let asked: Vec<String> =
            narrowed.scopes.iter().filter(|scope| client.scopes.contains(scope)).cloned().collect();
        let view = self.view()?;
        let scopes = self.holdable(&view, &subject, &resources, &asked)?;
        if scopes.is_empty() && !narrowed.scopes.is_empty() {
            let text = "none of the scopes can be had for these resources by this client and person";
            return Err(Refusal::new(ErrorCode::InvalidScope, "issue.scopes", text));
        }
        let mut life_s = self.settings().access_token_s;
        for identifier in &narrowed.resources {
            life_s = life_s.min(self.token_limits(identifier)?.life_s.unwrap_or(Seconds::MAX));
        }
        let until = narrowed.until.min(now.saturating_add(life_s));
        if until <= now {
            return Err(Refusal::new(ErrorCode::InvalidGrant, "grant.over", "what this hangs on is over"));
        }
        let details = self.details_now(client, grant, narrowed.details)?;
        Ok(Share { scopes, resources: narrowed.resources, details, until, revision: view.revision() })
    }

    /// Counts the token at the resources that have a limit. That one refuses is noted once in a minute, so that who is held up
    /// does not fill the log instead.
    fn within_limits(&self, caller: &Caller, grant: &Grant, resources: &[String], env: &Env<'_>) -> Answer<()> {
        let mut limits = Vec::new();
        for resource in resources {
            limits.extend(self.token_limits(resource)?.per_minute.map(|most| (resource.as_str(), most)));
        }
        let counted = self.count_tokens(&caller.client.id, &limits, env);
        if let Err(refusal) = &counted
            && self.tells(refusal.rule, &caller.client.id, env)
        {
            let mut change = self.change(env);
            let event = self.event_of(grant, EventKind::TokenRefused, Outcome::Refused, env).reason(refusal.rule);
            change.event(&event.client(caller.client.subject()));
            change.commit()?;
        }
        counted
    }

    /// An ID token (OpenID Connect Core 2), signed as the client is registered for. It has the claims of the profile that the scopes let out, and the tenant's own.
    fn id_token(
        &self,
        user: &str,
        caller: &Caller,
        grant: &Grant,
        (scopes, access_token, said): (&[String], &str, Said),
        env: &Env<'_>,
    ) -> Answer<String> {
        let now = env.seconds();
        let mut profile = profile_claims(&self.user(user)?.claims, scopes);
        profile.extend(said.claims);
        let claims = Claims {
            aud: super::claims::Audience(vec![caller.client.own_name().to_owned()]),
            exp: now.saturating_add(self.settings().id_token_s).min(grant.expires_at),
            iat: now,
            jti: jti(grant, env),
            nonce: grant.nonce.clone(),
            at_hash: Some(at_hash(access_token)),
            profile,
            ..Claims::of(grant, self.issuer())
        };
        self.keys()?.sign(caller.client.id_token_signed_response_alg, TokenKind::Id.typ(), &claims, now)
    }

    /// What a client may be granted of what it asks for: known resources that it may ask for, and its scopes of them.
    /// Without a resource it is the tenant's default, or the one of the client's that has all the scopes; who names neither
    /// gets neither. Without scopes it is all of the named resources' that it may ask for.
    ///
    /// # Errors
    /// A resource is not for it, or a scope.
    pub fn allowed(
        &self,
        caller: &Client,
        scopes: Option<&str>,
        resources: Option<Vec<String>>,
    ) -> Answer<(Vec<String>, Vec<String>)> {
        let asked = scopes.map(super::scopes_of).transpose()?;
        let identifiers = match resources {
            Some(named) => named,
            None => self.meant(caller, asked.as_deref().unwrap_or_default())?,
        };
        if identifiers.len() > super::RESOURCES_MAX {
            let text = format!("a request names at most {} resources", super::RESOURCES_MAX);
            return Err(Refusal::new(ErrorCode::InvalidTarget, "resource.max", text));
        }
        let mut resources = Vec::with_capacity(identifiers.len());
        for identifier in &identifiers {
            super::check_resource(identifier)?;
            let known = self.resource(identifier)?.filter(|_| caller.resources.contains(identifier));
            resources.push(known.ok_or_else(|| {
                let text = "a resource is unknown, or not one that this client may ask for";
                Refusal::new(ErrorCode::InvalidTarget, "resource.unknown", text)
            })?);
        }
        let of_resource = |scope: &str| resources.iter().any(|resource| resource.scope(scope).is_some());
        let Some(asked) = asked else {
            let all = caller.scopes.iter().filter(|scope| of_resource(scope)).cloned().collect();
            return Ok((all, identifiers));
        };
        for scope in &asked {
            let known = OPENID_SCOPES.contains(&scope.as_str()) || of_resource(scope);
            if !known || !caller.scopes.contains(scope) {
                return Err(unknown_scope(scope));
            }
        }
        Ok((asked, identifiers))
    }

    /// The resource that is meant when none is named.
    fn meant(&self, client: &Client, scopes: &[String]) -> Answer<Vec<String>> {
        let default = self.settings().default_resource.as_ref();
        if let Some(default) = default.filter(|default| client.resources.contains(default)) {
            return Ok(vec![default.clone()]);
        }
        let mut of_resources = scopes.iter().filter(|scope| !OPENID_SCOPES.contains(&scope.as_str())).peekable();
        if of_resources.peek().is_none() {
            return Ok(Vec::new());
        }
        let of_resources: Vec<&String> = of_resources.collect();
        let mut found = Vec::new();
        for identifier in &client.resources {
            let Some(resource) = self.resource(identifier)? else { continue };
            if of_resources.iter().all(|scope| resource.scope(scope).is_some()) {
                found.push(identifier.clone());
            }
        }
        if found.is_empty() {
            self.none_has(client, &of_resources)?;
        }
        if found.len() > 1 {
            let text = "several resources have these scopes; say which with `resource`";
            return Err(Refusal::new(ErrorCode::InvalidTarget, "resource.which", text));
        }
        Ok(found)
    }

    /// Why no resource of a client's has all of these scopes: the first that none has, or else that they are of several.
    fn none_has(&self, client: &Client, scopes: &[&String]) -> Answer<()> {
        let mut known = BTreeSet::new();
        for identifier in &client.resources {
            let resource = self.resource(identifier)?;
            known.extend(resource.into_iter().flat_map(|held| held.value.scopes).map(|scope| scope.name));
        }
        if let Some(unknown) = scopes.iter().find(|scope| !known.contains(**scope)) {
            return Err(unknown_scope(unknown));
        }
        let text =
            "these scopes are of several resources, and none has all of them; say which resources with `resource`";
        Err(Refusal::new(ErrorCode::InvalidTarget, "resource.which", text))
    }

    /// Whether a client may ask for details of these types.
    ///
    /// # Errors
    /// It may not.
    pub fn allowed_details(&self, client: &Client, details: &[Value]) -> Answer<()> {
        for detail in details {
            let name = detail.get("type").and_then(Value::as_str).unwrap_or_default();
            if !client.details_types.iter().any(|known| known == name) {
                let text = "authorization details are of a type that is unknown, or that this client may not ask for";
                return Err(Refusal::new(ErrorCode::InvalidAuthorizationDetails, "details.type", text));
            }
        }
        Ok(())
    }
}

fn unknown_scope(scope: &str) -> Refusal {
    let text = format!("`{scope}` is unknown for these resources, or not one that this client may ask for");
    Refusal::new(ErrorCode::InvalidScope, "scope.unknown", text)
}

/// The id of a token: its grant, and what tells it from others.
fn jti(grant: &Grant, env: &Env<'_>) -> String {
    format!("{}.{}", grant.id, encode(&env.bytes::<16>()))
}

/// The left half of the hash of an access token (OpenID Connect Core 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, access_token.as_bytes());
    encode(digest.as_ref().get(..16).unwrap_or_default())
}
