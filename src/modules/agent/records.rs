//! What is kept of an agent beside its tuples and its client, and its history.

use super::stage::Stage;
use crate::engine::Module;
use crate::identity::{Answer, ErrorCode, Refusal, Seconds, Stored, check_id};
use serde::{Deserialize, Serialize};

/// The module whose records these are.
pub const AGENT: Module = Module::new("agent");
/// Longest name, type's name, or name of a language model, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest purpose, and longest reason, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 2048;
/// The index of agents by the document that they came from: the hash of its URL.
pub(super) const BY_DOCUMENT: u8 = b'd';

/// What an agent is, for who looks at a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentType {
    /// It answers a person who is there.
    #[default]
    Assistant,
    /// It works by itself, for hours or days.
    Autonomous,
    /// One step of a process that somebody has laid out.
    Workflow,
    /// It offers tools to other agents.
    Tool,
}

impl AgentType {
    /// All, as they are written.
    pub const ALL: [(AgentType, &'static str); 4] = [
        (AgentType::Assistant, "assistant"),
        (AgentType::Autonomous, "autonomous"),
        (AgentType::Workflow, "workflow"),
        (AgentType::Tool, "tool"),
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        AgentType::ALL.iter().find(|(kind, _)| *kind == self).map_or("assistant", |(_, name)| name)
    }
}

/// What its owner says of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// What it is for. It stands on pages where people are asked.
    #[serde(default)]
    pub purpose: String,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: AgentType,
    /// The language model that it runs on.
    #[serde(default)]
    pub model: String,
    /// The team that owns it, as `team:sales-ops`.
    #[serde(default)]
    pub owner: Option<String>,
    /// The one person who answers for it, as `user:john`.
    #[serde(default)]
    pub accountable: Option<String>,
}

/// Where an agent was first seen, when nobody registered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Origin {
    /// It named itself by a client metadata document.
    Document {
        /// The URL of the document, which is its `client_id` there.
        document: String,
        /// When.
        seen_at: Seconds,
    },
    /// Another system has an account of it.
    Account {
        /// Which system, as its reporter calls it.
        system: String,
        /// The id of the account there.
        account: String,
        /// When.
        seen_at: Seconds,
    },
}

/// Who suspended an agent, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// Who.
    pub by: String,
    /// Whether as an administrator: then only an administrator lets it go on.
    pub admin: bool,
    /// When.
    pub at: Seconds,
    /// Why.
    pub reason: String,
}

/// An agent as it is kept. It is never removed: the id of one that is gone stays taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRecord {
    /// Given once and never again; `agent:ID` in tuples, and its `client_id`.
    pub id: String,
    /// What its owner says of it. A retired agent keeps who answered for it last.
    pub profile: Profile,
    /// Where it is in its life. Never suspended: that is a tuple, and only the tuple says so.
    pub stage: Stage,
    /// Where it was seen, when it was not registered by somebody.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The last suspension that was made here.
    #[serde(default)]
    pub suspension: Option<Suspension>,
    /// When it was registered or seen.
    pub created_at: Seconds,
    /// When it was last changed.
    pub changed_at: Seconds,
    /// How often it was changed: the number of its last entry of history.
    pub version: u32,
}

impl Stored for AgentRecord {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'a';
    const WHAT: &'static str = "agent";
}

impl AgentRecord {
    /// As a subject and as an object: `agent:ID`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("agent:{}", self.id)
    }
}

/// A field of an agent, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Which.
    pub field: String,
    /// What it was; nothing when there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is; nothing when it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One change of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// Which change of the agent it is, from 1.
    pub version: u32,
    /// When.
    pub at: Seconds,
    /// By whom: a subject, or `machine` for who works on the database's files.
    pub by: String,
    /// What was done: a step, or what was changed.
    pub action: String,
    /// Which approval allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

impl Stored for HistoryEntry {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'h';
    const WHAT: &'static str = "entry of an agent's history";
}

/// When a credential of an agent was last used, in steps of [`super::USE_STEP_S`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastUse {
    /// When.
    pub at: Seconds,
}

impl Stored for LastUse {
    const MODULE: Module = AGENT;
    const SORT: u8 = b'l';
    const WHAT: &'static str = "last use of a credential";
}

/// Which agent a client metadata document is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfDocument {
    pub(super) agent: String,
}

impl Stored for OfDocument {
    const MODULE: Module = AGENT;
    const SORT: u8 = BY_DOCUMENT;
    const WHAT: &'static str = "agent of a client metadata document";
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

/// The id in a subject or object of a type: `sales-ops` of `team:sales-ops`.
pub(super) fn id_of<'a>(object_type: &str, text: &'a str) -> Answer<&'a str> {
    let id = text.split_once(':').filter(|(kind, _)| *kind == object_type).map(|(_, id)| id);
    let id = id.ok_or_else(|| {
        invalid("subject.type", format!("`{text}` is not of type `{object_type}`; write it as `{object_type}:ID`"))
    })?;
    check_id(id)?;
    Ok(id)
}

/// A text that people read: not too long, and without control characters but the end of a line.
pub(super) fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Answer<()> {
    if text.len() > bytes_max || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(invalid(
            "text.form",
            format!("the {what} has at most {bytes_max} bytes and no control characters"),
        ));
    }
    Ok(())
}

impl Profile {
    /// Whether it may be kept.
    pub(super) fn check(&self) -> Answer<()> {
        if self.name.trim().is_empty() {
            return Err(invalid("agent.name", "an agent has a name"));
        }
        check_text("name", &self.name, NAME_BYTES_MAX)?;
        check_text("model", &self.model, NAME_BYTES_MAX)?;
        check_text("purpose", &self.purpose, PURPOSE_BYTES_MAX)?;
        if let Some(owner) = &self.owner {
            id_of("team", owner)?;
        }
        if let Some(accountable) = &self.accountable {
            id_of("user", accountable)?;
        }
        Ok(())
    }

    /// Its fields by name, those that are empty as nothing.
    fn fields(&self) -> [(&'static str, Option<&str>); 6] {
        let filled = |text: &'_ str| !text.is_empty();
        [
            ("name", Some(self.name.as_str()).filter(|t| filled(t))),
            ("purpose", Some(self.purpose.as_str()).filter(|t| filled(t))),
            ("type", Some(self.kind.name())),
            ("model", Some(self.model.as_str()).filter(|t| filled(t))),
            ("owner", self.owner.as_deref()),
            ("accountable", self.accountable.as_deref()),
        ]
    }

    /// What is different in another.
    pub(super) fn changes_to(&self, other: &Profile) -> Vec<FieldChange> {
        let pairs = self.fields().into_iter().zip(other.fields());
        let changed = pairs.filter(|((_, from), (_, to))| from != to);
        changed
            .map(|((field, from), (_, to))| FieldChange {
                field: field.to_owned(),
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            })
            .collect()
    }

    /// Why an agent with this profile cannot act yet; nothing when it can.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.purpose.trim().is_empty() {
            missing.push("a purpose");
        }
        if self.owner.is_none() {
            missing.push("a team that owns it");
        }
        if self.accountable.is_none() {
            missing.push("a person who answers for it");
        }
        missing
    }
}

/// The number of an entry of history as text that sorts as numbers do.
pub(super) fn padded(version: u32) -> String {
    format!("{version:010}")
}
