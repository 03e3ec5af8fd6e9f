//! What an agent shows to prove who it is: keys, the word of the platform on which it runs, and secrets for what can have
//! neither; several at a time, so that one can follow another without a gap.

use super::edit::{conflict, field};
use super::records::LastUse;
use super::stage::{Stage, Who};
use super::{Agent, By, Registry};
use crate::identity::{
    Answer, AssertionChain, AuthMethod, Client, ClientKeys, Env, ErrorCode, EventKind, Held, Refusal, Seconds,
    TlsSubject, Workload, again,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The step in which the last use of a credential is noted, in seconds: a token request costs no write each time.
pub const USE_STEP_S: Seconds = 3_600;
/// Longest id of a credential whose use is noted.
const CREDENTIAL_BYTES_MAX: usize = 256;
/// What is said of every secret.
const SECRET_WARNING: &str = "a secret can be copied from wherever it is kept; use a key pair (`private_key_jwt`) if the \
                              agent can have one, and rotate this secret at least every 90 days";

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSort {
    /// A shared secret.
    Secret,
    /// A public key whose private part the agent alone has.
    Key,
    /// Public keys at a URL.
    KeySet,
    /// A certificate with a subject, by an authority that is trusted (RFC 8705 2.1).
    Certificate,
    /// A certificate with a subject that assertions carry, by an authority of the agent's own (`x5c`).
    Chain,
    /// The word of another issuer that it is a workload.
    Workload,
}

/// A credential as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CredentialInfo {
    /// What kind.
    pub sort: CredentialSort,
    /// Its id: of a secret, the `kid` of a key, the URL, the workload's issuer and subject, or a certificate's subject.
    pub id: String,
    /// When it was made, if we made it.
    pub created_at: Option<Seconds>,
    /// Until when it is good.
    pub expires_at: Option<Seconds>,
    /// When it was last used, give or take [`USE_STEP_S`].
    pub used_at: Option<Seconds>,
    /// What is better done.
    pub warning: Option<&'static str>,
}

/// A secret that was made. It can be read here, and nowhere else again. It has no `Debug`.
pub struct Issued {
    /// Its id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// What is said of every secret.
    pub warning: &'static str,
}

/// How an agent may show who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    /// One of these in each request.
    pub auth_methods: Vec<AuthMethod>,
    /// The subject of its certificate, for `tls_client_auth` (RFC 8705 2.1.2).
    #[serde(default)]
    pub tls_subject: Option<TlsSubject>,
    /// Whether its tokens are bound to the certificate that it shows (RFC 8705 3). When it is not said they are if it can show
    /// nothing else.
    #[serde(default)]
    pub certificate_bound: Option<bool>,
}

/// The keys that an agent is to have.
#[derive(Clone, Debug, PartialEq)]
pub enum NewKeys {
    /// These, a JWK set of public keys.
    Jwks(Value),
    /// Those at an `https` URL.
    JwksUri(String),
    /// None any more.
    None,
}

fn takes_secrets(methods: &[AuthMethod]) -> bool {
    methods.contains(&AuthMethod::ClientSecretBasic) || methods.contains(&AuthMethod::ClientSecretPost)
}

fn names(methods: &[AuthMethod]) -> String {
    methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ")
}

impl<'a> Registry<'a> {
    /// What an agent can show.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn credentials(&self, id: &str) -> Answer<Vec<CredentialInfo>> {
        if self.record(id)?.stage == Stage::Retired {
            return Ok(Vec::new());
        }
        let client = self.tenant.client(id)?;
        let used = |credential: &str| -> Answer<Option<Seconds>> {
            Ok(self.tenant.get::<LastUse>(&[id, credential])?.map(|held| held.at))
        };
        let mut all = Vec::new();
        for secret in &client.secrets {
            all.push(CredentialInfo {
                sort: CredentialSort::Secret,
                id: secret.id.clone(),
                created_at: Some(secret.created_at),
                expires_at: secret.expires_at,
                used_at: used(&secret.id)?,
                warning: Some(SECRET_WARNING),
            });
        }
        let mut key = |sort, id: &str| -> Answer<()> {
            let used_at = if id.len() <= CREDENTIAL_BYTES_MAX { used(id)? } else { None };
            let id = id.to_owned();
            all.push(CredentialInfo { sort, id, created_at: None, expires_at: None, used_at, warning: None });
            Ok(())
        };
        match &client.keys {
            Some(ClientKeys::Jwks(set)) => {
                let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                for jwk in keys {
                    key(CredentialSort::Key, jwk.get("kid").and_then(Value::as_str).unwrap_or("without kid"))?;
                }
            }
            Some(ClientKeys::JwksUri(uri)) => key(CredentialSort::KeySet, uri)?,
            None => {}
        }
        if let Some(subject) = &client.tls_subject {
            key(CredentialSort::Certificate, &subject.to_string())?;
        }
        if let Some(chain) = &client.assertion_chain {
            key(CredentialSort::Chain, &chain.subject.to_string())?;
        }
        client.workloads.iter().try_for_each(|workload| key(CredentialSort::Workload, &workload.name()))?;
        Ok(all)
    }

    /// Makes a secret. With `overlap_s` the others are good for so long from now, and no longer: a rotation; 0 ends them at
    /// once.
    ///
    /// # Errors
    /// They may not, the agent may not show secrets, or it has as many as there can be.
    pub fn add_secret(
        &self,
        by: By<'a>,
        id: &str,
        life_s: Option<Seconds>,
        overlap_s: Option<Seconds>,
        env: &Env<'_>,
    ) -> Answer<Issued> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "secret.add", env)?;
            if !takes_secrets(&client.auth_methods) {
                let text = "this agent may not show secrets; allow `client_secret_basic` first, or give it keys";
                return Err(Refusal::new(ErrorCode::InvalidRequest, "agent.secret.method", text));
            }
            let made = self.tenant.push_secret(&mut edit.change, &client, (life_s, overlap_s), env)?;
            edit.fields.push(field("secret", None, Some(&made.0)));
            self.finish(edit, EventKind::AgentChanged, env)?;
            Ok(Issued { id: made.0, secret: made.1, warning: SECRET_WARNING })
        })
    }

    /// Takes a secret away; it is of no use from now on.
    ///
    /// # Errors
    /// They may not, or there is none of this id.
    pub fn remove_secret(&self, by: By<'a>, id: &str, secret: &str, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "secret.remove", env)?;
            self.tenant.pull_secret(&mut edit.change, &client, secret, env)?;
            edit.fields.push(field("secret", Some(secret), None));
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Sets the keys of an agent, all at once: to rotate, first the old and the new, then the new alone. An agent that has
    /// keys and no secrets shows keys alone from then on.
    ///
    /// # Errors
    /// They may not, or they are no public keys.
    pub fn set_keys(&self, by: By<'a>, id: &str, keys: &NewKeys, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "keys", env)?;
            let mut wanted = client.value.clone();
            wanted.keys = match keys {
                NewKeys::Jwks(set) => Some(ClientKeys::Jwks(set.clone())),
                NewKeys::JwksUri(uri) => Some(ClientKeys::JwksUri(uri.clone())),
                NewKeys::None => None,
            };
            // Whoever shows a certificate with one of its keys goes on to.
            let by_certificate = wanted.auth_methods.contains(&AuthMethod::SelfSignedTlsClientAuth);
            let by_key = wanted.assertion_chain.is_some() || (wanted.keys.is_some() && !by_certificate);
            let methods: &[AuthMethod] = if by_key { &[AuthMethod::PrivateKeyJwt] } else { &[] };
            show_by(&mut wanted, &[AuthMethod::PrivateKeyJwt], methods);
            self.tenant.put_client(&mut edit.change, &client, &wanted, env)?;
            let kids = |client: &Client| client.keys.as_ref().map(ClientKeys::names);
            edit.fields.push(field("keys", kids(&client).as_deref(), kids(&wanted).as_deref()));
            self.methods_field(&mut edit.fields, &client, &wanted);
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Sets by which certificates of its assertions an agent is known (`x5c`), or that it is by none. An agent that is and has no
    /// secrets shows none from then on.
    ///
    /// # Errors
    /// They may not, or nobody could be known so.
    pub fn set_chain(&self, by: By<'a>, id: &str, chain: Option<&AssertionChain>, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "chain", env)?;
            let mut wanted = Client { assertion_chain: chain.cloned(), ..client.value.clone() };
            let by_certificate = wanted.auth_methods.contains(&AuthMethod::SelfSignedTlsClientAuth);
            let by_key = chain.is_some() || (wanted.keys.is_some() && !by_certificate);
            let methods: &[AuthMethod] = if by_key { &[AuthMethod::PrivateKeyJwt] } else { &[] };
            show_by(&mut wanted, &[AuthMethod::PrivateKeyJwt], methods);
            self.tenant.put_client(&mut edit.change, &client, &wanted, env)?;
            let name = |client: &Client| client.assertion_chain.as_ref().map(AssertionChain::name);
            edit.fields.push(field("assertion_chain", name(&client).as_deref(), name(&wanted).as_deref()));
            self.methods_field(&mut edit.fields, &client, &wanted);
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Sets which workloads an agent is, all at once: by the word of issuers that the tenant trusts for it. An agent that is one
    /// and has no secrets shows none from then on.
    ///
    /// # Errors
    /// They may not, or one is none, or its issuer is not trusted.
    pub fn set_workloads(&self, by: By<'a>, id: &str, workloads: &[Workload], env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "workloads", env)?;
            let mut wanted = Client { workloads: workloads.to_vec(), ..client.value.clone() };
            let mut methods: Vec<AuthMethod> = workloads.iter().map(Workload::method).collect();
            methods.sort_unstable();
            methods.dedup();
            show_by(&mut wanted, &[AuthMethod::WorkloadJwt, AuthMethod::SpiffeJwt], &methods);
            self.tenant.put_client(&mut edit.change, &client, &wanted, env)?;
            let names =
                |client: &Client| Some(client.workloads.iter().map(Workload::name).collect::<Vec<_>>().join(" "));
            let (from, to) = (names(&client).filter(|n| !n.is_empty()), names(&wanted).filter(|n| !n.is_empty()));
            edit.fields.push(field("workloads", from.as_deref(), to.as_deref()));
            self.methods_field(&mut edit.fields, &client, &wanted);
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Sets by which ways an agent may show who it is. One that is taken away is of no use from the next request on.
    ///
    /// # Errors
    /// They may not, or the agent has not what a way needs.
    pub fn set_methods(&self, by: By<'a>, id: &str, ways: &Ways, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let (mut edit, client) = self.edit_client(by, id, "auth_methods", env)?;
            let by_certificate = ways.auth_methods.iter().all(|method| AuthMethod::BY_CERTIFICATE.contains(method));
            let wanted = Client {
                auth_methods: ways.auth_methods.clone(),
                tls_subject: ways.tls_subject.clone(),
                tls_client_certificate_bound_access_tokens: ways.certificate_bound.unwrap_or(by_certificate),
                ..client.value.clone()
            };
            self.tenant.put_client(&mut edit.change, &client, &wanted, env)?;
            self.methods_field(&mut edit.fields, &client, &wanted);
            let subject = |client: &Client| client.tls_subject.as_ref().map(ToString::to_string);
            if client.tls_subject != wanted.tls_subject {
                edit.fields.push(field("tls_subject", subject(&client).as_deref(), subject(&wanted).as_deref()));
            }
            let bound =
                |client: &Client| if client.tls_client_certificate_bound_access_tokens { "true" } else { "false" };
            if bound(&client) != bound(&wanted) {
                edit.fields.push(field("certificate_bound", Some(bound(&client)), Some(bound(&wanted))));
            }
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Notes that an agent has shown a credential that it has: the endpoints say so after they have authenticated a client. At
    /// most once in [`USE_STEP_S`] it costs a write.
    ///
    /// # Errors
    /// The disk failed.
    pub fn note_use(&self, id: &str, credential: &str, env: &Env<'_>) -> Answer<()> {
        let bad = credential.is_empty() || credential.len() > CREDENTIAL_BYTES_MAX || credential.contains('\0');
        let step = env.seconds() - env.seconds() % USE_STEP_S;
        if bad || self.tenant.get::<LastUse>(&[id, credential])?.is_some_and(|held| held.at >= step) {
            return Ok(());
        }
        // A key without a `kid` is named by whatever a client says, of which there is no end.
        if !self.credentials(id)?.iter().any(|known| known.id == credential) {
            return Ok(());
        }
        let mut change = self.tenant.change(env);
        change.put(&[id, credential], &LastUse { at: step });
        change.commit()?;
        Ok(())
    }

    fn methods_field(&self, fields: &mut Vec<super::FieldChange>, before: &Client, after: &Client) {
        let (from, to) = (names(&before.auth_methods), names(&after.auth_methods));
        if from != to {
            fields.push(field("auth_methods", Some(&from), Some(&to)));
        }
    }

    /// Begins a change of an agent's client.
    fn edit_client(
        &self,
        by: By<'a>,
        id: &str,
        action: &'static str,
        env: &Env<'_>,
    ) -> Answer<(super::edit::Edit<'a>, Held<Client>)> {
        let view = self.tenant.view()?;
        let mut edit = self.edit(by, id, action, env)?;
        self.may(&view, &mut edit, Who::Operator)?;
        if edit.record.stage == Stage::Discovered {
            return Err(conflict("agent.stage", "nobody has taken on this agent yet; adopt it"));
        }
        Ok((edit, self.tenant.client(id)?))
    }
}

/// A client shows who it is by these ways in the place of those before, and by no secret when it has none.
fn show_by(client: &mut Client, before: &[AuthMethod], after: &[AuthMethod]) {
    let secretless = client.secrets.is_empty() && !after.is_empty();
    let secrets = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    client.auth_methods.retain(|method| {
        let unshown = *method == AuthMethod::None || (secretless && secrets.contains(method));
        !(unshown || before.contains(method))
    });
    client.auth_methods.extend_from_slice(after);
}
