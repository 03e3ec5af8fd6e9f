//! Claims that a tenant adds to what is said of a person: a name and an expression in CEL each, for ID tokens, access tokens
//! and userinfo.
//!
//! An expression is compiled when it is set, and the type of its value is known from then on. What it says at an issue is
//! bounded in cost and size. One that fails refuses what was asked for, because a claim that is missing may be one that takes
//! rights away; whoever sets a claim may say that it is left out instead. A value that is `null` is nothing to say.

use super::{
    Answer, Client, CredentialKind, Env, ErrorCode, EventKind, Examined, Grant, Outcome, Refusal, Seconds, Stored,
    Tenant, UpstreamIdentity, again,
};
use crate::model::{CompiledExpression, ConditionDefinition, Origin, ParameterType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Most claims of a tenant.
pub const CUSTOM_CLAIMS_MAX: usize = 32;
/// Longest name of a claim.
pub const CUSTOM_CLAIM_NAME_BYTES_MAX: usize = 128;
/// Largest value of a claim, and of all together, as JSON.
pub const CUSTOM_CLAIM_BYTES_MAX: usize = 2 << 10;
/// Largest value of all claims at one place together, as JSON. A token that is looked at has at most 16 KiB.
pub const CUSTOM_CLAIMS_BYTES_MAX: usize = 6 << 10;
/// Most that one evaluation may cost, as conditions count it.
const COST_MAX: u64 = 1_000;
/// Names of an expression that are of a person; where there is none, a claim that names one is not said.
const OF_PERSON: [&str; 5] = ["user", "upstream", "acr", "amr", "auth_time"];

/// Claims that are said by the server, by the standards that it follows, or by the profile of a person: never by an
/// expression (RFC 7519 4.1, RFC 7662 2.2, RFC 7800 3.1, RFC 8693 4, RFC 9068 2.2, RFC 9396 9, RFC 9701 5, OpenID Connect
/// Core 2, 5.1, 5.6, Front- and Back-Channel Logout, identity assertions).
const TAKEN: [&str; 71] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "azp",
    "nonce",
    "auth_time",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "s_hash",
    "rt_hash",
    "sid",
    "sub_jwk",
    "sub_id",
    "aud_sub",
    "client_id",
    "scope",
    "scp",
    "act",
    "may_act",
    "cnf",
    "authorization_details",
    "resource",
    "events",
    "toe",
    "txn",
    "trust_chain",
    "vot",
    "vtm",
    "status",
    "active",
    "token_type",
    "token_introspection",
    "username",
    "htm",
    "htu",
    "ath",
    "jwk",
    "typ",
    "alg",
    "kid",
    "_claim_names",
    "_claim_sources",
    "verified_claims",
    "tenant",
    "urn:openid:params:jwt:claim:auth_req_id",
    "urn:openid:params:jwt:claim:rt_hash",
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
    "email",
    "email_verified",
    "address",
    "phone_number",
    "phone_number_verified",
];

/// Where a claim is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPlace {
    /// In ID tokens.
    IdToken,
    /// In access tokens, and where they are introspected.
    AccessToken,
    /// At the userinfo endpoint.
    Userinfo,
}

impl ClaimPlace {
    /// All there are.
    pub const ALL: [ClaimPlace; 3] = [ClaimPlace::IdToken, ClaimPlace::AccessToken, ClaimPlace::Userinfo];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClaimPlace::IdToken => "id_token",
            ClaimPlace::AccessToken => "access_token",
            ClaimPlace::Userinfo => "userinfo",
        }
    }
}

/// What the value of a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list of texts.
    Strings,
    /// Whatever JSON can say.
    Json,
}

impl ClaimType {
    /// All there are.
    pub const ALL: [ClaimType; 6] = [
        ClaimType::String,
        ClaimType::Integer,
        ClaimType::Number,
        ClaimType::Boolean,
        ClaimType::Strings,
        ClaimType::Json,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClaimType::String => "string",
            ClaimType::Integer => "integer",
            ClaimType::Number => "number",
            ClaimType::Boolean => "boolean",
            ClaimType::Strings => "strings",
            ClaimType::Json => "json",
        }
    }

    /// The type of the values of an expression, when it can be told before there is one.
    fn of(output: &ParameterType) -> Option<ClaimType> {
        match output {
            ParameterType::String => Some(ClaimType::String),
            ParameterType::Int | ParameterType::Uint => Some(ClaimType::Integer),
            ParameterType::Double => Some(ClaimType::Number),
            ParameterType::Bool => Some(ClaimType::Boolean),
            ParameterType::List(inner) if **inner == ParameterType::String => Some(ClaimType::Strings),
            ParameterType::List(_)
            | ParameterType::Map(_)
            | ParameterType::Any
            | ParameterType::Duration
            | ParameterType::Timestamp
            | ParameterType::IpAddress => None,
        }
    }

    /// Whether an expression of this type may give such a value.
    fn may_be(self, output: &ParameterType) -> bool {
        let of = ClaimType::of(output);
        match (self, output) {
            (ClaimType::Json, _) | (_, ParameterType::Any) => true,
            (ClaimType::Strings, ParameterType::List(inner)) => {
                matches!(**inner, ParameterType::String | ParameterType::Any)
            }
            (ClaimType::Number, _) if of == Some(ClaimType::Integer) => true,
            _ => of == Some(self),
        }
    }

    fn is(self, value: &Value) -> bool {
        match self {
            ClaimType::String => value.is_string(),
            ClaimType::Integer => value.is_i64() || value.is_u64(),
            ClaimType::Number => value.is_number(),
            ClaimType::Boolean => value.is_boolean(),
            ClaimType::Strings => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            ClaimType::Json => true,
        }
    }
}

/// A claim to be set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClaim {
    /// Its name in tokens: a word, or better a URL of one's own, as `https://acme.example/role`.
    #[serde(default)]
    pub name: String,
    /// The expression.
    pub expression: String,
    /// Where it is said.
    pub places: Vec<ClaimPlace>,
    /// What its value is; may be left out where the expression alone tells.
    #[serde(default, rename = "type")]
    pub value: Option<ClaimType>,
    /// Whether it is left out when the expression fails; else what was asked for is refused.
    #[serde(default)]
    pub optional: bool,
}

/// A claim as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomClaim {
    /// Its name.
    pub name: String,
    /// The expression.
    pub expression: String,
    /// Where it is said.
    pub places: Vec<ClaimPlace>,
    /// What its value is.
    #[serde(rename = "type")]
    pub value: ClaimType,
    /// Whether it is left out when the expression fails.
    pub optional: bool,
    /// When it was set.
    pub changed_at: Seconds,
    /// By whom.
    pub changed_by: String,
}

/// All claims of a tenant: one record, so that a token is made with those of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomClaims {
    claims: Vec<CustomClaim>,
}

impl Stored for CustomClaims {
    const SORT: u8 = b'm';
    const WHAT: &'static str = "custom claims";
}

/// The claims of a tenant, ready to be said.
pub(super) struct CompiledClaims {
    record: CustomClaims,
    compiled: Vec<CompiledExpression>,
}

/// About what something is said.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) grant: &'a Grant,
    pub(super) client: &'a Client,
    pub(super) scopes: &'a [String],
    pub(super) audience: &'a [String],
}

/// What is said, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) claims: Map<String, Value>,
    pub(super) left_out: Vec<String>,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

fn check_name(name: &str) -> Answer<()> {
    let fine = name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'`'));
    if name.is_empty() || name.len() > CUSTOM_CLAIM_NAME_BYTES_MAX || !fine {
        let text = format!(
            "a claim has a name of 1 to {CUSTOM_CLAIM_NAME_BYTES_MAX} letters, digits and marks, without blanks"
        );
        return Err(invalid("claim.name", text));
    }
    if TAKEN.contains(&name) {
        let text = format!("`{name}` is said by the server or by a person's profile; take a name of your own");
        return Err(invalid("claim.taken", text));
    }
    Ok(())
}

fn compile(name: &str, expression: &str) -> Answer<CompiledExpression> {
    let texts = || ParameterType::List(Box::new(ParameterType::String));
    let pairs = || ParameterType::Map(Box::new(ParameterType::String));
    let parameters = [
        ("user", ParameterType::Map(Box::new(ParameterType::Any))),
        ("upstream", ParameterType::List(Box::new(pairs()))),
        ("client", pairs()),
        ("agent", pairs()),
        ("actors", texts()),
        ("scopes", texts()),
        ("audience", texts()),
        ("acr", ParameterType::String),
        ("amr", texts()),
        ("auth_time", ParameterType::Int),
    ];
    let definition = ConditionDefinition {
        name: name.to_owned(),
        expression: expression.to_owned(),
        parameters: parameters.map(|(name, ty)| (name.to_owned(), ty)).to_vec(),
        origin: Origin::default(),
    };
    CompiledExpression::compile(&definition).map_err(|fault| invalid("claim.expression", fault.to_string()))
}

/// Judges a claim that is to be set.
fn checked(wanted: &NewClaim, by: &str, env: &Env<'_>) -> Answer<CustomClaim> {
    check_name(&wanted.name)?;
    let twice = |place| wanted.places.iter().filter(|other| *other == place).count() > 1;
    if wanted.places.is_empty() || wanted.places.iter().any(twice) {
        let text = "say where the claim is said, each once: `id_token`, `access_token`, `userinfo`";
        return Err(invalid("claim.places", text));
    }
    let compiled = compile(&wanted.name, &wanted.expression)?;
    let value = match (wanted.value, ClaimType::of(compiled.output())) {
        (Some(value), _) if value.may_be(compiled.output()) => value,
        (Some(value), _) => {
            let text = format!("the expression never gives a value of type `{}`", value.name());
            return Err(invalid("claim.type", text));
        }
        (None, Some(value)) => value,
        (None, None) => {
            let names = ClaimType::ALL.map(|ty| format!("`{}`", ty.name())).join(", ");
            let text = format!("the expression does not tell what type its value has; say one of {names}");
            return Err(invalid("claim.type", text));
        }
    };
    Ok(CustomClaim {
        name: wanted.name.clone(),
        expression: wanted.expression.clone(),
        places: wanted.places.clone(),
        value,
        optional: wanted.optional,
        changed_at: env.seconds(),
        changed_by: by.to_owned(),
    })
}

impl Tenant {
    /// The claims that are added, in the order of their names.
    ///
    /// # Errors
    /// The disk failed.
    pub fn custom_claims(&self) -> Answer<Vec<CustomClaim>> {
        Ok(self.get::<CustomClaims>(&["all"])?.map(|held| held.value.claims).unwrap_or_default())
    }

    /// Sets a claim, in place of the one of its name. It is said from the next token on; tokens that were made before stay as
    /// they are. `by` is who sets it, for the event.
    ///
    /// # Errors
    /// The name is taken by the server, the expression is not right, or there are too many.
    pub fn put_claim(&self, wanted: &NewClaim, by: &str, env: &Env<'_>) -> Answer<CustomClaim> {
        let claim = checked(wanted, by, env)?;
        self.change_claims(("claim.put", by), env, |claims| {
            claims.retain(|other| other.name != claim.name);
            if claims.len() >= CUSTOM_CLAIMS_MAX {
                let text = format!("there are {CUSTOM_CLAIMS_MAX} claims, which is the most");
                return Err(Refusal::new(ErrorCode::Conflict, "claim.max", text));
            }
            claims.push(claim.clone());
            claims.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(claim.clone())
        })
    }

    /// Takes a claim away. Tokens that were made with it keep it until their end.
    ///
    /// # Errors
    /// There is none.
    pub fn remove_claim(&self, name: &str, by: &str, env: &Env<'_>) -> Answer<()> {
        self.change_claims(("claim.remove", by), env, |claims| {
            let at = claims.iter().position(|claim| claim.name == name);
            Ok(claims.remove(at.ok_or_else(|| Refusal::not_found("claim"))?))
        })?;
        Ok(())
    }

    fn change_claims(
        &self,
        (action, by): (&str, &str),
        env: &Env<'_>,
        act: impl Fn(&mut Vec<CustomClaim>) -> Answer<CustomClaim>,
    ) -> Answer<CustomClaim> {
        again(|| {
            let held = self.get::<CustomClaims>(&["all"])?;
            let mut claims = held.as_ref().map(|held| held.value.claims.clone()).unwrap_or_default();
            let changed = act(&mut claims)?;
            let mut change = self.change(env);
            match &held {
                Some(held) => change.replace(held, &CustomClaims { claims }),
                None => change.create(&["all"], &CustomClaims { claims }),
            }
            let event = self.event(EventKind::PolicyChanged, Outcome::Done, env).user(by).action(action);
            let places = changed.places.iter().map(|place| place.name()).collect::<Vec<_>>().join(" ");
            let event = event.resource(&changed.name).detail("places", places).detail("type", changed.value.name());
            change.event(&event.detail("expression", super::hash_of(&changed.expression)));
            change.commit()?;
            Ok(changed)
        })
    }

    /// The claims of now, compiled; those that were compiled before, when they are still these.
    fn compiled_claims(&self) -> Answer<Option<Arc<CompiledClaims>>> {
        let Some(held) = self.get::<CustomClaims>(&["all"])? else { return Ok(None) };
        if held.claims.is_empty() {
            return Ok(None);
        }
        let known = self.identity().compiled().lock().get(&self.number()).cloned();
        if let Some(known) = known.filter(|known| known.record == held.value) {
            return Ok(Some(known));
        }
        let of = |claim: &CustomClaim| compile(&claim.name, &claim.expression);
        let compiled = held.claims.iter().map(of).collect::<Answer<Vec<_>>>();
        let compiled = compiled.map_err(|refusal| Refusal::failed("claim.compile", refusal.description))?;
        let fresh = Arc::new(CompiledClaims { record: held.value, compiled });
        self.identity().compiled().lock().insert(self.number(), Arc::clone(&fresh));
        Ok(Some(fresh))
    }

    /// What the claims of a tenant say at these places, each in the order of the places.
    ///
    /// # Errors
    /// One that must be said fails; it is noted. Or the disk failed.
    pub(super) fn say(&self, places: &[ClaimPlace], about: About<'_>, env: &Env<'_>) -> Answer<Vec<Said>> {
        let none = || places.iter().map(|_| Said::default()).collect();
        let Some(claims) = self.compiled_claims()? else { return Ok(none()) };
        let all: Vec<_> = claims.record.claims.iter().zip(&claims.compiled).collect();
        let person = about.grant.user().is_some();
        let meant = |(claim, expression): &(&CustomClaim, &CompiledExpression)| {
            claim.places.iter().any(|place| places.contains(place))
                && (person || !OF_PERSON.iter().any(|name| expression.names(name)))
        };
        let meant: Vec<_> = all.into_iter().filter(meant).collect();
        if meant.is_empty() {
            return Ok(none());
        }
        let values = self.values(about, meant.iter().any(|(_, expression)| expression.names("upstream")))?;
        let mut said: Vec<Said> = none();
        let mut left = vec![CUSTOM_CLAIMS_BYTES_MAX; places.len()];
        for (claim, expression) in meant {
            let value = value_of(claim, expression, &values);
            for (at, (place, said)) in places.iter().zip(&mut said).enumerate() {
                if !claim.places.contains(place) {
                    continue;
                }
                let left = left.get_mut(at);
                match value.clone().and_then(|(value, bytes)| fitting(value, bytes, left)) {
                    Ok(Value::Null) => {}
                    Ok(value) => drop(said.claims.insert(claim.name.clone(), value)),
                    Err(why) => {
                        self.tell_failed(claim, *place, &why, about, env)?;
                        if !claim.optional {
                            let text = format!(
                                "the claim `{}` cannot be said here, and nothing is without it; tell whoever runs this server",
                                claim.name
                            );
                            return Err(Refusal::new(ErrorCode::ServerError, "claim.failed", text).because(why));
                        }
                        said.left_out.push(claim.name.clone());
                    }
                }
            }
        }
        Ok(said)
    }

    /// What the claims of a tenant add at the userinfo endpoint for a token that is good.
    ///
    /// # Errors
    /// One that must be said fails.
    pub fn userinfo_claims(&self, examined: &Examined, env: &Env<'_>) -> Answer<Map<String, Value>> {
        let (grant, client) = (&examined.grant, examined.client());
        let about = About { grant, client, scopes: &examined.scopes, audience: &examined.audience };
        let said = self.say(&[ClaimPlace::Userinfo], about, env)?.pop();
        Ok(said.unwrap_or_default().claims)
    }

    /// What the names of expressions stand for.
    fn values(&self, about: About<'_>, upstream: bool) -> Answer<Map<String, Value>> {
        let (grant, client) = (about.grant, about.client);
        let mut user = Map::new();
        let mut identities = Vec::new();
        if let Some(id) = grant.user() {
            let held = self.user(id)?;
            user.insert("id".to_owned(), id.into());
            user.insert("logins".to_owned(), json!(held.logins));
            user.insert("claims".to_owned(), Value::Object(held.value.claims.clone()));
            if upstream {
                identities = self.identities_elsewhere(id)?;
            }
        }
        let authentication = grant.authentication.as_ref();
        let agent = grant.actors.first().map_or_else(
            || json!({}),
            |actor| {
                let id = actor.subject.split_once(':').map_or(actor.subject.as_str(), |(_, id)| id);
                json!({"id": id, "subject": actor.subject})
            },
        );
        let actors: Vec<&str> = grant.actors.iter().map(|actor| actor.subject.as_str()).collect();
        let values = json!({
            "user": user,
            "upstream": identities,
            "client": {"id": client.id, "name": client.name, "kind": client.kind.object_type()},
            "agent": agent,
            "actors": actors,
            "scopes": about.scopes,
            "audience": about.audience,
            "acr": authentication.map_or("", |a| a.acr.as_str()),
            "amr": authentication.map(|a| a.amr.as_slice()).unwrap_or_default(),
            "auth_time": authentication.map_or(0, |a| a.at),
        });
        let Value::Object(values) = values else { return Err(Refusal::failed("claim.values", "no object")) };
        Ok(values)
    }

    /// Who a person is at other providers; the one that was used last first.
    fn identities_elsewhere(&self, user: &str) -> Answer<Vec<Value>> {
        let mut linked = self.credentials(user)?;
        linked.retain(|held| held.kind == CredentialKind::Upstream);
        linked.sort_by_key(|held| std::cmp::Reverse(held.used_at.unwrap_or(held.created_at)));
        let one = |held: &super::Held<super::Credential>| {
            let identity = UpstreamIdentity::read(&self.open_credential(held)?)?;
            Ok(json!({
                "provider": identity.provider.unwrap_or_default(), "issuer": identity.issuer, "subject": identity.subject,
            }))
        };
        linked.iter().map(one).collect()
    }

    /// Notes that a claim could not be said, at most once in a minute for each client.
    fn tell_failed(
        &self,
        claim: &CustomClaim,
        place: ClaimPlace,
        why: &str,
        about: About<'_>,
        env: &Env<'_>,
    ) -> Answer<()> {
        tracing::warn!(tenant = self.name(), claim = claim.name, place = place.name(), why, "a claim cannot be said");
        if !self.tells(&claim.name, &about.client.id, env) {
            return Ok(());
        }
        let outcome = if claim.optional { Outcome::Failed } else { Outcome::Refused };
        let event = self.event_of(about.grant, EventKind::TokenRefused, outcome, env).reason("claim.failed");
        let event = event.client(about.client.subject()).detail("claim", &claim.name).detail("place", place.name());
        let mut change = self.change(env);
        change.event(&event.detail("left_out", if claim.optional { "yes" } else { "no" }));
        change.commit()?;
        Ok(())
    }
}

/// The value of a claim, and how large it is as JSON.
fn value_of(
    claim: &CustomClaim,
    expression: &CompiledExpression,
    values: &Map<String, Value>,
) -> Result<(Value, usize), String> {
    let value = expression.evaluate(values, COST_MAX, CUSTOM_CLAIM_BYTES_MAX).map_err(|fault| fault.to_string())?;
    if !value.is_null() && !claim.value.is(&value) {
        return Err(format!("the value is not of type `{}`", claim.value.name()));
    }
    let bytes = value.to_string().len();
    if bytes > CUSTOM_CLAIM_BYTES_MAX {
        return Err(format!("the value has more than {CUSTOM_CLAIM_BYTES_MAX} bytes"));
    }
    Ok((value, bytes))
}

/// The value, when there is room for it at its place.
fn fitting(value: Value, bytes: usize, left: Option<&mut usize>) -> Result<Value, String> {
    let room = left.and_then(|left| {
        *left = left.checked_sub(bytes)?;
        Some(())
    });
    room.map(|()| value).ok_or_else(|| format!("all values together have more than {CUSTOM_CLAIMS_BYTES_MAX} bytes"))
}
