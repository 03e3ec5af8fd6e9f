//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): when a session ends, the clients that were given tokens in it
//! are told.
//!
//! Which clients those are is noted with the tokens. That a session ended is noted in the write that ends it, and lies in the
//! database until every client was told, or did not answer for too long. That a session is over by its time is told to nobody:
//! what hangs on it has the same end.

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
/// Clients that one write turns to calls.
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
}

impl Stored for SessionClient {
    const SORT: u8 = b'L';
    const WHAT: &'static str = "client of a session";
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
        let web = url.scheme() == "https" || (url.scheme() == "http" && super::is_loopback(url));
        web && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
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
    pub(super) fn note_session_client(&self, change: &mut Change<'_>, grant: &Grant, client: &Client) -> Answer<()> {
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
        let (user, session, id) = (user.to_owned(), session.clone(), client.id.clone());
        let noted = SessionClient { user, session, client: id, until };
        match &before {
            Some(held) => change.replace(held, &noted),
            None => change.create(&parts, &noted),
        }
        change.expires::<SessionClient>(&parts, until, before.map(|held| held.until));
        Ok(())
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
                // Who registered no URI any more wants to know nothing any more.
                if self.logout_uri(&held.client)?.is_none() {
                    continue;
                }
                let id = env.id();
                let (user, session, client) = (held.user.clone(), held.session.clone(), held.client.clone());
                let call = LogoutCall { id: id.clone(), user, session, client, due_at: env.seconds(), tries: 0 };
                change.create(&[&id], &call);
                change.expires::<LogoutCall>(&[&id], env.seconds().saturating_add(REMEMBERED_S), None);
                calls += 1;
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
