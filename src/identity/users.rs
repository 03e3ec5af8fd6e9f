//! Users: people, and by what they log in.

use super::{
    Answer, Cause, Change, Env, ErrorCode, EventKind, Held, IDENTITY, Leaving, Outcome, Refusal, Seconds, Stored,
    Tenant, again, check_id, hash_of,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Most names by which a user logs in.
pub const LOGINS_MAX: usize = 8;
/// Longest login name.
pub const LOGIN_BYTES_MAX: usize = 256;
/// Longest profile, as JSON.
pub const CLAIMS_BYTES_MAX: usize = 16 << 10;
/// The index of login names: the hash of one, and whose it is.
const LOGIN: u8 = b'l';
/// The marks of users who are gone, and of whom something may be kept elsewhere.
const GONE: u8 = b'Z';

/// A person. Their id is `sub` in tokens and `user:ID` in tuples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Given once and never again.
    pub id: String,
    /// What they log in with, as they wrote it.
    pub logins: Vec<String>,
    /// The profile: OpenID Connect's standard claims by name (Core 5.1), and others.
    pub claims: Map<String, Value>,
    /// When they were created.
    pub created_at: Seconds,
    /// Rises when everything that was ever handed out for them is void: sessions and grants are of an epoch.
    pub epoch: u32,
    /// When they were deleted; then nothing else of them is left.
    pub deleted_at: Option<Seconds>,
}

impl Stored for User {
    const SORT: u8 = b'u';
    const WHAT: &'static str = "user";
}

impl User {
    /// As a subject: `user:ID`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("user:{}", self.id)
    }

    /// What they are called: their name, or what they log in with, or their id.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let name = self.claims.get("name").and_then(Value::as_str);
        name.or(self.logins.first().map(String::as_str)).unwrap_or(&self.id)
    }
}

/// Whose a name is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    id: String,
}

macro_rules! owners {
    ($($name:ident = $sort:expr, $what:literal;)*) => {
        $(
            #[derive(Clone, Serialize, Deserialize)]
            #[serde(transparent)]
            struct $name(Owner);
            impl Stored for $name {
                const SORT: u8 = $sort;
                const WHAT: &'static str = $what;
            }
        )*
    };
}

owners! {
    LoginOf = LOGIN, "login name";
    Taken = b'n', "id";
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The form in which login names are compared: without blanks around, in small letters.
fn normal(login: &str) -> String {
    login.trim().to_lowercase()
}

/// The names of what is different of a person: what stands there is theirs, and in no log.
fn changed_of(before: &User, after: &User) -> Vec<String> {
    let claims: BTreeSet<&String> = before.claims.keys().chain(after.claims.keys()).collect();
    let other = claims.into_iter().filter(|name| before.claims.get(*name) != after.claims.get(*name));
    let logins = (before.logins != after.logins).then(|| "logins".to_owned());
    logins.into_iter().chain(other.cloned()).collect()
}

fn login_part(login: &str) -> String {
    hash_of(&normal(login))
}

fn check_user(logins: &[String], claims: &Map<String, Value>) -> Answer<()> {
    if logins.len() > LOGINS_MAX {
        return Err(invalid("user.logins", format!("a user has at most {LOGINS_MAX} login names")));
    }
    for login in logins {
        let bad = login.len() > LOGIN_BYTES_MAX || login.chars().any(char::is_control) || normal(login).is_empty();
        if bad || logins.iter().filter(|other| normal(other) == normal(login)).count() > 1 {
            let text = "a login name is empty, too long, there twice or has control characters";
            return Err(invalid("user.login", text));
        }
    }
    let bytes = serde_json::to_vec(claims).map(|json| json.len()).unwrap_or(usize::MAX);
    if bytes > CLAIMS_BYTES_MAX {
        return Err(invalid("user.claims", format!("a profile has at most {CLAIMS_BYTES_MAX} bytes as JSON")));
    }
    const OURS: [&str; 14] =
        ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "acr", "amr", "auth_time", "azp", "sid", "act"];
    if let Some(ours) = OURS.iter().find(|claim| claims.contains_key(**claim)) {
        return Err(invalid("user.claims", format!("`{ours}` is said by the server and cannot be in a profile")));
    }
    Ok(())
}

impl Tenant {
    /// Takes an id for good: no user or client had it before, and none will have it after.
    pub(super) fn take_id(&self, change: &mut Change<'_>, id: &str, what: &str) -> Answer<()> {
        check_id(id)?;
        if self.get::<Taken>(&[id])?.is_some() {
            let text = format!("the id `{id}` is given already, or was once; an id is never given again");
            return Err(Refusal::new(ErrorCode::Conflict, "id.taken", text));
        }
        change.create(&[id], &Taken(Owner { id: what.to_owned() }));
        Ok(())
    }

    /// Creates a user. Without an `id` a fresh one is given.
    ///
    /// # Errors
    /// The id or a login name is taken, or something is not right.
    #[expect(clippy::needless_pass_by_value, reason = "a caller has made the map for this; each try takes a copy")]
    pub fn create_user(
        &self,
        id: Option<&str>,
        logins: &[&str],
        claims: Map<String, Value>,
        env: &Env<'_>,
    ) -> Answer<User> {
        let id = id.map_or_else(|| env.id(), str::to_owned);
        again(|| {
            let mut change = self.change(env);
            let user = self.add_user(&mut change, &id, logins, claims.clone(), env)?;
            change.commit()?;
            Ok(user)
        })
    }

    /// As [`Tenant::create_user`], in a change that has more.
    ///
    /// # Errors
    /// As there.
    pub fn add_user(
        &self,
        change: &mut Change<'_>,
        id: &str,
        logins: &[&str],
        claims: Map<String, Value>,
        env: &Env<'_>,
    ) -> Answer<User> {
        let logins: Vec<String> = logins.iter().map(|login| login.trim().to_owned()).collect();
        check_user(&logins, &claims)?;
        let user = User { id: id.to_owned(), logins, claims, created_at: env.seconds(), epoch: 0, deleted_at: None };
        self.take_id(change, id, "user")?;
        for login in &user.logins {
            self.take_login(change, login, id)?;
        }
        change.create(&[id], &user);
        change.relate(&self.object(), "member", &user.subject());
        change.event(&self.event(EventKind::UserCreated, Outcome::Done, env).user(user.subject()));
        Ok(user)
    }

    fn take_login(&self, change: &mut Change<'_>, login: &str, user: &str) -> Answer<()> {
        let part = login_part(login);
        if self.get::<LoginOf>(&[&part])?.is_some() {
            let text = format!("`{login}` is the login name of somebody already");
            return Err(Refusal::new(ErrorCode::Conflict, "user.login.taken", text));
        }
        change.create(&[&part], &LoginOf(Owner { id: user.to_owned() }));
        Ok(())
    }

    /// A user who is not deleted.
    ///
    /// # Errors
    /// There is none.
    pub fn user(&self, id: &str) -> Answer<Held<User>> {
        let held = self.held::<User>(&[id])?;
        if held.deleted_at.is_some() { Err(Refusal::not_found("user")) } else { Ok(held) }
    }

    /// The user who logs in with a name; small and large letters are the same.
    ///
    /// # Errors
    /// The disk failed. That there is none is no error: whether there is must not be told to whom it does not concern.
    pub fn user_by_login(&self, login: &str) -> Answer<Option<Held<User>>> {
        match self.get::<LoginOf>(&[&login_part(login)])? {
            Some(owner) => Ok(Some(self.user(&owner.0.id)?)),
            None => Ok(None),
        }
    }

    /// Users in the order of their ids, behind the id `after`; those that are deleted too.
    ///
    /// # Errors
    /// The disk failed.
    pub fn users(&self, after: Option<&str>, max: usize) -> Answer<Vec<Held<User>>> {
        self.list(&[], after, max)
    }

    /// Changes login names and profile.
    ///
    /// # Errors
    /// A login name is taken, somebody was faster, or something is not right.
    pub fn change_user(
        &self,
        held: &Held<User>,
        logins: &[&str],
        claims: Map<String, Value>,
        env: &Env<'_>,
    ) -> Answer<User> {
        let mut change = self.change(env);
        let user = self.put_user(&mut change, held, (logins, claims), None, env)?;
        change.commit()?;
        Ok(user)
    }

    /// As [`Tenant::change_user`], in a change that has more. With a reason in `signed_out`, all that was ever handed out for
    /// them is void besides, as by [`Tenant::sign_out_everywhere`].
    ///
    /// # Errors
    /// A login name is taken, or something is not right.
    pub fn put_user(
        &self,
        change: &mut Change<'_>,
        held: &Held<User>,
        (logins, claims): (&[&str], Map<String, Value>),
        signed_out: Option<&str>,
        env: &Env<'_>,
    ) -> Answer<User> {
        let logins: Vec<String> = logins.iter().map(|login| login.trim().to_owned()).collect();
        check_user(&logins, &claims)?;
        let has = |list: &[String], login: &str| list.iter().any(|other| normal(other) == normal(login));
        for gone in held.logins.iter().filter(|login| !has(&logins, login)) {
            change.unmark(IDENTITY, LOGIN, &[&login_part(gone)]);
        }
        for fresh in logins.iter().filter(|login| !has(&held.logins, login)) {
            self.take_login(change, fresh, &held.id)?;
        }
        let epoch = held.epoch.saturating_add(u32::from(signed_out.is_some()));
        let user = User { logins, claims, epoch, ..held.value.clone() };
        change.replace(held, &user);
        let changed = changed_of(held, &user).join(" ");
        let event = self.event(EventKind::UserChanged, Outcome::Done, env).user(user.subject());
        change.event(&if changed.is_empty() { event } else { event.detail("changed", changed) });
        if let Some(reason) = signed_out {
            self.end_all(change, &user, (reason, Cause::default()), env);
        }
        Ok(user)
    }

    /// Makes void all that was ever handed out for a user: sessions, grants, tokens. One write, however many there are. Clients
    /// that were given tokens in a session are told.
    ///
    /// # Errors
    /// There is no such user.
    pub fn sign_out_everywhere(&self, user: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            self.user(user)?;
            let mut change = self.change(env);
            self.end_all_of(&mut change, user, reason, env)?;
            change.commit()
        })?;
        Ok(())
    }

    /// Adds to a change what [`Tenant::sign_out_everywhere`] does; nothing for who is not there.
    pub(super) fn end_all_of(&self, change: &mut Change<'_>, user: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
        let held = match self.user(user) {
            Ok(held) => held,
            Err(refusal) if refusal.error == ErrorCode::NotFound => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        self.add_sign_out(change, &held, (reason, Cause::default()), env);
        Ok(())
    }

    /// As [`Tenant::sign_out_everywhere`], in a change that has more; with why, where another system said so.
    pub fn add_sign_out(&self, change: &mut Change<'_>, held: &Held<User>, why: (&str, Cause<'_>), env: &Env<'_>) {
        change.replace(held, &User { epoch: held.epoch.saturating_add(1), ..held.value.clone() });
        self.end_all(change, held, why, env);
    }

    /// Adds to the change that ends all that a user has: the event, and that clients and other systems are to be told.
    fn end_all(&self, change: &mut Change<'_>, user: &User, (reason, cause): (&str, Cause<'_>), env: &Env<'_>) {
        self.note_ended(change, &user.id, None, env);
        self.note_signed_out(change, user, (reason, cause), env);
        let event = self.event(EventKind::SessionEnded, Outcome::Done, env);
        change.event(&event.user(user.subject()).reason(reason).detail("all", "yes"));
    }

    /// Deletes a user: what is left is that the id was theirs. Everything that was handed out for them is void.
    ///
    /// # Errors
    /// There is no such user, or they are the last administrator.
    pub fn delete_user(&self, id: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let mut change = self.change(env);
            self.drop_user(&mut change, &self.user(id)?, env)?;
            change.commit()
        })?;
        Ok(())
    }

    /// As [`Tenant::delete_user`], in a change that has more.
    ///
    /// # Errors
    /// They are the last administrator, or the disk failed.
    pub fn drop_user(&self, change: &mut Change<'_>, held: &Held<User>, env: &Env<'_>) -> Answer<()> {
        self.spare_administrator(change, Leaving::Somebody(&held.subject()))?;
        for login in &held.logins {
            change.unmark(IDENTITY, LOGIN, &[&login_part(login)]);
        }
        for credential in self.credentials(&held.id)? {
            self.drop_credential(change, &credential)?;
        }
        let gone = User {
            id: held.id.clone(),
            logins: Vec::new(),
            claims: Map::new(),
            created_at: held.created_at,
            epoch: held.epoch.saturating_add(1),
            deleted_at: Some(env.seconds()),
        };
        change.replace(held, &gone);
        self.note_ended(change, &held.id, None, env);
        self.note_signed_out(change, held, ("deleted", Cause::default()), env);
        change.unrelate(&self.object(), "member", &held.subject());
        change.mark(IDENTITY, GONE, &[&held.id]);
        change.event(&self.event(EventKind::UserDeleted, Outcome::Done, env).user(held.subject()));
        Ok(())
    }

    /// Users that were deleted and of whom other modules may still keep something, by id, `max` at most.
    ///
    /// # Errors
    /// The disk failed.
    pub fn gone_users(&self, max: usize) -> Answer<Vec<String>> {
        self.marks(IDENTITY, GONE, &[], None, max)
    }

    /// Nothing of a deleted user is kept by other modules any more.
    ///
    /// # Errors
    /// The disk failed.
    pub fn forgot_user(&self, id: &str, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        change.unmark(IDENTITY, GONE, &[id]);
        change.commit()?;
        Ok(())
    }
}
