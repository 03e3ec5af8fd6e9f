//! Seals with the newest key of the ring what older ones sealed, so that those can go.

use super::{
    ClientKey, Connection, Credential, HeldCredential, OfAgent, OfUser, client_secret, credential_place, is_newest,
    open, opened_key, put, seal, seal_client_key, seal_client_secret,
};
use crate::identity::{Answer, Change, Env, Held, Refusal, Tenant};

/// Where a walk over all sealed records stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealCursor {
    sort: Sort,
    after: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Connections,
    Users,
    Agents,
}

/// Seals what an older key of the ring sealed with the newest, for at most `max` records behind the cursor. Answers how many
/// it sealed anew, and the cursor to go on from; none when all have been looked at. Records that change meanwhile were sealed
/// with the newest key by who changed them. One that does not open is passed over, and the log says which: it keeps nobody
/// else's from being sealed anew.
///
/// # Errors
/// The disk failed.
pub fn reseal(
    tenant: &Tenant,
    cursor: ResealCursor,
    max: usize,
    env: &Env<'_>,
) -> Answer<(usize, Option<ResealCursor>)> {
    let ResealCursor { sort, after } = cursor;
    let (last, full, sealed) = match sort {
        Sort::Connections => {
            let page = tenant.list::<Connection>(&[], after.as_deref(), max)?;
            let mut count = 0;
            for held in &page {
                count += reseal_connection(tenant, held, env)?;
            }
            (page.last().map(|held| held.spec.id.clone()), page.len() == max, count)
        }
        Sort::Users => {
            let page = tenant.list::<OfUser>(&[], after.as_deref(), max)?;
            let full = page.len() == max;
            let all = page.into_iter().map(HeldCredential::of_user);
            reseal_credentials(tenant, all, env).map(|(last, count)| (last, full, count))?
        }
        Sort::Agents => {
            let page = tenant.list::<OfAgent>(&[], after.as_deref(), max)?;
            let full = page.len() == max;
            let all = page.into_iter().map(HeldCredential::of_agent);
            reseal_credentials(tenant, all, env).map(|(last, count)| (last, full, count))?
        }
    };
    let next = match (full, sort) {
        (true, sort) => Some(ResealCursor { sort, after: last }),
        (false, Sort::Connections) => Some(ResealCursor { sort: Sort::Users, after: None }),
        (false, Sort::Users) => Some(ResealCursor { sort: Sort::Agents, after: None }),
        (false, Sort::Agents) => None,
    };
    Ok((sealed, next))
}

fn reseal_connection(tenant: &Tenant, held: &Held<Connection>, env: &Env<'_>) -> Answer<usize> {
    let sealed = held.secret.iter().chain(held.keys.iter().map(|key| &key.sealed));
    if sealed.into_iter().all(|sealed| is_newest(tenant, sealed)) {
        return Ok(0);
    }
    let id = &held.spec.id;
    let opened = client_secret(tenant, held).and_then(|secret| {
        let keys = held.keys.iter().map(|key| opened_key(tenant, id, key)).collect::<Answer<Vec<_>>>()?;
        Ok((secret, keys))
    });
    let (secret, private) = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            passed_over(tenant, &held.object(), &refusal);
            return Ok(0);
        }
    };
    let secret = secret.map(|plain| seal_client_secret(tenant, id, &plain, env)).transpose()?;
    let again = held.keys.iter().zip(&private).map(|(key, private)| {
        let sealed = seal_client_key(tenant, (id, &key.kid), private, env)?;
        Ok(ClientKey { sealed, ..key.clone() })
    });
    let keys = again.collect::<Answer<Vec<_>>>()?;
    let mut change = tenant.change(env);
    change.replace(held, &Connection { secret, keys, ..held.value.clone() });
    done(change)
}

fn reseal_credentials(
    tenant: &Tenant,
    page: impl Iterator<Item = HeldCredential>,
    env: &Env<'_>,
) -> Answer<(Option<String>, usize)> {
    let (mut last, mut count) = (None, 0);
    for held in page {
        last = Some(format!("{}\0{}", held.connection, held.holder.part()));
        if is_newest(tenant, &held.sealed) {
            continue;
        }
        let place = credential_place(tenant, &held.connection, &held.holder);
        let plain = match open(tenant, held.holder.hierarchy(), &place, &held.sealed) {
            Ok(plain) => plain,
            Err(refusal) => {
                passed_over(tenant, &format!("connection:{} of {}", held.connection, held.holder.subject()), &refusal);
                continue;
            }
        };
        let sealed = seal(tenant, held.holder.hierarchy(), &place, &plain, env)?;
        let mut change = tenant.change(env);
        let credential = Credential { sealed, ..(*held).clone() };
        put(&mut change, (&held.connection, &held.holder), Some(&held), &credential);
        count += done(change)?;
    }
    Ok((last, count))
}

fn passed_over(tenant: &Tenant, what: &str, refusal: &Refusal) {
    tracing::error!(tenant = tenant.name(), what, %refusal, "a secret of the vault does not open and was not sealed anew");
}

fn done(change: Change<'_>) -> Answer<usize> {
    match change.commit() {
        Ok(_) => Ok(1),
        Err(refusal) if refusal.is_stale() => Ok(0),
        Err(refusal) => Err(refusal),
    }
}
