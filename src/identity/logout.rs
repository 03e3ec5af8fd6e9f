//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): when a session ends, the clients that were given tokens in it
//! are told.
//!
//! Which clients those are is noted with the tokens. That a session ended is noted in the write that ends it, and lies in the
//! database until every client was told, or did not answer for too long. That one is over by its time is in no write: such a
//! session is looked at when its time may have come, and again when there was activity meanwhile.

use super::{
    Answer, Change, Client, Env, ErrorCode, EventKind, Grant, Held, Outcome, PAGE_MAX, Refusal, Seconds, Session,
    SigningAlgorithm, Stored, Tenant,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long a logout token is good (OpenID Connect Back-Channel Logout 1.0, 2.4: two minutes at most).
pub const LOGOUT_TOKEN_LIFE_S: Seconds = 120;
/// How often a client is called.
pub const LOGOUT_TRIES_MAX: u32 = 8;
/// Longest URL of a client to which logouts are told.
pub const LOGOUT_URI_BYTES_MAX: usize = super::REDIRECT_URI_BYTES_MAX;
/// The member of `events` (2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long it waits before it calls again: so many seconds, and twice as many each time.
const WAIT_S: Seconds = 10;
/// Clients that one write turns to calls, and sessions that are looked at in one go.
const SPREAD_MAX: usize = 100;
/// Calls that are answered as due at a time.
const DUE_MAX: usize = 200;
/// How long a session that ended is remembered while no server runs that could tell.
const REMEMBERED_S: Seconds = 24 * 3_600;

/// A client that was given tokens in a session, and wants to know when that ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionClient {
    user: String,
    session: String,
    client: String,
    until: Seconds,
    /// Whether it was told that the session's time is over, or came later. It may have tokens that outlive it, of whose end it is
    /// told too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    over: bool,
}

impl Stored for SessionClient {
    const SORT: u8 = b'L';
    const WHAT: &'static str = "client of a session";
}

/// A session in which clients were given tokens, by the time at which it may be over: it stands first in the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Watched {
    due_at: Seconds,
    user: String,
    session: String,
}

impl Stored for Watched {
    const SORT: u8 = b'O';
    const WHAT: &'static str = "session that may be over";
}

/// A time as text that sorts as times do.
fn padded(at: Seconds) -> String {
    format!("{at:020}")
}

/// A session that ended, or all of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    user: String,
    session: Option<String>,
}

impl Stored for Ended {
    const SORT: u8 = b'E';
    const WHAT: &'static str = "ended session";
}

/// A client that is to be told of a session that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogoutCall {
    /// Its id.
    pub id: String,
    /// Whose session it was.
    pub user: String,
    /// The session.
    pub session: String,
    /// The client.
    pub client: String,
    /// When it is to be called.
    pub due_at: Seconds,
    /// How often it was called in vain.
    pub tries: u32,
}

impl Stored for LogoutCall {
    const SORT: u8 = b'C';
    const WHAT: &'static str = "logout to be told";
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutTold {
    /// The client knows.
    Done,
    /// It did not answer, or not now: it is called again.
    Later(&'static str),
    /// It refused, or cannot be called: it is not called again.
    Never(&'static str),
}

/// What a logout URI may be (2.2): absolute and `https`, or `http` of this machine, without a fragment.
pub(super) fn check_uri(uri: &str) -> Answer<()> {
    let fine = |url: &url::Url| {
        super::is_secure(url) && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
    };
    if uri.len() > LOGOUT_URI_BYTES_MAX || !url::Url::parse(uri).is_ok_and(|url| fine(&url)) {
        let text = format!("`{uri}` cannot be told of logouts; use an https URL without fragment and user");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "client.logout_uri", text));
    }
    Ok(())
}

impl Tenant {
    /// Adds to the change that makes tokens in a session that their client is to be told when it ends. The first time it rests
    /// on the session, so that none that ends in this moment is missed.
    pub(super) fn note_session_client(
        &self,
        change: &mut Change<'_>,
        grant: &Grant,
        client: &Client,
        env: &Env<'_>,
    ) -> Answer<()> {
        let (Some(session), Some(user), Some(_)) = (&grant.session, grant.user(), &client.backchannel_logout_uri)
        else {
            return Ok(());
        };
        let parts = [user, session.as_str(), client.id.as_str()];
        let before = self.get::<SessionClient>(&parts)?;
        if before.as_ref().is_some_and(|held| held.until >= grant.expires_at) {
            return Ok(());
        }
        let of = self.held::<Session>(&[session])?;
        let until = of.kept_until.max(grant.expires_at);
        change.expect(&of);
        let over = before.as_ref().map_or(!of.is_live(env.seconds()), |held| held.over);
        if before.is_none() && !over {
            self.watch(change, &of);
        }
        let (user, session, id) = (user.to_owned(), session.clone(), client.id.clone());
        let noted = SessionClient { user, session, client: id, until, over };
        match &before {
            Some(held) => change.replace(held, &noted),
            None => change.create(&parts, &noted),
        }
        change.expires::<SessionClient>(&parts, until, before.map(|held| held.until));
        Ok(())
    }

    /// Adds to a change that a session is looked at when its time may be over.
    fn watch(&self, change: &mut Change<'_>, session: &Session) {
        let (due_at, user, session) = (session.over_at(), session.user.clone(), session.id.clone());
        change.put(&[&padded(due_at), &session.clone()], &Watched { due_at, user, session });
    }

    /// Looks at sessions whose time may be over, a hundred at most, and makes calls of those where it is: one for each client. A
    /// session in which there was activity is looked at again when that is long enough ago. Answers how many calls. One caller
    /// at a time.
    ///
    /// # Errors
    /// The disk failed.
    pub fn expire_sessions(&self, env: &Env<'_>) -> Answer<usize> {
        // The first is due first, and mostly none is: this is asked every second.
        let due = |watched: &Held<Watched>| watched.due_at <= env.seconds();
        if !self.list::<Watched>(&[], None, 1)?.first().is_some_and(due) {
            return Ok(0);
        }
        let mut calls = 0;
        for watched in self.list::<Watched>(&[], None, SPREAD_MAX)? {
            if !due(&watched) {
                break;
            }
            let session = self.get::<Session>(&[&watched.session])?;
            let mut change = self.change(env);
            match &session {
                Some(session) if session.is_live(env.seconds()) => self.watch(&mut change, session),
                // Who ended it has said so.
                Some(session) if session.ended_at.is_some() => {}
                Some(_) | None => {
                    let (made, all) = self.tell_over(&watched, env)?;
                    calls += made;
                    if !all {
                        continue; // it is looked at again
                    }
                }
            }
            change.remove(&watched);
            change.commit()?;
        }
        Ok(calls)
    }

    /// Makes calls of a session whose time is over. Answers how many, and whether that is all: tokens that outlive the session
    /// may be made for a client in this moment.
    fn tell_over(&self, of: &Watched, env: &Env<'_>) -> Answer<(usize, bool)> {
        let (mut calls, mut all, mut after) = (0, true, None::<String>);
        loop {
            let page = self.list::<SessionClient>(&[&of.user, &of.session], after.as_deref(), SPREAD_MAX)?;
            for held in page.iter().filter(|held| !held.over) {
                let mut change = self.change(env);
                change.replace(held, &SessionClient { over: true, ..held.value.clone() });
                let called = self.call(&mut change, held, env)?;
                match change.commit() {
                    Ok(_) => calls += usize::from(called),
                    Err(refusal) if refusal.is_stale() => all = false,
                    Err(refusal) => return Err(refusal),
                }
            }
            after = page.last().map(|held| held.client.clone()).filter(|_| page.len() == SPREAD_MAX);
            if after.is_none() {
                return Ok((calls, all));
            }
        }
    }

    /// Adds to a change that a client is to be called. Who registered no URI any more wants to know nothing any more; answers
    /// whether it does.
    fn call(&self, change: &mut Change<'_>, held: &SessionClient, env: &Env<'_>) -> Answer<bool> {
        if self.logout_uri(&held.client)?.is_none() {
            return Ok(false);
        }
        let id = env.id();
        let (user, session, client) = (held.user.clone(), held.session.clone(), held.client.clone());
        let call = LogoutCall { id: id.clone(), user, session, client, due_at: env.seconds(), tries: 0 };
        change.create(&[&id], &call);
        change.expires::<LogoutCall>(&[&id], env.seconds().saturating_add(REMEMBERED_S), None);
        Ok(true)
    }

    /// Adds to the change that ends a session of a user, or all, that clients are to be told.
    pub(super) fn note_ended(&self, change: &mut Change<'_>, user: &str, session: Option<&str>, env: &Env<'_>) {
        let id = env.id();
        change.create(&[&id], &Ended { user: user.to_owned(), session: session.map(str::to_owned) });
        change.expires::<Ended>(&[&id], env.seconds().saturating_add(REMEMBERED_S), None);
    }

    /// Makes calls of sessions that ended: one for each client, and each once. Answers how many. One caller at a time.
    ///
    /// # Errors
    /// The disk failed.
    pub fn spread_logouts(&self, env: &Env<'_>) -> Answer<usize> {
        let mut calls = 0;
        for ended in self.list::<Ended>(&[], None, SPREAD_MAX)? {
            let mut of = vec![ended.user.as_str()];
            of.extend(ended.session.as_deref());
            let clients = self.list::<SessionClient>(&of, None, SPREAD_MAX)?;
            let mut change = self.change(env);
            for held in &clients {
                change.remove(held);
                calls += usize::from(self.call(&mut change, held, env)?);
            }
            if clients.len() < SPREAD_MAX {
                change.remove(&ended);
            }
            match change.commit() {
                Err(refusal) if !refusal.is_stale() => return Err(refusal),
                _ => {} // a token was made in this moment: the next call finds what is left
            }
        }
        Ok(calls)
    }

    fn logout_uri(&self, client: &str) -> Answer<Option<(String, SigningAlgorithm)>> {
        match self.client(client) {
            Ok(Held {
                value: Client { backchannel_logout_uri: uri, id_token_signed_response_alg: alg, .. }, ..
            }) => Ok(uri.map(|uri| (uri, alg))),
            Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Calls that are due, a few hundred at most; those that began first, first.
    ///
    /// # Errors
    /// The disk failed.
    pub fn due_logouts(&self, env: &Env<'_>) -> Answer<Vec<Held<LogoutCall>>> {
        let (mut due, mut after) = (Vec::new(), None);
        loop {
            let page = self.list::<LogoutCall>(&[], after.as_deref(), PAGE_MAX)?;
            after = page.last().map(|held| held.id.clone()).filter(|_| page.len() == PAGE_MAX);
            due.extend(page.into_iter().filter(|held| held.due_at <= env.seconds()));
            due.truncate(DUE_MAX);
            if after.is_none() || due.len() == DUE_MAX {
                return Ok(due);
            }
        }
    }

    /// Where a call goes, and the logout token that it brings, signed as the client's ID tokens (2.4, 2.6); nothing when the client does not want it any more.
    ///
    /// # Errors
    /// The keys cannot be opened.
    pub fn logout_token(&self, call: &LogoutCall, env: &Env<'_>) -> Answer<Option<(String, String)>> {
        let Some((uri, algorithm)) = self.logout_uri(&call.client)? else { return Ok(None) };
        let now = env.seconds();
        let claims = json!({
            "iss": self.issuer(), "sub": call.user, "aud": call.client, "iat": now,
            "exp": now.saturating_add(LOGOUT_TOKEN_LIFE_S), "jti": env.secret(), "sid": call.session,
            "events": {EVENT: {}},
        });
        Ok(Some((uri, self.keys()?.sign(algorithm, "logout+jwt", &claims, now)?)))
    }

    /// Notes how a call went: done or given up, as an event; or when it is made again.
    ///
    /// # Errors
    /// The disk failed.
    pub fn settle_logout(&self, call: &Held<LogoutCall>, told: LogoutTold, env: &Env<'_>) -> Answer<()> {
        let (mut change, tries) = (self.change(env), call.tries.saturating_add(1));
        let (outcome, why) = match told {
            LogoutTold::Later(_) if tries < LOGOUT_TRIES_MAX => {
                let due_at = env.seconds().saturating_add(WAIT_S.saturating_mul(1 << call.tries.min(LOGOUT_TRIES_MAX)));
                change.replace(call, &LogoutCall { due_at, tries, ..call.value.clone() });
                change.commit()?;
                return Ok(());
            }
            LogoutTold::Done => (Outcome::Done, None),
            LogoutTold::Later(why) | LogoutTold::Never(why) => (Outcome::Failed, Some(why)),
        };
        change.remove(call);
        let event = self.event(EventKind::LogoutTold, outcome, env).user(format!("user:{}", call.user));
        let event = event.client(self.client_subject(&call.client)?).session(&call.session);
        let event = event.detail("tries", tries.to_string());
        change.event(&why.into_iter().fold(event, |event, why| event.reason(why)));
        change.commit()?;
        Ok(())
    }
}
