//! What an access request says (AuthZEN Access Request and Approval Profile, draft of 29 April 2026): for whom, what is to be
//! done to what, and which denial it is about. Pure; `arap` asks for it.

use crate::identity::{Answer, Env, ErrorCode, Refusal};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The type of the details of access requests.
pub const ACCESS_TYPE: &str = "access_request";
/// Most items of a request.
const ITEMS_MAX: usize = 16;

/// Something that a question is about.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What else is said of it.
    #[serde(default)]
    pub properties: Option<Map<String, Value>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// What else is said of it: the arguments of a call.
    #[serde(default)]
    pub properties: Option<Map<String, Value>>,
}

/// One thing that was denied.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What to.
    pub resource: Entity,
    /// What.
    pub action: Action,
}

/// Who submits it, besides what the token says. It may say more, which counts for nothing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Submitter {
    /// Who acts.
    #[serde(default)]
    pub actor: Option<Value>,
}

/// Which denial it is about. It may say more, as the decision itself, which counts for nothing: `binding_token` is what ties
/// them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Denial {
    /// Its id.
    #[serde(default)]
    pub evaluation_id: Option<String>,
    /// What ties the request to it.
    #[serde(default)]
    pub binding_token: Option<String>,
    /// Until when access may be asked for with it, RFC 3339.
    #[serde(default)]
    pub expires_at: Option<String>,
}

/// An access request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessWanted {
    /// For whom; the person of the token.
    #[serde(default)]
    pub subject: Option<Entity>,
    /// What to, when it is one thing.
    #[serde(default)]
    pub resource: Option<Entity>,
    /// What, when it is one thing.
    #[serde(default)]
    pub action: Option<Action>,
    /// Several things.
    #[serde(default)]
    pub items: Vec<Item>,
    /// Which denial it is about.
    #[serde(default)]
    pub denial: Option<Denial>,
    /// A text that the client shows too.
    #[serde(default)]
    pub message: Option<String>,
    /// In which context it was denied. It counts for nothing: people approve a resource and an action.
    #[serde(default)]
    pub context: Option<Map<String, Value>>,
    /// What is wanted of it besides, as how long. Not served.
    #[serde(default)]
    pub requested_access: Option<Map<String, Value>>,
    /// Who submits it.
    #[serde(default)]
    pub client: Option<Submitter>,
    /// Not served.
    #[serde(default)]
    pub callback: Option<Value>,
}

pub(super) fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The detail that a thing becomes: exactly this is approved, and used up.
#[must_use]
pub fn access_detail(item: &Item) -> Value {
    let mut resource = json!({"type": item.resource.kind, "id": item.resource.id});
    let mut action = json!({"name": item.action.name});
    for (value, properties) in [(&mut resource, &item.resource.properties), (&mut action, &item.action.properties)] {
        if let (Some(members), Some(properties)) = (value.as_object_mut(), properties) {
            members.insert("properties".to_owned(), Value::Object(properties.clone()));
        }
    }
    json!({"type": ACCESS_TYPE, "resource": resource, "action": action})
}

impl AccessWanted {
    /// The things that are asked for, one by one.
    ///
    /// # Errors
    /// There is none, there are more than [`ITEMS_MAX`], or they are said in both ways.
    pub(super) fn things(&self) -> Answer<Vec<Item>> {
        let one = match (&self.resource, &self.action) {
            (Some(resource), Some(action)) => Some(Item { resource: resource.clone(), action: action.clone() }),
            (None, None) => None,
            _ => return Err(invalid("access.items", "say both `resource` and `action`, or `items`")),
        };
        match (one, self.items.as_slice()) {
            (Some(one), []) => Ok(vec![one]),
            (None, [_, ..]) if self.items.len() <= ITEMS_MAX => Ok(self.items.clone()),
            _ => Err(invalid("access.items", format!("say one thing, or 1 to {ITEMS_MAX} `items`"))),
        }
    }

    /// Refuses what somebody else than these submits, who are subjects as `agent:sales`.
    ///
    /// # Errors
    /// `client.actor` is none of them, or says nobody.
    pub(super) fn check_actor(&self, acting: &[&str]) -> Answer<()> {
        let Some(actor) = self.client.as_ref().and_then(|client| client.actor.as_ref()) else { return Ok(()) };
        let text = |name: &str| actor.get(name).and_then(Value::as_str);
        let id = text("id").ok_or_else(|| {
            invalid("access.actor", "`client.actor` names who acts as `{\"type\": \"agent\", \"id\": ID}`")
        })?;
        let is = |subject: &&str| {
            subject
                .split_once(':')
                .is_some_and(|(kind, own)| own == id && text("type").is_none_or(|named| named == kind))
        };
        if !acting.iter().any(is) {
            return Err(invalid("access.actor", "`client.actor` is not who acts with the token"));
        }
        Ok(())
    }

    /// Refuses what is not for this person and of now.
    ///
    /// # Errors
    /// It is for somebody else, its denial is over, or it wants a callback or something besides the thing itself.
    pub(super) fn check(&self, user: &str, env: &Env<'_>) -> Answer<()> {
        if self.callback.is_some() {
            return Err(invalid("access.callback", "`callback` is not served; ask `status_endpoint`"));
        }
        if self.requested_access.as_ref().is_some_and(|wanted| !wanted.is_empty()) {
            let text = "`requested_access` is not served: what is approved is the resource and the action as they are, once, \
                        for as long as this server says; leave it out";
            return Err(invalid("access.requested_access", text));
        }
        if self.subject.as_ref().is_some_and(|subject| subject.kind != "user" || subject.id != user) {
            return Err(invalid("access.subject", "`subject` is not the person of the token"));
        }
        let until = self.denial.as_ref().and_then(|denial| denial.expires_at.as_ref());
        if let Some(until) = until {
            let until = chrono::DateTime::parse_from_rfc3339(until)
                .map_err(|_| invalid("access.denial", "`denial.expires_at` is no time (RFC 3339)"))?;
            if until.timestamp() <= i64::try_from(env.seconds()).unwrap_or(i64::MAX) {
                return Err(invalid("access.denial", "the denial is too old; ask the question once more"));
            }
        }
        Ok(())
    }
}
