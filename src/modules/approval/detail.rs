//! Types of authorization details (RFC 9396): what one of a type may hold, how it is shown to a person, and who decides.
//!
//! A type has a JSON Schema that says of every member what it may be; a template, which is texts with places in them and no
//! program; and rules in CEL with exact decimals. What a template does not show is shown all the same, below the rest: nobody
//! approves what they have not seen. Pure; `types` keeps them.

use super::canonical::{self, canonical};
use super::template::{Template, leaves, shown, visible};
use crate::identity::{Answer, ErrorCode, Refusal, Rule, Seconds, ValueKind, check_id};
use jsonschema::PatternOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Largest schema, in bytes.
pub(super) const SCHEMA_BYTES_MAX: usize = 16 << 10;
/// Most fields of a template, and most rules.
pub(super) const FIELDS_MAX: usize = 32;
/// Longest text of a template.
pub(super) const TEXT_BYTES_MAX: usize = 256;
/// Most mistakes of a detail that are told.
const MISTAKES_MAX: usize = 3;
/// Most people and roles of a rule.
const WHO_MAX: usize = 8;

/// Who may decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Who {
    /// The person for whom it is.
    Subject,
    /// Their manager.
    Manager,
    /// The person who answers for the agent that asks.
    Accountable,
    /// The team that owns the agent that asks.
    Owner,
    /// This person, `user:ID`.
    Person(String),
    /// Members of this team, `team:ID`.
    Team(String),
}

impl From<Who> for String {
    fn from(who: Who) -> String {
        match who {
            Who::Subject => "subject".to_owned(),
            Who::Manager => "manager".to_owned(),
            Who::Accountable => "accountable".to_owned(),
            Who::Owner => "owner".to_owned(),
            Who::Person(id) => format!("user:{id}"),
            Who::Team(id) => format!("team:{id}"),
        }
    }
}

impl TryFrom<String> for Who {
    type Error = String;

    fn try_from(text: String) -> Result<Who, String> {
        let id = |id: &str| check_id(id).map(|()| id.to_owned()).map_err(|refusal| refusal.description);
        match (text.as_str(), text.split_once(':')) {
            ("subject", _) => Ok(Who::Subject),
            ("manager", _) => Ok(Who::Manager),
            ("accountable", _) => Ok(Who::Accountable),
            ("owner", _) => Ok(Who::Owner),
            (_, Some(("user", person))) => Ok(Who::Person(id(person)?)),
            (_, Some(("team", team))) => Ok(Who::Team(id(team)?)),
            _ => Err(format!(
                "`{text}` is nobody who decides; write `subject`, `manager`, `accountable`, `owner`, `user:ID` or `team:ID`"
            )),
        }
    }
}

/// Where a value of a rule comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is.
    pub kind: ValueKind,
    /// Where it stands in the detail (RFC 6901), `/amount`.
    #[serde(default)]
    pub path: Option<String>,
    /// What it is when nothing stands there; or what it always is, without a `path`.
    #[serde(default)]
    pub value: Option<Value>,
}

/// Who decides, when something holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRule {
    /// When it counts: CEL over `values`. Nothing is always.
    #[serde(default)]
    pub when: Option<String>,
    /// The names in it.
    #[serde(default)]
    pub values: BTreeMap<String, Source>,
    /// Who may decide; any one of them. Nobody: it needs no approval.
    pub who: Vec<Who>,
}

/// A line of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldTemplate {
    /// What it is called.
    pub label: String,
    /// What it says: text with places in it, `{/amount} {/currency}`.
    pub value: String,
}

/// A type of details, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailType {
    /// Its `type`.
    pub name: String,
    /// How often it was changed.
    #[serde(default)]
    pub version: u32,
    /// What one of it may hold: a JSON Schema that knows every member.
    pub schema: Value,
    /// What is asked, in a sentence with places in it.
    pub title: String,
    /// What is said in detail.
    #[serde(default)]
    pub fields: Vec<FieldTemplate>,
    /// Who decides: the first rule that holds. When none does, the person for whom it is.
    #[serde(default)]
    pub rules: Vec<DecisionRule>,
    /// How strongly whoever decides has shown who they are, at least.
    #[serde(default)]
    pub acr: Option<String>,
    /// When it was changed.
    #[serde(default)]
    pub changed_at: Seconds,
}

/// A name and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The name.
    pub label: String,
    /// The value, without characters that hide or turn text.
    pub value: String,
}

/// A detail in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderedDetail {
    /// What is asked.
    pub title: String,
    /// Everything that it says.
    pub lines: Vec<Line>,
}

/// A request in words, as it is shown and hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendered {
    /// What the client is called.
    pub client: String,
    /// Whether it is an agent.
    pub agent: bool,
    /// For whom, as people call them.
    pub user: String,
    /// What the client shows too.
    pub binding_message: Option<String>,
    /// Scopes and what they mean.
    pub scopes: Vec<Line>,
    /// The details, in their order.
    pub details: Vec<RenderedDetail>,
}

fn invalid(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, rule, text)
}

fn bad_detail(rule: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidAuthorizationDetails, rule, text)
}

/// Refuses a schema that could pass over a member, reach outside, or not end.
fn check_schema(schema: &Value) -> Answer<()> {
    let refuse = |why: &str| Err(invalid("type.schema", format!("the schema cannot be used: {why}")));
    if schema.to_string().len() > SCHEMA_BYTES_MAX {
        return refuse("it is too large");
    }
    if schema.get("type").and_then(Value::as_str) != Some("object")
        || schema.get("additionalProperties") != Some(&Value::Bool(false))
        || schema.pointer("/properties/type").is_none()
    {
        return refuse(
            "it must be of `\"type\": \"object\"` with `\"additionalProperties\": false` and a property `type`, so that no \
             member is passed over (RFC 9396 5)",
        );
    }
    let mut refs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    for (name, definition) in definitions {
        refs.insert(name.clone(), references(definition).ok_or(()).or_else(|()| refuse_refs())?);
    }
    let mut body = schema.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("$defs");
    }
    references(&body).ok_or(()).or_else(|()| refuse_refs())?;
    // A definition that refers to itself, by however many others, would have details without end.
    for start in refs.keys() {
        let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(name) = next.pop() {
            for other in refs.get(name).into_iter().flatten() {
                if other == start {
                    return refuse("a definition refers to itself");
                }
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
    }
    match validator(schema) {
        Ok(_) => Ok(()),
        Err(why) => refuse(&why),
    }
}

fn refuse_refs<T>() -> Answer<T> {
    Err(invalid("type.schema", "the schema cannot be used: it may refer to its own `#/$defs/NAME` and to nothing else"))
}

/// The definitions to which a part of a schema refers; nothing when it refers elsewhere.
fn references(part: &Value) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut next = vec![part];
    while let Some(part) = next.pop() {
        match part {
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member) {
                        ("$ref", Value::String(to)) => {
                            let name = to.strip_prefix("#/$defs/").filter(|name| !name.contains(['/', '~', '%']))?;
                            found.insert(name.to_owned());
                        }
                        ("$dynamicRef" | "$recursiveRef" | "$id", Value::String(_)) => return None,
                        _ => next.push(member),
                    }
                }
            }
            Value::Array(list) => next.extend(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Some(found)
}

/// Draft 2020-12, nothing fetched, and patterns whose time does not explode.
fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).offline();
    let options = options.with_pattern_options(PatternOptions::regex()).should_validate_formats(true);
    options.build(schema).map_err(|error| error.to_string())
}

impl DecisionRule {
    fn compiled(&self) -> Answer<Option<Rule>> {
        let Some(when) = &self.when else { return Ok(None) };
        let names: Vec<(String, ValueKind)> = self.values.iter().map(|(name, s)| (name.clone(), s.kind)).collect();
        Rule::compile(when, &names).map(Some)
    }

    fn holds(&self, detail: &Value) -> Answer<bool> {
        let Some(rule) = self.compiled()? else { return Ok(true) };
        let mut values = Map::new();
        for (name, source) in &self.values {
            let there = source.path.as_ref().and_then(|path| detail.pointer(path));
            if let Some(value) = there.or(source.value.as_ref()) {
                values.insert(name.clone(), value.clone());
            }
        }
        rule.holds(&values)
    }

    fn check(&self) -> Answer<()> {
        if self.who.len() > WHO_MAX {
            return Err(invalid("type.who", format!("a rule names at most {WHO_MAX} who may decide")));
        }
        for (name, source) in &self.values {
            let path = source.path.as_ref();
            if path.is_none() && source.value.is_none() {
                return Err(invalid("type.values", format!("`{name}` has neither `path` nor `value`")));
            }
            if path.is_some_and(|path| !path.starts_with('/') || path.len() > TEXT_BYTES_MAX) {
                return Err(invalid("type.values", format!("the path of `{name}` is no JSON pointer, as `/amount`")));
            }
        }
        self.compiled().map(|_| ())
    }
}

impl DetailType {
    /// Refuses a type by which something could be asked that nobody sees, or that does not end.
    pub(super) fn check(&self) -> Answer<()> {
        let name = self.name.as_str();
        if name.is_empty() || name.len() > 128 || name.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(invalid("type.name", "a type is named by 1 to 128 visible ASCII characters"));
        }
        if self.fields.len() > FIELDS_MAX || self.rules.len() > FIELDS_MAX {
            return Err(invalid("type.max", format!("a type has at most {FIELDS_MAX} fields and as many rules")));
        }
        if self.acr.as_ref().is_some_and(|acr| !crate::identity::ACR_VALUES.contains(&acr.as_str())) {
            let known = crate::identity::ACR_VALUES.join("`, `");
            return Err(invalid("type.acr", format!("`acr` is one of `{known}`")));
        }
        check_schema(&self.schema)?;
        Template::parse(&self.title)?;
        for field in &self.fields {
            Template::parse(&field.value)?;
            let label = visible(&field.label);
            if field.label.trim().is_empty() || field.label.len() > TEXT_BYTES_MAX || label != field.label {
                return Err(invalid("type.label", "a field has a label without characters that cannot be seen"));
            }
        }
        self.rules.iter().try_for_each(DecisionRule::check)
    }

    /// Refuses a detail that is not of this type.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub fn validate(&self, detail: &Value) -> Answer<()> {
        canonical(detail).map_err(|fault| bad_detail("details.form", fault.to_string()))?;
        let validator = validator(&self.schema).map_err(|why| Refusal::failed("type.schema", why))?;
        let mistakes: Vec<String> = validator
            .iter_errors(detail)
            .take(MISTAKES_MAX)
            .map(|mistake| visible(&format!("{} at `{}`", mistake, mistake.instance_path())))
            .collect();
        if mistakes.is_empty() {
            return Ok(());
        }
        let text = format!("a detail of type `{}` is not what it should be: {}", self.name, mistakes.join("; "));
        Err(bad_detail("details.schema", text))
    }

    /// A detail in words: what the template says, and below it all that the template does not.
    ///
    /// # Errors
    /// The template is damaged.
    pub fn render(&self, detail: &Value) -> Answer<RenderedDetail> {
        let mut covered: BTreeSet<String> = BTreeSet::from(["/type".to_owned()]);
        let mut fill = |text: &str| -> Answer<String> {
            let template = Template::parse(text)?;
            covered.extend(template.places().map(str::to_owned));
            Ok(template.fill(detail))
        };
        let title = fill(&self.title)?;
        let mut lines = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            lines.push(Line { label: field.label.clone(), value: fill(&field.value)? });
        }
        let within =
            |place: &str, whole: &str| place == whole || place.strip_prefix(whole).is_some_and(|r| r.starts_with('/'));
        for (place, value) in leaves(detail) {
            if !covered.iter().any(|whole| within(&place, whole)) {
                lines.push(Line { label: visible(place.trim_start_matches('/')), value: shown(value) });
            }
        }
        Ok(RenderedDetail { title, lines })
    }

    /// Who decides on a detail. Nobody: it needs no approval.
    ///
    /// # Errors
    /// A rule cannot be judged, which approves nothing.
    pub fn who(&self, detail: &Value) -> Answer<Vec<Who>> {
        for rule in &self.rules {
            let holds = rule.holds(detail).map_err(|refusal| {
                bad_detail("details.rule", format!("who decides cannot be said: {}", refusal.description))
            })?;
            if holds {
                let mut who = rule.who.clone();
                who.sort_unstable();
                who.dedup();
                return Ok(who);
            }
        }
        Ok(vec![Who::Subject])
    }
}

/// The digest of a detail.
pub(super) fn digest(detail: &Value) -> Answer<String> {
    canonical::digest_of(detail).map_err(|fault| bad_detail("details.form", fault.to_string()))
}
