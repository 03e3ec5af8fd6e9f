//! The questions: check, list-objects, list-users, expand.

use super::given::{self, Given};
use super::place::{Answer, InStore, State, fresh};
use super::show::{Look, Tone, count, note, paint, print, say, terminal};
use super::{Failure, tree};
use bailiwick::api::proto as pb;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// `bailiwick check`
#[derive(Args)]
pub(super) struct Check {
    /// Who, as in `user:anne`, `group:eng#member` or `user:*`
    #[arg(value_name = "USER")]
    subject: String,
    /// The relation, as in `viewer`
    relation: String,
    /// The object, as in `document:1`
    object: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    look: Look,
}

/// `bailiwick list-objects`
#[derive(Args)]
pub(super) struct ListObjects {
    /// Who, as in `user:anne`
    #[arg(value_name = "USER")]
    subject: String,
    /// The relation, as in `viewer`
    relation: String,
    /// The type of the objects, as in `document`
    #[arg(value_name = "TYPE")]
    object_type: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    look: Look,
}

/// `bailiwick list-users`
#[derive(Args)]
pub(super) struct ListUsers {
    /// The object, as in `document:1`
    object: String,
    /// The relation, as in `viewer`
    relation: String,
    /// What kind of users: `user`, or `group#member`
    #[arg(value_name = "KIND")]
    filter: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    state: State,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    look: Look,
}

/// `bailiwick expand`
#[derive(Args)]
pub(super) struct Expand {
    /// The relation, as in `viewer`
    relation: String,
    /// The object, as in `document:1`
    object: String,
    #[command(flatten)]
    place: InStore,
    #[command(flatten)]
    state: State,
    /// A tuple that counts as if it were stored, as in 'user:anne member group:eng'; may be said several times
    #[arg(long = "with", value_name = "TUPLE", help_heading = "For this question only")]
    with: Vec<String>,
    #[command(flatten)]
    look: Look,
}

/// An answer as JSON with its token.
pub(super) fn with_token<T>(mut value: Value, answer: &Answer<T>) -> Value {
    if let (Some(map), Some(token)) = (value.as_object_mut(), &answer.token) {
        map.insert("token".into(), token.clone().into());
        if answer.cut {
            map.insert("truncated".into(), true.into());
        }
    }
    value
}

impl Check {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        given::key(&self.subject, &self.relation, &self.object, None)?;
        let (place, store_id) = self.place.open()?;
        let tuple_key = Some(pb::CheckRequestTupleKey {
            user: self.subject.clone(),
            relation: self.relation.clone(),
            object: self.object.clone(),
        });
        let message = pb::CheckRequest {
            store_id,
            tuple_key,
            authorization_model_id: self.state.model(),
            contextual_tuples: self.given.contextual()?,
            context: self.given.context()?,
            ..pb::CheckRequest::default()
        };
        let request = fresh(message, &self.state.freshness)?;
        let answer = place.ask(async |mut client| client.check(request).await)?;
        let allowed = answer.message.allowed;
        if self.look.json {
            say(with_token(json!({"allowed": allowed}), &answer));
        } else {
            say(if allowed { paint("allow", Tone::Good) } else { paint("deny", Tone::Bad) });
        }
        Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Prints a list: an item a line, and for a person how many.
fn list<T>(name: &str, what: &str, items: &[String], answer: &Answer<T>, look: Look) {
    if look.json {
        say(with_token(json!({name: items}), answer));
        return;
    }
    let _ = items.iter().all(print); // a closed pipe has read what it wanted
    if terminal() {
        note(paint(&count(items.len() as u64, what), Tone::Faint));
    }
    if answer.cut {
        note(
            "warning: the server's bound on results cut this list; raise list-objects-max-results or list-users-max-results",
        );
    }
}

impl ListObjects {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let (place, store_id) = self.place.open()?;
        let message = pb::ListObjectsRequest {
            store_id,
            authorization_model_id: self.state.model(),
            r#type: self.object_type.clone(),
            relation: self.relation.clone(),
            user: self.subject.clone(),
            contextual_tuples: self.given.contextual()?,
            context: self.given.context()?,
            ..pb::ListObjectsRequest::default()
        };
        let request = fresh(message, &self.state.freshness)?;
        let answer = place.ask(async |mut client| client.list_objects(request).await)?;
        list("objects", "object", &answer.message.objects, &answer, self.look);
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn user_text(user: &pb::User) -> String {
    match &user.user {
        Some(pb::user::User::Object(o)) => format!("{}:{}", o.r#type, o.id),
        Some(pb::user::User::Userset(u)) => format!("{}:{}#{}", u.r#type, u.id, u.relation),
        Some(pb::user::User::Wildcard(w)) => format!("{}:*", w.r#type),
        None => String::new(),
    }
}

impl ListUsers {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let bad = || Failure::Said(format!("`{}` is not an object; write it as `type:id`", self.object));
        let (object_type, id) = self.object.split_once(':').ok_or_else(bad)?;
        let (kind, relation) = self.filter.split_once('#').unwrap_or((&self.filter, ""));
        let (place, store_id) = self.place.open()?;
        let message = pb::ListUsersRequest {
            store_id,
            authorization_model_id: self.state.model(),
            object: Some(pb::Object { r#type: object_type.to_owned(), id: id.to_owned() }),
            relation: self.relation.clone(),
            user_filters: vec![pb::UserTypeFilter { r#type: kind.to_owned(), relation: relation.to_owned() }],
            contextual_tuples: self.given.tuples()?,
            context: self.given.context()?,
            ..pb::ListUsersRequest::default()
        };
        let request = fresh(message, &self.state.freshness)?;
        let answer = place.ask(async |mut client| client.list_users(request).await)?;
        let users: Vec<String> = answer.message.users.iter().map(user_text).collect();
        list("users", "user", &users, &answer, self.look);
        Ok(ExitCode::SUCCESS)
    }
}

impl Expand {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let (place, store_id) = self.place.open()?;
        let given = Given::of(&self.with);
        let message = pb::ExpandRequest {
            store_id,
            tuple_key: Some(pb::ExpandRequestTupleKey { relation: self.relation.clone(), object: self.object.clone() }),
            authorization_model_id: self.state.model(),
            contextual_tuples: given.contextual()?,
            ..pb::ExpandRequest::default()
        };
        let request = fresh(message, &self.state.freshness)?;
        let answer = place.ask(async |mut client| client.expand(request).await)?;
        let root = answer.message.tree.as_ref().and_then(|t| t.root.as_ref());
        let root = root.ok_or_else(|| Failure::Said("the server sent no tree".into()))?;
        if self.look.json {
            say(with_token(json!({"tree": {"root": tree::json(root)}}), &answer));
        } else {
            say(tree::draw(root));
        }
        Ok(ExitCode::SUCCESS)
    }
}
