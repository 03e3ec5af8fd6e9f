//! Administration of trusted issuers. Each change and its event are one write.

use super::admin::{invalid, too_many};
use super::records::{EXCHANGE, GRANTS_OF_ISSUER, ROWS_MAX, TrustedIssuer};
use crate::identity::{Answer, Env, EventKind, Held, Outcome, Refusal, Tenant, again, hash_of};

/// Grants that are revoked in one write.
const REVOKED_PER_WRITE: usize = 100;

/// The issuers that a tenant trusts.
///
/// # Errors
/// The disk failed.
pub fn trusted_issuers(tenant: &Tenant) -> Answer<Vec<Held<TrustedIssuer>>> {
    tenant.list(&[], None, ROWS_MAX)
}

/// The row of an issuer, when it is trusted.
///
/// # Errors
/// The disk failed.
pub fn trusted_issuer(tenant: &Tenant, issuer: &str) -> Answer<Option<Held<TrustedIssuer>>> {
    Ok(tenant.get::<TrustedIssuer>(&[&hash_of(issuer)])?.filter(|row| row.issuer == issuer))
}

/// Trusts an issuer, or changes how far.
///
/// # Errors
/// Something in the row is not right.
pub fn trust(tenant: &Tenant, row: &TrustedIssuer, env: &Env<'_>) -> Answer<()> {
    row.check(tenant.issuer())?;
    for resource in &row.resources {
        if tenant.resource(resource)?.is_none() {
            return Err(invalid("trust.resources", format!("there is no resource `{resource}`; make it first")));
        }
    }
    for client in &row.clients {
        tenant.client(client).map_err(|_| invalid("trust.clients", format!("there is no client `{client}`")))?;
    }
    again(|| {
        let (part, mut change) = (hash_of(&row.issuer), tenant.change(env));
        match trusted_issuer(tenant, &row.issuer)? {
            Some(held) => change.replace(&held, &TrustedIssuer { created_at: held.created_at, ..row.clone() }),
            None if trusted_issuers(tenant)?.len() >= ROWS_MAX => return Err(too_many()),
            None => change.create(&[&part], &TrustedIssuer { created_at: env.seconds(), ..row.clone() }),
        }
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(&row.issuer);
        change.event(&event.action("trust.put"));
        change.commit()
    })?;
    Ok(())
}

/// Trusts an issuer no longer, and revokes what its assertions were redeemed for. Answers how many grants that were.
///
/// The row goes first, and every redemption rests on it, so that none comes after. When this is interrupted behind that, do
/// it again: what is left is revoked then.
///
/// # Errors
/// There is nothing to take away, or the disk failed.
pub fn distrust(tenant: &Tenant, issuer: &str, env: &Env<'_>) -> Answer<usize> {
    let known = again(|| {
        let Some(held) = trusted_issuer(tenant, issuer)? else { return Ok(false) };
        let mut change = tenant.change(env);
        change.remove(&held);
        let event = tenant.event(EventKind::PolicyChanged, Outcome::Done, env).resource(issuer);
        change.event(&event.action("trust.remove"));
        change.commit()?;
        Ok(true)
    })?;
    let part = hash_of(issuer);
    let (mut revoked, mut after): (usize, Option<String>) = (0, None);
    loop {
        let page = tenant.marks(EXCHANGE, GRANTS_OF_ISSUER, &[&part], after.as_deref(), REVOKED_PER_WRITE)?;
        revoked += again(|| revoke(tenant, &page, env))?;
        if page.len() < REVOKED_PER_WRITE {
            break;
        }
        after = page.last().cloned();
    }
    if known || revoked > 0 { Ok(revoked) } else { Err(Refusal::not_found("trusted issuer")) }
}

/// Revokes those of some grants that live, in one write.
fn revoke(tenant: &Tenant, ids: &[String], env: &Env<'_>) -> Answer<usize> {
    let (mut change, mut live) = (tenant.change(env), 0);
    for id in ids {
        let Ok(held) = tenant.grant(id) else { continue }; // swept: it was over long ago
        if held.is_live(env.seconds()) {
            tenant.revoke_in(&mut change, &held, "trust.removed", env);
            live += 1;
        }
    }
    if live > 0 {
        change.commit()?;
    }
    Ok(live)
}
