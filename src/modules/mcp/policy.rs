//! What a call needs: scopes of the token, Checks for the user and the agent, an authentication, an approval. Rules are the operator's, one for
//! each tool, kind of resource and prompt; what no rule names is denied.
//!
//! The mapping of methods is COAZ-MCP's (AuthZEN, Draft 1): calls and reads map to what they name, methods about the server
//! as a whole to the server's object, `ping` and notifications pass, and methods that are not known are denied.

use super::SettingsError;
use super::message::Request;
use super::resource::is_scope;
use super::template::{NoValue, Template, argument};
use crate::identity::{Seconds, StepUp};
use crate::tuple::{Object, ObjectRef};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Methods of older versions that the one without sessions has no more.
const GONE: [&str; 5] = ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];
/// Most rules of one sort.
const RULES_MAX: usize = 1_000;
/// Most checks or scopes of one rule.
const NEEDS_MAX: usize = 16;
/// The type of the details of an approval, where a rule names none.
pub const CALL_TYPE: &str = "mcp_tool_call";
/// Most resources that one subscription names.
const SUBSCRIBED_MAX: usize = 100;

/// A Check that a rule asks for, of the user and of the agent alike.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// The object, as `account:{account_id}`. The names in braces are those of a resource's URI template, or paths into a
    /// tool's arguments; `{name}` in `other_tools` and `other_prompts` is the name of the tool or prompt.
    pub object: String,
    /// The relation that both must have to it.
    pub relation: String,
}

/// What a call needs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSpec {
    /// Scopes that the token must have.
    pub scopes: Vec<String>,
    /// Checks that must all allow it.
    pub checks: Vec<CheckSpec>,
    /// Whether a person has to approve each call, with these arguments.
    pub approval: bool,
    /// The type of the authorization details (RFC 9396) that such an approval is of; [`CALL_TYPE`] when it is left out.
    pub approval_type: Option<String>,
    /// How well the person must have been authenticated (`acr`), or above it. A token of nobody does not.
    pub acr: Option<String>,
    /// How many seconds ago at most.
    pub max_age: Option<Seconds>,
    /// Says that no check is wanted: whoever may use the server may call it. A rule without checks has to say so.
    pub open: bool,
}

/// What reading a kind of resource needs.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ResourceRuleSpec {
    /// Their URIs, as `crm://accounts/{id}`; `{+path}` also takes slashes.
    pub uri: String,
    /// Scopes that the token must have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Checks that must all allow it.
    #[serde(default)]
    pub checks: Vec<CheckSpec>,
    /// How well the person must have been authenticated (`acr`), or above it. A token of nobody does not.
    #[serde(default)]
    pub acr: Option<String>,
    /// How many seconds ago at most.
    #[serde(default)]
    pub max_age: Option<Seconds>,
    /// Says that no check is wanted.
    #[serde(default)]
    pub open: bool,
}

/// What a server's calls need.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// What it needs to use the server at all: to start, to list, to subscribe.
    pub server: CheckSpec,
    /// Tools by their names.
    #[serde(default)]
    pub tools: BTreeMap<String, RuleSpec>,
    /// Tools that `tools` does not name. Without it they are denied.
    #[serde(default)]
    pub other_tools: Option<RuleSpec>,
    /// Resources; the first rule whose URI fits holds.
    #[serde(default)]
    pub resources: Vec<ResourceRuleSpec>,
    /// Prompts by their names.
    #[serde(default)]
    pub prompts: BTreeMap<String, RuleSpec>,
    /// Prompts that `prompts` does not name. Without it they are denied.
    #[serde(default)]
    pub other_prompts: Option<RuleSpec>,
}

impl PolicySpec {
    /// All scopes that its rules name, each once.
    pub(super) fn scopes(&self) -> BTreeSet<&str> {
        let rules = self.tools.values().chain(self.prompts.values());
        let rules = rules.chain(self.other_tools.as_ref()).chain(self.other_prompts.as_ref());
        let named = rules.flat_map(|rule| &rule.scopes).chain(self.resources.iter().flat_map(|rule| &rule.scopes));
        named.map(String::as_str).collect()
    }

    /// The types of details of the approvals that its rules need.
    pub(super) fn details_types(&self) -> BTreeSet<&str> {
        let rules = self.tools.values().chain(self.other_tools.as_ref()).filter(|rule| rule.approval);
        rules.map(|rule| rule.approval_type.as_deref().unwrap_or(CALL_TYPE)).collect()
    }

    /// The type of details of the approval that a tool needs.
    pub(super) fn approval_of(&self, tool: &str) -> Option<&str> {
        let rule = self.tools.get(tool).or(self.other_tools.as_ref()).filter(|rule| rule.approval)?;
        Some(rule.approval_type.as_deref().unwrap_or(CALL_TYPE))
    }
}

#[derive(Clone, Debug)]
struct Check {
    object_type: String,
    id: Template,
    relation: String,
}

#[derive(Clone, Debug)]
struct Rule {
    scopes: Vec<String>,
    checks: Vec<Check>,
    /// What it asks of the authentication of the person.
    step_up: Option<StepUp>,
    /// The type of details of the approval that it needs.
    approval: Option<String>,
}

/// A policy that could be read. Made with [`Policy::new`].
#[derive(Clone, Debug)]
pub struct Policy {
    server: Rule,
    tools: BTreeMap<String, Rule>,
    other_tools: Option<Rule>,
    resources: Vec<(Template, Rule)>,
    prompts: BTreeMap<String, Rule>,
    other_prompts: Option<Rule>,
}

/// A Check to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) object: Object,
    pub(super) relation: String,
}

/// All that a call needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) scopes: Vec<String>,
    pub(super) questions: Vec<Question>,
    /// What is asked of the authentication of the person, all of it.
    pub(super) step_ups: Vec<StepUp>,
    /// The type of details of the approval that it needs.
    pub(super) approval: Option<String>,
}

/// Why a call has no mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unmapped {
    /// The method is none that is known: it does not exist here (MCP 2026-07-28), and so goes no further (COAZ-MCP).
    Method,
    /// No rule names it.
    NoRule,
    /// A parameter that the mapping needs is missing, or of no use: COAZ-MCP calls it a mapping error.
    Parameter(String),
}

impl From<NoValue> for Unmapped {
    fn from(NoValue(name): NoValue) -> Unmapped {
        Unmapped::Parameter(name)
    }
}

/// What lists name, one of which is to be shown or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed<'a> {
    Tool(&'a str),
    Resource(&'a str),
    Template(&'a str),
    Prompt(&'a str),
}

fn fault(what: impl std::fmt::Display, why: &str) -> SettingsError {
    SettingsError(format!("{what} {why}"))
}

impl Check {
    fn new(spec: &CheckSpec, what: &str) -> Result<Check, SettingsError> {
        let wrong = |why| fault(format_args!("{what}: the object `{}`", spec.object), why);
        let (object_type, id) = spec.object.split_once(':').ok_or_else(|| wrong("is not `type:id`"))?;
        let id = Template::parse(id)?;
        let sample = id.id(|_| Some("x".to_owned())).unwrap_or_default();
        let sample = format!("{object_type}:{sample}");
        if ObjectRef::parse(&sample).is_err() || object_type.contains(['{', '}']) {
            return Err(wrong("is not `type:id` with names in the id alone"));
        }
        Ok(Check { object_type: object_type.to_owned(), id, relation: spec.relation.clone() })
    }

    fn question(&self, value: impl Fn(&str) -> Option<String>) -> Result<Question, NoValue> {
        let object = Object { object_type: self.object_type.clone(), id: self.id.id(value)? };
        Ok(Question { object, relation: self.relation.clone() })
    }
}

impl Rule {
    fn new(spec: &RuleSpec, what: &str) -> Result<Rule, SettingsError> {
        if spec.checks.is_empty() != spec.open {
            let why = if spec.open {
                "is open and has checks; drop one"
            } else {
                "has no check; add one, or say `open: true`"
            };
            return Err(fault(what, why));
        }
        if spec.checks.len() > NEEDS_MAX || spec.scopes.len() > NEEDS_MAX {
            return Err(fault(what, &format!("has over {NEEDS_MAX} checks or scopes")));
        }
        if let Some(scope) = spec.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(fault(what, &format!("has the scope `{scope}`, which has characters that no scope has")));
        }
        let named = spec.approval_type.as_deref();
        if named.is_some_and(|name| !spec.approval || name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(fault(what, "has an `approval_type` that is none, or no `approval: true` beside it"));
        }
        let checks = spec.checks.iter().map(|check| Check::new(check, what)).collect::<Result<_, _>>()?;
        let approval = spec.approval.then(|| named.unwrap_or(CALL_TYPE).to_owned());
        let step_up = StepUp::of(spec.acr.as_deref(), spec.max_age);
        let step_up = step_up.map_err(|refusal| fault(what, &format!("asks for too much: {}", refusal.description)))?;
        Ok(Rule { scopes: spec.scopes.clone(), checks, step_up, approval })
    }

    /// Refuses names that only a mistake can have put there.
    fn names(self, what: &str, known: &[&str]) -> Result<Rule, SettingsError> {
        let unknown = self.checks.iter().flat_map(|check| check.id.names()).find(|name| !known.contains(name));
        if let Some(name) = unknown {
            return Err(fault(what, &format!("uses `{{{name}}}`, which stands for nothing there")));
        }
        Ok(self)
    }

    fn needs(&self, value: impl Fn(&str) -> Option<String>) -> Result<Needs, Unmapped> {
        let questions = self.checks.iter().map(|check| check.question(&value)).collect::<Result<_, _>>()?;
        Ok(self.with(questions))
    }

    fn with(&self, questions: Vec<Question>) -> Needs {
        let step_ups = self.step_up.iter().cloned().collect();
        Needs { scopes: self.scopes.clone(), questions, step_ups, approval: self.approval.clone() }
    }

    /// The questions that can be asked before arguments are known.
    fn needs_by_name(&self, name: &str) -> Needs {
        let value = |asked: &str| (asked == "name").then(|| name.to_owned());
        let questions = self.checks.iter().filter_map(|check| check.question(value).ok()).collect();
        self.with(questions)
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// A rule that could not work, and what to do.
    pub fn new(spec: &PolicySpec) -> Result<Policy, SettingsError> {
        if [spec.tools.len(), spec.prompts.len(), spec.resources.len()].iter().any(|n| *n > RULES_MAX) {
            return Err(SettingsError(format!("the policy has over {RULES_MAX} rules of one sort")));
        }
        let server = RuleSpec { checks: vec![spec.server.clone()], ..RuleSpec::default() };
        let by_name =
            |sort: &str, rules: &BTreeMap<String, RuleSpec>| -> Result<BTreeMap<String, Rule>, SettingsError> {
                rules
                    .iter()
                    .map(|(name, rule)| Ok((name.clone(), Rule::new(rule, &format!("the {sort} `{name}`"))?)))
                    .collect()
            };
        let others = |sort: &str, rule: &Option<RuleSpec>| {
            rule.as_ref().map(|rule| Rule::new(rule, sort)?.names(sort, &["name"])).transpose()
        };
        let resource = |spec: &ResourceRuleSpec| {
            let uri = Template::parse(&spec.uri)?;
            let what = format!("the resources `{}`", spec.uri);
            let (scopes, checks) = (spec.scopes.clone(), spec.checks.clone());
            let (acr, max_age) = (spec.acr.clone(), spec.max_age);
            let rule = RuleSpec { scopes, checks, acr, max_age, open: spec.open, ..RuleSpec::default() };
            let rule = Rule::new(&rule, &what)?.names(&what, &uri.names().collect::<Vec<_>>())?;
            Ok::<_, SettingsError>((uri, rule))
        };
        Ok(Policy {
            server: Rule::new(&server, "`server`")?.names("`server`", &[])?,
            tools: by_name("tool", &spec.tools)?,
            other_tools: others("`other_tools`", &spec.other_tools)?,
            resources: spec.resources.iter().map(resource).collect::<Result<_, _>>()?,
            prompts: by_name("prompt", &spec.prompts)?,
            other_prompts: others("`other_prompts`", &spec.other_prompts)?,
        })
    }

    /// Types and relations that the policy asks about, so that a model without them is refused when it starts.
    pub(super) fn asks(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.tools.values().chain(self.prompts.values());
        let others = [&self.other_tools, &self.other_prompts].into_iter().flatten();
        let rules = named.chain(others).chain(self.resources.iter().map(|(_, rule)| rule)).chain([&self.server]);
        rules.flat_map(|rule| &rule.checks).map(|check| (check.object_type.as_str(), check.relation.as_str()))
    }

    /// What a request needs: that the server may be used, and what its rule asks for. `None`: it passes (COAZ-MCP, pass-through
    /// operations).
    pub(super) fn needs(&self, request: &Request) -> Result<Option<Needs>, Unmapped> {
        let params = &request.params;
        if request.modern && GONE.contains(&request.method.as_str()) {
            return Err(Unmapped::Method);
        }
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        let named = |name: &str| text(name).ok_or_else(|| Unmapped::Parameter(name.to_owned()));
        let server = self.server.needs(|_| None)?;
        let needs = match request.method.as_str() {
            "ping" => return Ok(None),
            "initialize"
            | "server/discover"
            | "tools/list"
            | "resources/list"
            | "resources/templates/list"
            | "prompts/list"
            | "logging/setLevel" => return Ok(Some(server)),
            "tools/call" => {
                let (name, empty) = (named("name")?, Map::new());
                let arguments = params.get("arguments").and_then(Value::as_object).unwrap_or(&empty);
                match self.tools.get(name) {
                    Some(rule) => rule.needs(|path| argument(arguments, path))?,
                    None => other(self.other_tools.as_ref(), name)?,
                }
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => self.of_uri(named("uri")?)?,
            "prompts/get" => self.of_prompt(named("name")?)?,
            "completion/complete" => self.of_completion(params)?,
            "subscriptions/listen" => self.of_subscription(params)?,
            _ => return Err(Unmapped::Method),
        };
        let mut questions = server.questions;
        for question in needs.questions {
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
        Ok(Some(Needs { questions, ..needs }))
    }

    /// Whether a request is about a resource that no rule's URI has the form of.
    pub(super) fn is_nothing(&self, request: &Request) -> bool {
        let uri = request.params.get("uri").and_then(Value::as_str);
        request.method == "resources/read"
            && uri.is_some_and(|uri| !self.resources.iter().any(|(template, _)| template.matches(uri).is_some()))
    }

    fn of_uri(&self, uri: &str) -> Result<Needs, Unmapped> {
        let found = self.resources.iter().find_map(|(template, rule)| Some((rule, template.matches(uri)?)));
        let (rule, values) = found.ok_or(Unmapped::NoRule)?;
        rule.needs(|name| values.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
    }

    fn of_prompt(&self, name: &str) -> Result<Needs, Unmapped> {
        match self.prompts.get(name) {
            // A prompt's arguments are words for the model, not names of objects.
            Some(rule) => rule.needs(|asked| (asked == "name").then(|| name.to_owned())),
            None => other(self.other_prompts.as_ref(), name),
        }
    }

    fn of_completion(&self, params: &Map<String, Value>) -> Result<Needs, Unmapped> {
        let missing = || Unmapped::Parameter("ref".to_owned());
        let reference = params.get("ref").and_then(Value::as_object).ok_or_else(missing)?;
        let text = |name: &str| reference.get(name).and_then(Value::as_str);
        match (text("type"), text("name"), text("uri")) {
            (Some("ref/prompt"), Some(name), _) => self.of_prompt(name),
            // Completing the names of a template would tell what there is, to everybody: that has no rule.
            (Some("ref/resource"), _, Some(uri)) => self.of_uri(uri),
            _ => Err(missing()),
        }
    }

    fn of_subscription(&self, params: &Map<String, Value>) -> Result<Needs, Unmapped> {
        let mut needs = self.server.needs(|_| None)?;
        let uris = params.get("notifications").and_then(|n| n.get("resourceSubscriptions"));
        let uris = uris.map(|uris| uris.as_array().ok_or_else(|| Unmapped::Parameter("resourceSubscriptions".into())));
        for (count, uri) in uris.transpose()?.into_iter().flatten().enumerate() {
            let uri = uri.as_str().filter(|_| count < SUBSCRIBED_MAX);
            let of = self.of_uri(uri.ok_or_else(|| Unmapped::Parameter("resourceSubscriptions".to_owned()))?)?;
            needs.scopes.extend(of.scopes);
            needs.questions.extend(of.questions);
            needs.step_ups.extend(of.step_ups);
        }
        Ok(needs)
    }

    fn template(&self, text: &str) -> Option<&(Template, Rule)> {
        let template = Template::parse(text).ok()?;
        self.resources.iter().find(|(own, _)| own.is_like(&template))
    }

    /// What has to hold for something to be shown in a list: a rule names it, and the questions that do not depend on
    /// arguments are allowed. Scopes and authentications do not count: a client can ask for those when a call demands them.
    pub(super) fn shows(&self, listed: Listed<'_>) -> Result<Needs, Unmapped> {
        match listed {
            Listed::Tool(name) => {
                let rule = self.tools.get(name).or(self.other_tools.as_ref()).ok_or(Unmapped::NoRule)?;
                Ok(rule.needs_by_name(name))
            }
            Listed::Resource(uri) => self.of_uri(uri),
            Listed::Template(text) => match self.template(text) {
                Some(_) => Ok(Needs::default()),
                None => Err(Unmapped::NoRule),
            },
            Listed::Prompt(name) => self.of_prompt(name),
        }
    }
}

fn other(rule: Option<&Rule>, name: &str) -> Result<Needs, Unmapped> {
    rule.ok_or(Unmapped::NoRule)?.needs(|asked| (asked == "name").then(|| name.to_owned()))
}
