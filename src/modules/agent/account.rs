//! Agents that nobody registered, found by the accounts with which they work in other systems.
//!
//! Whoever may (`tenant#reporter`) reports what another system's list of service accounts, connected applications and keys
//! has. What is no agent's, and no connection's of ours, makes a draft with the evidence: which account, what it may there,
//! who made it, when it was used. An account is one draft however often it is reported; somebody adopts it, says whose it is,
//! or retires it, and then it is known for good. Nothing that a report says gives anybody anything.

use super::edit::{Edit, conflict, denied, field};
use super::records::AGENT;
use super::registry::fresh;
use super::stage::{Stage, Step, Who};
use super::{Account, Agent, AgentRecord, By, FieldChange, Origin, Profile, Registry, Report, USE_STEP_S};
use crate::engine::Module;
use crate::identity::{
    Answer, Change, Client, ClientKind, Env, EventKind, Held, PAGE_MAX, Role, Seconds, Stored, Tenant, again, check_id,
    hash_of,
};
use serde::{Deserialize, Serialize};

/// Most accounts of one agent.
pub const ACCOUNTS_PER_AGENT_MAX: usize = 64;
/// Most drafts by reports that wait for an owner. They have a room of their own: what strangers name as their documents
/// takes no place of theirs.
pub const ACCOUNTS_WAITING_MAX: usize = 1_000;
const _: () = assert!(ACCOUNTS_WAITING_MAX <= PAGE_MAX, "they are counted in one page");
/// The index of drafts by reports that wait.
pub(super) const ACCOUNT_WAITING: u8 = b'v';

/// An account that is an agent's or a draft's, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenAccount {
    /// In which system.
    pub system: String,
    /// What that system said of it last.
    pub account: Account,
    /// When it was first reported.
    pub first_seen_at: Seconds,
    /// When it was last reported, to the hour.
    pub seen_at: Seconds,
    /// Who reported it last, as a subject.
    pub seen_by: String,
}

impl Stored for SeenAccount {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'o';
    const WHAT: &'static str = "account of an agent in another system";
}

/// Which agent an account is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAccount {
    agent: String,
}

impl Stored for OfAccount {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'q';
    const WHAT: &'static str = "agent of an account in another system";
}

/// An account with which this tenant itself goes to another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAccount {
    /// The connection, `connection:crm`.
    pub connection: String,
    /// What the system is called in reports: the id of the connection, and the hosts that it names.
    pub systems: Vec<String>,
    /// The account, or our OAuth client there.
    pub account: String,
}

/// Who knows the tenant's own accounts at other systems. `server.rs` plugs it in.
pub trait OwnAccounts: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// The disk failed.
    fn of(&self, tenant: &Tenant) -> Answer<Vec<OwnAccount>>;
}

/// Whose an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Nobody's until now: it is a draft from this report on.
    New,
    /// A draft's, which waits for somebody to adopt it.
    Waiting,
    /// An agent's.
    Agent,
    /// That of an agent, or of a draft, which was retired.
    Retired,
    /// That of a connection of the tenant's own.
    Connection,
    /// Nobody's, and it is not kept: [`ACCOUNTS_WAITING_MAX`] drafts wait. Adopt or retire some,
    /// and report it again.
    NoRoom,
}

impl Whose {
    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Whose::New => "new",
            Whose::Waiting => "waiting",
            Whose::Agent => "agent",
            Whose::Retired => "retired",
            Whose::Connection => "connection",
            Whose::NoRoom => "no_room",
        }
    }

    fn of(stage: Stage) -> Whose {
        match stage {
            Stage::Discovered => Whose::Waiting,
            Stage::Registered | Stage::Active | Stage::Suspended => Whose::Agent,
            Stage::Retired => Whose::Retired,
        }
    }
}

/// What became of a reported account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// The account.
    pub account: String,
    /// Whose it is.
    pub whose: Whose,
    /// The agent, draft or connection, as a subject or object.
    pub of: Option<String>,
}

impl<'a> Registry<'a> {
    /// Takes a report, and answers whose each account is. Those of nobody are drafts afterwards; of those that are known the
    /// evidence is as reported. `own` are the tenant's own accounts.
    ///
    /// # Errors
    /// They may not report, or the report is not as it should be, and then nothing of it is taken.
    pub fn report(&self, by: By<'a>, report: &Report, own: &dyn OwnAccounts, env: &Env<'_>) -> Answer<Vec<Sighting>> {
        report.check()?;
        self.may_report(by)?;
        let own = own.of(self.tenant)?;
        report.accounts.iter().map(|account| self.sighted(by, &report.system, account, &own, env)).collect()
    }

    fn may_report(&self, by: By<'_>) -> Answer<()> {
        let By::Subject(subject) = by else { return Ok(()) };
        if self.is(&self.tenant.view()?, subject, "reporter", &self.tenant.object())? {
            return Ok(());
        }
        let text = "this takes a reporter of the tenant, or an administrator; `bailiwick agent reporter` makes one";
        Err(denied("report.not_allowed", text))
    }

    /// Lets somebody report, or no longer: the role, by a shorter name. For who works on the database's files.
    ///
    /// # Errors
    /// It is no subject of the tenant's, or may not report as it is.
    pub fn reporter(&self, subject: &str, may: bool, env: &Env<'_>) -> Answer<()> {
        let role = self.tenant.appointment(Role::Reporter, &self.tenant.object(), subject)?;
        if may { self.tenant.give_role(&role, env).map(|_| ()) } else { self.tenant.take_role(&role, env) }
    }

    fn sighted(
        &self,
        by: By<'a>,
        system: &str,
        account: &Account,
        own: &[OwnAccount],
        env: &Env<'_>,
    ) -> Answer<Sighting> {
        let sighting = |whose, of: Option<String>| Sighting { account: account.account.clone(), whose, of };
        let key = hash_of(&account.account);
        again(|| {
            // What somebody has said of it counts before what can be guessed.
            if let Some(known) = self.tenant.get::<OfAccount>(&[system, &key])? {
                let record = self.record(&known.agent)?;
                let whose = self.seen_again(by, &record, system, account, env)?;
                return Ok(sighting(whose, Some(record.subject())));
            }
            let ours = |own: &&OwnAccount| {
                let is_named = own.account == account.account || account.client_id.as_ref() == Some(&own.account);
                is_named && own.systems.iter().any(|known| known == system)
            };
            if let Some(own) = own.iter().find(ours) {
                return Ok(sighting(Whose::Connection, Some(own.connection.clone())));
            }
            if let Some(agent) = self.by_client_id(account.client_id.as_deref())? {
                return Ok(sighting(Whose::of(agent.stage), Some(agent.subject())));
            }
            let waiting = self.tenant.marks(AGENT, ACCOUNT_WAITING, &[], None, ACCOUNTS_WAITING_MAX)?.len();
            if waiting == ACCOUNTS_WAITING_MAX {
                return Ok(sighting(Whose::NoRoom, None));
            }
            let draft = self.draft_of(by, system, account, env)?;
            Ok(sighting(Whose::New, Some(draft.record.subject())))
        })
    }

    /// The agent that an OAuth client is: by the id that it has here, or by its client metadata document.
    fn by_client_id(&self, client_id: Option<&str>) -> Answer<Option<AgentRecord>> {
        let Some(client_id) = client_id else { return Ok(None) };
        if check_id(client_id).is_ok()
            && let Some(held) = self.tenant.get::<AgentRecord>(&[client_id])?
        {
            return Ok(Some(held.value));
        }
        Ok(self.by_document(client_id)?.map(|agent| agent.record))
    }

    fn draft_of(&self, by: By<'a>, system: &str, account: &Account, env: &Env<'_>) -> Answer<Agent> {
        let id = env.id().to_lowercase();
        let profile = Profile { name: account.title().to_owned(), ..Profile::default() };
        let origin =
            Origin::Account { system: system.to_owned(), account: account.account.clone(), seen_at: env.seconds() };
        let record = fresh(&id, &profile, Stage::Discovered, Some(origin), env);
        let mut edit = self.begin(by, record, "discover", env)?;
        edit.fields.extend(told(system, None, account));
        edit.evidence = evidence(system, account);
        let client = Client::new(&id, ClientKind::Agent, &profile.name);
        self.tenant.add_dormant_client(&mut edit.change, &client, env)?;
        let key = hash_of(&account.account);
        edit.change.create(&[system, &key], &OfAccount { agent: id.clone() });
        let seen = SeenAccount {
            system: system.to_owned(),
            account: account.clone(),
            first_seen_at: env.seconds(),
            seen_at: env.seconds(),
            seen_by: by.name().to_owned(),
        };
        edit.change.create(&[&id, system, &key], &seen);
        edit.change.mark(AGENT, ACCOUNT_WAITING, &[&id]);
        self.finish(edit, EventKind::FindingRaised, env)
    }

    /// An account that is known was reported again. That it may do other things there is a change of its agent; that it was
    /// used is noted, and when nothing is new, that it was seen, once in [`USE_STEP_S`].
    fn seen_again(
        &self,
        by: By<'a>,
        record: &Held<AgentRecord>,
        system: &str,
        account: &Account,
        env: &Env<'_>,
    ) -> Answer<Whose> {
        let held = self.tenant.held::<SeenAccount>(&[&record.id, system, &hash_of(&account.account)])?;
        let seen = SeenAccount {
            account: account.clone(),
            seen_at: env.seconds(),
            seen_by: by.name().to_owned(),
            ..held.value.clone()
        };
        let whose = Whose::of(record.stage);
        let fields = told(system, Some(&held.account), account);
        if whose != Whose::Retired && !fields.is_empty() {
            let mut edit = self.edit(by, &record.id, "seen", env)?;
            edit.fields = fields;
            edit.evidence = evidence(system, account);
            edit.change.replace(&held, &seen);
            self.finish(edit, EventKind::AgentChanged, env)?;
        } else if held.account != *account || held.seen_at.saturating_add(USE_STEP_S) <= env.seconds() {
            let mut change = self.tenant.change(env);
            change.replace(&held, &seen);
            change.commit()?;
        }
        Ok(whose)
    }

    /// The accounts of an agent or a draft in other systems, by system.
    ///
    /// # Errors
    /// The disk failed.
    pub fn accounts(&self, id: &str) -> Answer<Vec<SeenAccount>> {
        Ok(self.accounts_of(id)?.into_iter().map(|held| held.value).collect())
    }

    fn accounts_of(&self, id: &str) -> Answer<Vec<Held<SeenAccount>>> {
        self.tenant.list::<SeenAccount>(&[id], None, ACCOUNTS_PER_AGENT_MAX)
    }

    /// Takes on a draft that was found by its account, under an id of one's own choice, which is given once and never again.
    /// The draft is gone, and its id stays taken.
    ///
    /// # Errors
    /// As [`Registry::adopt`]; the id is taken, or the draft came from a document, whose id its client knows already.
    pub fn adopt_as(&self, by: By<'a>, draft: &str, id: &str, profile: &Profile, env: &Env<'_>) -> Answer<Agent> {
        profile.check()?;
        again(|| {
            let view = self.tenant.view()?;
            let mut gone = self.edit(by, draft, Step::Adopt.name(), env)?;
            gone.rests_on(&view);
            self.may_own(&view, by, profile)?;
            self.step(&view, &mut gone, Step::Adopt)?;
            self.check_people(&view, profile)?;
            let origin = gone.record.origin.clone();
            let change = self.passed_on(gone, id, env)?;
            let record = fresh(id, profile, Stage::Registered, origin, env);
            let mut edit = self.begin(by, record, Step::Adopt.name(), env)?;
            edit.rests_on(&view);
            edit.change = change;
            edit.fields.push(field("draft", None, Some(&format!("agent:{draft}"))));
            self.tenant.add_dormant_client(
                &mut edit.change,
                &Client::new(id, ClientKind::Agent, &profile.name),
                env,
            )?;
            self.set_profile(&mut edit, profile, env)?;
            self.finish(edit, EventKind::AgentRegistered, env)
        })
    }

    /// Says that what was found is the account of an agent that is there. The draft is gone.
    ///
    /// # Errors
    /// They do not answer for the agent, it is none, or the draft is not one that was found by its account.
    pub fn is_same(&self, by: By<'a>, draft: &str, agent: &str, env: &Env<'_>) -> Answer<Agent> {
        again(|| {
            let view = self.tenant.view()?;
            let mut edit = self.edit(by, agent, "account", env)?;
            self.may(&view, &mut edit, Who::Answerable)?;
            if edit.record.stage == Stage::Discovered {
                return Err(conflict("agent.stage", "nobody has taken on this agent yet; adopt it"));
            }
            let had = self.accounts_of(agent)?.len();
            let mut gone = self.edit(by, draft, "same", env)?;
            gone.rests_on(&view);
            self.step(&view, &mut gone, Step::Adopt)?; // from a draft alone
            for held in self.accounts_of(draft)? {
                edit.fields.extend(told(&held.system, None, &held.account));
                edit.evidence = evidence(&held.system, &held.account);
            }
            if had >= ACCOUNTS_PER_AGENT_MAX {
                let text = format!("an agent has at most {ACCOUNTS_PER_AGENT_MAX} accounts in other systems");
                return Err(conflict("account.max", text));
            }
            edit.change = self.passed_on(gone, agent, env)?;
            self.finish(edit, EventKind::AgentChanged, env)
        })
    }

    /// Ends a draft whose account is `to`'s from now on, in a change that goes on.
    fn passed_on(&self, mut gone: Edit<'a>, to: &str, env: &Env<'_>) -> Answer<Change<'a>> {
        let draft = gone.record.id.clone();
        let accounts = self.accounts_of(&draft)?;
        if accounts.is_empty() {
            let text =
                "this draft is that of a client metadata document, and not of an account; adopt it under its own id";
            return Err(conflict("draft.document", text));
        }
        for held in &accounts {
            let key = hash_of(&held.account.account);
            let of = self.tenant.held::<OfAccount>(&[&held.system, &key])?;
            gone.change.replace(&of, &OfAccount { agent: to.to_owned() });
            gone.change.remove(held);
            gone.change.create(&[to, &held.system, &key], &held.value);
        }
        gone.fields = vec![
            field("stage", Some(Stage::Discovered.name()), Some(Stage::Retired.name())),
            field("agent", None, Some(&format!("agent:{to}"))),
        ];
        gone.record.stage = Stage::Retired;
        self.clear(&mut gone, env)?;
        self.close(gone, EventKind::AgentRetired, env).map(|(change, _)| change)
    }
}

/// What is new of an account, as fields that changed.
fn told(system: &str, before: Option<&Account>, account: &Account) -> Vec<FieldChange> {
    let scopes = |account: &Account| account.scopes.join(" ");
    let mut fields = Vec::new();
    if before.is_none() {
        fields.push(field("account", None, Some(&format!("{system}: {}", account.account))));
    }
    let (from, to) = (before.map(scopes).unwrap_or_default(), scopes(account));
    if from != to {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let name = format!("account {system}: {} scopes", account.account);
        fields.push(field(&name, some(&from).as_deref(), some(&to).as_deref()));
    }
    fields
}

/// What the event says of it besides.
fn evidence(system: &str, account: &Account) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("system", system.to_owned()),
        ("account", account.account.clone()),
        ("account_kind", account.kind.name().to_owned()),
        ("account_scopes", account.scopes.join(" ")),
    ];
    all.extend(account.client_id.clone().map(|id| ("account_client", id)));
    all.extend(account.created_by.clone().map(|who| ("account_made_by", who)));
    all
}
