//! The filter of a caller: what is held for the person, the agent and the connection, and what is held for all others.

use super::Caller;
use super::asserted::Got;
use super::everybody::{Everybody, LookedFor};
use super::lease::Lease;
use super::records::{Connection, HeldCredential, Holder, Secret, client_secret, credentials_of, opened};
use crate::identity::{Answer, Refusal, Tenant, hash_of};
use crate::secrets::{Filter, can_be_guessed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most filters that are kept.
const FILTERS_MAX: usize = 1_024;

/// For whom a filter is: the number of the tenant, the person, the agent, the connection.
type Key = (u32, Option<String>, String, Option<String>);

/// Filters that were made, each beside a hash of the sealed records from which it was.
#[derive(Default)]
pub(super) struct Filters {
    // INVARIANT: at most `FILTERS_MAX`.
    known: Mutex<HashMap<Key, (String, Filter)>>,
    everybody: Everybody,
}

impl Filters {
    /// The filter of a caller, with the tokens that were `got` for it, and of the connection through which it calls with a
    /// lease: its credential may be another already when it is looked for here.
    ///
    /// A secret that could be guessed is looked for in answers of its own connection alone: what is removed tells whether a
    /// guess was right.
    ///
    /// # Errors
    /// A credential does not open: then nothing may be let through.
    pub(super) fn of(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        got: &[Arc<Got>],
        through: Option<(&Connection, &Lease)>,
    ) -> Answer<Filter> {
        let everybody = self.everybody.of(tenant)?;
        Ok(self.of_caller(tenant, caller, got, through)?.with_holdings(everybody))
    }

    /// Looks for a secret that nobody keeps in all answers, while what this answers lives.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn look_for(&self, tenant: &Tenant, owner: String, secret: &Secret) -> Answer<LookedFor> {
        self.everybody.look_for(tenant, owner, secret)
    }

    fn of_caller(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        got: &[Arc<Got>],
        through: Option<(&Connection, &Lease)>,
    ) -> Answer<Filter> {
        let (connection, lease) = through.unzip();
        let mut held: Vec<HeldCredential> = credentials_of(tenant, &Holder::Agent(caller.agent.clone()))?;
        if let Some(user) = &caller.user {
            held.extend(credentials_of(tenant, &Holder::User(user.clone()))?);
        }
        let sealed = connection.and_then(|connection| connection.secret.as_deref());
        let stamp = hash_of(
            &held
                .iter()
                .map(HeldCredential::stamp)
                .chain(lease.map(Lease::stamp))
                .chain(got.iter().map(|got| got.assertion.as_str()))
                .chain(sealed)
                .collect::<Vec<_>>()
                .join(" "),
        );
        let id = connection.map(|connection| connection.spec.id.clone());
        let key = (tenant.number(), caller.user.clone(), caller.agent.clone(), id.clone());
        if let Some((known, filter)) = self.known.lock().get(&key)
            && *known == stamp
        {
            return Ok(filter.clone());
        }
        let secrets = held.iter().map(|held| opened(tenant, held)).collect::<Answer<Vec<_>>>()?;
        let client = connection.map(|connection| client_secret(tenant, connection)).transpose()?.flatten();
        let kept = held.iter().zip(&secrets).map(|(held, secret)| (held.connection.as_str(), secret));
        let kept = kept.chain(got.iter().map(|got| (got.connection.as_str(), &got.secret)));
        let kept = kept.flat_map(|(connection, secret)| {
            let elsewhere = id.as_deref() != Some(connection);
            secret.texts().into_iter().filter(move |text| !elsewhere || !can_be_guessed(text.as_bytes()))
        });
        let lent = lease.into_iter().flat_map(|lease| lease.secret.texts());
        let texts = kept.chain(lent).chain(client.as_deref().map(String::as_str));
        let bytes = with_bytes(texts);
        let filter = Filter::new(bytes.iter().map(|bytes| bytes.as_slice()));
        let filter = filter.map_err(|error| Refusal::failed("filter.secret", error.to_string()))?;
        let mut known = self.known.lock();
        if known.len() >= FILTERS_MAX {
            known.clear();
        }
        known.insert(key, (stamp, filter.clone()));
        Ok(filter)
    }
}

/// Texts as bytes, and what stands in those that are PEM.
pub(super) fn with_bytes<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Zeroizing<Vec<u8>>> {
    let both = |text: &str| [Some(Zeroizing::new(text.as_bytes().to_vec())), within_pem(text)];
    texts.flat_map(both).flatten().collect()
}

/// What stands in a PEM text (RFC 7468): a key leaves no more when somebody takes it out of its lines.
fn within_pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.trim().strip_prefix("-----BEGIN ")?;
    let (_, body) = body.split_once("-----")?;
    let (body, _) = body.split_once("-----END ")?;
    let letters: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
    STANDARD.decode(letters.as_bytes()).ok().map(Zeroizing::new)
}
