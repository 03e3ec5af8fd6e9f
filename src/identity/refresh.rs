//! Refresh tokens: a grant, a generation and a MAC. Each use makes the next generation, and the one before is void.
//!
//! A client that asks twice at once gets the same successor, for as long as the grace lasts: the successor is not stored,
//! it is the same text because it says the same. What was used before that is reuse, and revokes the grant with all that
//! hangs on it (RFC 9700 4.14.2).

use super::keys::KeyChain;
use super::{
    Answer, Caller, Chain, Env, ErrorCode, EventKind, Examined, Grant, Held, Outcome, Refresh, Refusal, Tenant,
    TokenAnswer, TokenKind, Wanted, again,
};

/// What distinguishes refresh tokens from all else that we hand out.
const HEAD: &str = "bwr1";

/// A refresh token of ours, as yet without a look at its grant.
pub(super) struct Presented {
    pub(super) grant: String,
    pub(super) generation: u32,
}

/// The refresh token of a generation of a grant.
pub(super) fn text(keys: &KeyChain, grant: &str, generation: u32) -> String {
    let body = format!("{HEAD}.{grant}.{generation}");
    let mac = keys.mac(&body);
    format!("{body}.{mac}")
}

/// Reads a refresh token, which must be one of ours.
pub(super) fn read(keys: &KeyChain, token: &str) -> Answer<Presented> {
    let unknown = || Refusal::new(ErrorCode::InvalidGrant, "refresh.form", "this is no refresh token of this server");
    let (body, mac) = token.rsplit_once('.').ok_or_else(unknown)?;
    if !keys.mac_is(body, mac) {
        return Err(unknown());
    }
    let mut parts = body.split('.');
    match (parts.next(), parts.next(), parts.next().and_then(|n| n.parse().ok()), parts.next()) {
        (Some(HEAD), Some(grant), Some(generation), None) => Ok(Presented { grant: grant.to_owned(), generation }),
        _ => Err(unknown()),
    }
}

/// What is to be done with a refresh token that was shown.
enum Turn {
    /// It is the newest: the next takes its place.
    Next,
    /// It is the one before, a moment ago: the newest again.
    Same,
    /// It was used before that.
    Reused,
}

fn turn(state: Refresh, shown: u32, now: u64, grace_s: u64) -> Turn {
    if shown == state.generation {
        Turn::Next
    } else if shown.checked_add(1) == Some(state.generation) && now <= state.rotated_at.saturating_add(grace_s) {
        Turn::Same
    } else {
        Turn::Reused
    }
}

impl Tenant {
    /// Uses a refresh token (RFC 6749 6): tokens that are a part of its grant, and the next refresh token.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidGrant`] when it is of no use to this client; more is wanted than was granted.
    pub fn refresh(&self, caller: &Caller, token: &str, wanted: &Wanted, env: &Env<'_>) -> Answer<TokenAnswer> {
        again(|| {
            let shown = read(&*self.keys()?, token)?;
            let chain = self.living(&shown.grant, env)?;
            let held = chain.grants().first().ok_or_else(|| Refusal::failed("grant.missing", "an empty chain"))?;
            let refuse = |rule, text: &str| Refusal::new(ErrorCode::InvalidGrant, rule, text);
            if held.client != caller.client.id {
                return Err(refuse("refresh.client", "this refresh token was given to another client"));
            }
            if held.jkt.is_some() && held.jkt != caller.jkt {
                return Err(refuse("refresh.dpop", "this refresh token is bound to a key, which must be proved"));
            }
            if !env.shows(held.x5t.as_deref()) {
                let text = "this refresh token is bound to a certificate, which must be shown";
                return Err(refuse("refresh.certificate", text));
            }
            let state = held.refresh.ok_or_else(|| refuse("refresh.none", "this grant has no refresh tokens"))?;
            match turn(state, shown.generation, env.seconds(), self.settings().refresh_grace_s) {
                Turn::Next => self.refreshed(caller, &chain, held, state.generation.saturating_add(1), wanted, env),
                Turn::Same => self.refreshed(caller, &chain, held, state.generation, wanted, env),
                Turn::Reused => {
                    self.note_reuse(held, env)?;
                    Err(refuse("refresh.reused", "this refresh token was used before; all that hangs on it is revoked"))
                }
            }
        })
    }

    /// Notes that a refresh token was shown which was used before, and revokes its grant with all that hangs on it.
    fn note_reuse(&self, held: &Held<Grant>, env: &Env<'_>) -> Answer<()> {
        let mut change = self.change(env);
        self.revoke_in(&mut change, held, "refresh.reused", env);
        let event = self.event_of(held, EventKind::TokenReplayed, Outcome::Refused, env);
        change.event(&event.reason("refresh.reused"));
        change.commit()?;
        Ok(())
    }

    /// Judges a token that a client shows in place of its right, as [`Tenant::examine`] does. A refresh token that was used
    /// before the grace is reuse here too: it revokes its grant.
    ///
    /// # Errors
    /// As [`Tenant::examine`].
    pub fn examine_shown(&self, caller: &Caller, token: &str, kind: TokenKind, env: &Env<'_>) -> Answer<Examined> {
        let refusal = match self.examine(token, kind, None, env) {
            Err(refusal) if refusal.rule == "refresh.used" => refusal,
            judged => return judged,
        };
        let shown = read(&*self.keys()?, token)?;
        again(|| {
            let held = self.grant(&shown.grant)?;
            let grace_s = self.settings().refresh_grace_s;
            let reused = held.client == caller.client.id
                && held.revoked_at.is_none()
                && held
                    .refresh
                    .is_some_and(|state| matches!(turn(state, shown.generation, env.seconds(), grace_s), Turn::Reused));
            if reused { self.note_reuse(&held, env) } else { Ok(()) }
        })?;
        Err(refusal)
    }

    /// Revokes the grant of a refresh token of a client's own (RFC 7009 2.1), of whichever generation it is: a client that never
    /// saw the newest has no other to show. Whether it was one; if not, nothing is done.
    ///
    /// # Errors
    /// The disk failed.
    pub fn revoke_refresh(&self, caller: &Caller, token: &str, env: &Env<'_>) -> Answer<bool> {
        let Ok(shown) = read(&*self.keys()?, token) else { return Ok(false) };
        let Some(held) = self.get::<Grant>(&[&shown.grant])? else { return Ok(false) };
        if held.client != caller.client.id {
            return Ok(false);
        }
        self.revoke_grant(&held.id, "client", env)?;
        Ok(true)
    }

    fn refreshed(
        &self,
        caller: &Caller,
        chain: &Chain,
        held: &Held<Grant>,
        generation: u32,
        wanted: &Wanted,
        env: &Env<'_>,
    ) -> Answer<TokenAnswer> {
        let mut change = self.change(env);
        chain.expect(&mut change);
        let mut grant = held.value.clone();
        if grant.refresh.is_some_and(|state| state.generation != generation) {
            grant.refresh = Some(Refresh { generation, rotated_at: env.seconds() });
            change.replace(held, &grant);
        }
        grant.nonce = None; // OpenID Connect Core 12.2: only the first ID token has it
        let answer = self.issue(&mut change, caller, &grant, wanted, env)?;
        change.commit()?;
        Ok(answer)
    }
}
