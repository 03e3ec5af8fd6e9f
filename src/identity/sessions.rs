//! Sessions: a person who has shown who they are, in one browser.
//!
//! The cookie is a secret of which the record has the hash. A session ends by its owner or an administrator, by a time
//! without activity, or at a time that nothing moves.

use super::{
    Answer, Authentication, Change, Env, ErrorCode, EventKind, Held, IDENTITY, Outcome, Refusal, Seconds, Stored,
    Tenant, User, again, hash_of, same,
};
use serde::{Deserialize, Serialize};

/// Most ways of authentication that a session remembers.
pub const AMR_MAX: usize = 8;
/// Sessions of a user that are listed at a time.
pub const SESSIONS_PAGE_MAX: usize = 100;
/// Most live sessions of a user that are shown.
pub const LIVE_SESSIONS_MAX: usize = 100;
/// Most records that are looked at for them: those of sessions that are over stay while something hangs on them.
const LOOKED_AT_MAX: usize = 10_000;
/// How old the last noted activity grows before another is noted: a page costs no write each time.
const NOTED_S: Seconds = 60;
/// The index of the sessions of a user.
const BY_USER: u8 = b'S';

/// What a person has shown just now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// How and when.
    pub authentication: Authentication,
    /// The id of the authorization request on whose pages it was, if it was for one.
    pub request: Option<String>,
}

impl From<Authentication> for Shown {
    fn from(authentication: Authentication) -> Shown {
        Shown { authentication, request: None }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Its id: `sid` in ID tokens. It is no secret.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// The hash of the cookie's secret.
    secret: String,
    /// When it began.
    pub started_at: Seconds,
    /// When there was activity, give or take a minute.
    pub seen_at: Seconds,
    /// Seconds without activity after which it is over.
    pub idle_s: Seconds,
    /// When it is over, whatever happens.
    pub ends_at: Seconds,
    /// Until when its record is kept, because what hangs on it may live longer than it.
    pub(super) kept_until: Seconds,
    /// How the person was authenticated.
    pub authentication: Authentication,
    /// The id of the authorization request for which that was, if it was for one.
    #[serde(default)]
    pub(super) shown_for: Option<String>,
    /// The epoch of the user when it began.
    pub epoch: u32,
    /// What the browser said it is, for its owner to know it again.
    pub browser: String,
    /// From which address it began.
    pub address: String,
    /// When somebody ended it.
    pub ended_at: Option<Seconds>,
}

impl Stored for Session {
    const SORT: u8 = b's';
    const WHAT: &'static str = "session";
}

impl Session {
    /// Whether the person is still signed in.
    #[must_use]
    pub fn is_live(&self, now: Seconds) -> bool {
        self.ended_at.is_none() && now < self.over_at()
    }

    /// When its time is over, if nothing happens in it.
    #[must_use]
    pub fn over_at(&self) -> Seconds {
        self.ends_at.min(self.seen_at.saturating_add(self.idle_s))
    }
}

/// What is told of a browser when a session begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Browser<'a> {
    /// Its `User-Agent`.
    pub name: &'a str,
}

/// Some sessions of a user, how many records were looked at for them, and behind which to go on.
struct SessionsPage {
    sessions: Vec<Held<Session>>,
    looked_at: usize,
    next: Option<String>,
}

impl Tenant {
    /// Begins a session of a user who has just shown who they are. Answers it, and the text of its cookie, which cannot be
    /// read again.
    ///
    /// # Errors
    /// The user may do nothing now, or is not there.
    pub fn start_session(
        &self,
        user: &str,
        shown: impl Into<Shown>,
        browser: Browser<'_>,
        env: &Env<'_>,
    ) -> Answer<(Session, String)> {
        let shown = shown.into();
        let held = self.user(user)?;
        if !self.is_active(&held.subject())? {
            let text = "this account may do nothing for now; ask who runs it";
            return Err(Refusal::new(ErrorCode::AccessDenied, "user.suspended", text));
        }
        let (now, settings, secret) = (env.seconds(), self.settings(), env.secret());
        let ends_at = now.saturating_add(settings.session_s);
        let session = Session {
            id: env.id(),
            user: user.to_owned(),
            secret: hash_of(&secret),
            started_at: now,
            seen_at: now,
            idle_s: settings.session_idle_s,
            ends_at,
            kept_until: ends_at,
            authentication: bounded(shown.authentication),
            shown_for: shown.request,
            epoch: held.epoch,
            browser: browser.name.chars().filter(|c| !c.is_control()).take(200).collect(),
            address: env.address.unwrap_or_default().to_owned(),
            ended_at: None,
        };
        let mut change = self.change(env);
        change.expect(&held);
        change.create(&[&session.id], &session);
        change.expires::<Session>(&[&session.id], ends_at, None);
        change.mark_until(IDENTITY, BY_USER, &[user, &session.id], ends_at, None);
        let event = self.event(EventKind::SessionStarted, Outcome::Done, env).user(held.subject()).session(&session.id);
        let event = event.detail("acr", &session.authentication.acr);
        change.event(&event.detail("amr", session.authentication.amr.join(" ")));
        change.commit()?;
        let cookie = cookie(&session.id, &secret);
        Ok((session, cookie))
    }

    /// The live session of a cookie. `None` when it is none, or over: the person signs in again.
    ///
    /// # Errors
    /// The disk failed.
    pub fn session_of_cookie(&self, cookie: &str, env: &Env<'_>) -> Answer<Option<Held<Session>>> {
        let Some((id, secret)) = cookie.split_once('.') else { return Ok(None) };
        if ulid::Ulid::from_string(id).is_err() {
            return Ok(None);
        }
        let Some(held) = self.get::<Session>(&[id])? else { return Ok(None) };
        if !same(&held.secret, &hash_of(secret)) || !held.is_live(env.seconds()) {
            return Ok(None);
        }
        let Some(user) = self.get::<super::User>(&[&held.user])? else { return Ok(None) };
        Ok((user.epoch == held.epoch && user.deleted_at.is_none()).then_some(held))
    }

    /// Notes activity, at most once in a minute.
    ///
    /// # Errors
    /// The disk failed. That it was changed meanwhile is none: then there was activity.
    pub fn touch_session(&self, held: &Held<Session>, env: &Env<'_>) -> Answer<()> {
        if env.seconds() < held.seen_at.saturating_add(NOTED_S) {
            return Ok(());
        }
        let mut change = self.change(env);
        change.replace(held, &Session { seen_at: env.seconds(), ..held.value.clone() });
        match change.commit() {
            Err(refusal) if !refusal.is_stale() => Err(refusal),
            _ => Ok(()),
        }
    }

    /// The person has shown who they are again, perhaps more strongly. The cookie is another from now on, so that who has
    /// the one before has not what was shown just now. Answers the session as it is, and the text of its cookie.
    ///
    /// # Errors
    /// The session is over, or changed meanwhile.
    pub fn authenticate_session(
        &self,
        held: &Held<Session>,
        shown: impl Into<Shown>,
        env: &Env<'_>,
    ) -> Answer<(Held<Session>, String)> {
        let shown = shown.into();
        if !held.is_live(env.seconds()) {
            return Err(Refusal::new(ErrorCode::LoginRequired, "session.over", "the session is over; sign in again"));
        }
        let secret = env.secret();
        let mut session = held.value.clone();
        session.secret = hash_of(&secret);
        session.seen_at = env.seconds();
        session.authentication = bounded(shown.authentication);
        session.shown_for = shown.request;
        let mut change = self.change(env);
        change.replace(held, &session);
        let event = self.event(EventKind::SessionStarted, Outcome::Done, env).user(format!("user:{}", held.user));
        let event = event.session(&held.id).reason("step-up").detail("acr", &session.authentication.acr);
        change.event(&event);
        change.commit()?;
        let cookie = cookie(&session.id, &secret);
        Ok((self.held(&[&session.id])?, cookie))
    }

    /// Sessions of a user, in the order in which they began, behind the id `after`: those that are over too, as long as
    /// they are kept.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sessions(&self, user: &str, after: Option<&str>) -> Answer<Vec<Held<Session>>> {
        let ids = self.marks(IDENTITY, BY_USER, &[user], after, SESSIONS_PAGE_MAX)?;
        let mut sessions = Vec::with_capacity(ids.len());
        for id in ids {
            sessions.extend(self.get::<Session>(&[&id])?);
        }
        Ok(sessions)
    }

    /// The sessions in which a user is signed in now, the newest first: at most [`LIVE_SESSIONS_MAX`]. Those that began as long
    /// ago as a session lives, and since, are looked at before those from before, of which there may be many that are over.
    ///
    /// # Errors
    /// The disk failed.
    pub fn live_sessions(&self, user: &User, env: &Env<'_>) -> Answer<Vec<Held<Session>>> {
        // Ids are in the order of their time; a setting may have been longer when an older session began.
        let since = env.seconds().saturating_sub(self.settings().session_s).saturating_mul(1_000);
        let since = ulid::Ulid::from_parts(since, 0).to_string();
        let (mut live, mut left) = (Vec::new(), LOOKED_AT_MAX);
        for (begin, end) in [(Some(since.clone()), None), (None, Some(since))] {
            let mut after = begin;
            while left > 0 {
                let page = self.sessions_to(&user.id, after.as_deref(), end.as_deref())?;
                left = left.saturating_sub(page.looked_at);
                let is_live = |held: &Held<Session>| held.is_live(env.seconds()) && held.epoch == user.epoch;
                live.extend(page.sessions.into_iter().filter(is_live));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        live.sort_by(|one, other| other.id.cmp(&one.id));
        live.truncate(LIVE_SESSIONS_MAX);
        Ok(live)
    }

    /// A page of the sessions of a user, up to the one of an id and without it.
    fn sessions_to(&self, user: &str, after: Option<&str>, end: Option<&str>) -> Answer<SessionsPage> {
        let ids = self.marks(IDENTITY, BY_USER, &[user], after, SESSIONS_PAGE_MAX)?;
        let whole = ids.len() == SESSIONS_PAGE_MAX;
        let within: Vec<&String> = ids.iter().take_while(|id| end.is_none_or(|end| id.as_str() <= end)).collect();
        let (looked_at, ended) = (within.len(), within.len() < ids.len());
        let mut sessions = Vec::with_capacity(looked_at);
        for id in within {
            sessions.extend(self.get::<Session>(&[id])?);
        }
        let next = ids.last().filter(|_| whole && !ended).cloned();
        Ok(SessionsPage { sessions, looked_at, next })
    }

    /// Ends a session of a user. All that hangs on it is void from then on, and clients that were given tokens in it are told.
    /// That it is over already is no error.
    ///
    /// # Errors
    /// The user has no such session.
    pub fn end_session(&self, user: &str, id: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
        again(|| {
            let held = self.held::<Session>(&[id])?;
            if held.user != user {
                return Err(Refusal::not_found(Session::WHAT));
            }
            if held.ended_at.is_some() {
                return Ok(());
            }
            let mut change = self.change(env);
            change.replace(&held, &Session { ended_at: Some(env.seconds()), ..held.value.clone() });
            self.note_ended(&mut change, user, Some(id), env);
            let event = self.event(EventKind::SessionEnded, Outcome::Done, env).user(format!("user:{user}"));
            change.event(&event.session(id).reason(reason));
            change.commit()?;
            Ok(())
        })
    }

    /// Ends all sessions of a user but one, which may be none of them: also those whose time is over, on which something may hang
    /// that outlives them (`offline_access`).
    ///
    /// # Errors
    /// The disk failed.
    pub fn end_other_sessions(&self, user: &str, but: &str, reason: &str, env: &Env<'_>) -> Answer<()> {
        let mut after: Option<String> = None;
        loop {
            let ids = self.marks(IDENTITY, BY_USER, &[user], after.as_deref(), SESSIONS_PAGE_MAX)?;
            for id in ids.iter().filter(|id| *id != but) {
                let open = |session: Held<Session>| session.ended_at.is_none() && env.seconds() < session.kept_until;
                if self.get::<Session>(&[id])?.is_some_and(open) {
                    self.end_session(user, id, reason, env)?;
                }
            }
            if ids.len() < SESSIONS_PAGE_MAX {
                return Ok(());
            }
            after = ids.last().cloned();
        }
    }

    /// Keeps the record of a session at least until a time, because something hangs on it that lives so long.
    pub(super) fn keep_session(&self, change: &mut Change<'_>, held: &Held<Session>, until: Seconds) {
        if until <= held.kept_until {
            change.expect(held);
            return;
        }
        change.replace(held, &Session { kept_until: until, ..held.value.clone() });
        change.expires::<Session>(&[&held.id], until, Some(held.kept_until));
        change.mark_until(IDENTITY, BY_USER, &[&held.user, &held.id], until, Some(held.kept_until));
    }
}

fn cookie(id: &str, secret: &str) -> String {
    format!("{id}.{secret}")
}

fn bounded(mut authentication: Authentication) -> Authentication {
    authentication.amr.truncate(AMR_MAX);
    authentication
}
