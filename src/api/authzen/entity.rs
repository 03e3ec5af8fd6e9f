//! The entities of a request (AuthZEN 1.0, section 5), and what becomes of them: texts that the engine takes, by the rules that
//! tuples have.

use crate::api::convert;
use crate::api::fast::Object;
use crate::tuple::{Context, OBJECT_BYTES_MAX, RELATION_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::wire::{Code, Problem};
use serde::Deserialize;

/// The longest name of a type, in characters.
const TYPE_CHARS_MAX: usize = 254;

/// A subject or a resource. What must be there depends on the question.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    object_type: Option<String>,
    id: Option<String>,
    properties: Option<Context>,
}

/// What the subject wants to do.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Action {
    name: Option<String>,
    properties: Option<Context>,
}

/// One question, or the defaults of several. A field that is not known is passed over, as the standard wants.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Parts {
    subject: Option<Object<Entity>>,
    action: Option<Object<Action>>,
    resource: Option<Object<Entity>>,
    context: Option<Context>,
}

/// Which of the two an entity is.
#[derive(Clone, Copy)]
enum Side {
    Subject,
    Resource,
}

fn refused(text: impl Into<String>) -> Problem {
    Problem::new(Code::Validation, text)
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Subject => "subject",
            Side::Resource => "resource",
        }
    }

    fn missing(self, what: &str) -> Problem {
        let of = self.name();
        let example = match self {
            Side::Subject => r#"{"type": "user", "id": "anne"}"#,
            Side::Resource => r#"{"type": "document", "id": "roadmap"}"#,
        };
        refused(format!("`{of}{what}` is missing; a {of} is as in {example}"))
    }
}

/// Whether a text may stand in a tuple: no white space, no control character, and none of `without`.
fn holds_none_of(text: &str, without: &[char]) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control() || without.contains(&c))
}

/// An entity of a question with what it takes from the defaults.
struct Merged<'a> {
    side: Side,
    object_type: Option<&'a str>,
    id: Option<&'a str>,
    properties: Option<&'a Context>,
}

impl<'a> Merged<'a> {
    /// An entity replaces its default; a name or a type that it does not have is the default's (section 7.1.1).
    fn new(side: Side, own: Option<&'a Entity>, default: Option<&'a Entity>) -> Result<Merged<'a>, Problem> {
        let first = own.or(default).ok_or_else(|| side.missing(""))?;
        let or_default = |field: fn(&Entity) -> Option<&str>| field(first).or_else(|| default.and_then(field));
        Ok(Merged {
            side,
            object_type: or_default(|entity| entity.object_type.as_deref()),
            id: or_default(|entity| entity.id.as_deref()),
            properties: first.properties.as_ref(),
        })
    }

    fn object_type(&self) -> Result<&'a str, Problem> {
        let text = self.object_type.ok_or_else(|| self.side.missing(".type"))?;
        if text.is_empty() || text.chars().count() > TYPE_CHARS_MAX || !holds_none_of(text, &[':', '#', '@']) {
            let of = self.side.name();
            let rule = format!("1 to {TYPE_CHARS_MAX} characters without `:`, `#`, `@` and blanks");
            return Err(refused(format!("`{of}.type` is {rule}, as the model names a type")));
        }
        Ok(text)
    }

    /// `type:id`.
    fn object(&self) -> Result<String, Problem> {
        let object_type = self.object_type()?;
        let id = self.id.ok_or_else(|| self.side.missing(".id"))?;
        let of = self.side.name();
        if id.contains(':') {
            return Err(refused(format!(
                "`{of}.id` holds `:`, which no id of a tuple may; what a URI names is asked with its scheme as the type and the \
                 rest as the id, as `crm` and `//contacts/1`"
            )));
        }
        if id.is_empty() || !holds_none_of(id, &['#']) {
            return Err(refused(format!("`{of}.id` is one or more characters without `:`, `#` and blanks")));
        }
        let text = [object_type, ":", id].concat();
        match self.side {
            Side::Resource if id == "*" => {
                Err(refused("`resource.id` is `*`; name one resource, or search for them by their type"))
            }
            Side::Resource if text.chars().count() > OBJECT_BYTES_MAX => Err(refused(format!(
                "`resource.type` and `resource.id` are longer than {OBJECT_BYTES_MAX} characters together"
            ))),
            Side::Subject if text.len() > SUBJECT_BYTES_MAX => Err(refused(format!(
                "`subject.type` and `subject.id` are longer than {SUBJECT_BYTES_MAX} bytes together"
            ))),
            Side::Resource | Side::Subject => Ok(text),
        }
    }
}

/// The parts of one question, each with its default.
pub(super) struct Asked<'a> {
    own: &'a Parts,
    defaults: &'a Parts,
}

impl Parts {
    /// No defaults.
    pub(super) const NOTHING: Parts = Parts { subject: None, action: None, resource: None, context: None };

    /// The question with these defaults.
    pub(super) fn with<'a>(&'a self, defaults: &'a Parts) -> Asked<'a> {
        Asked { own: self, defaults }
    }
}

fn inner<T>(part: Option<&Object<T>>) -> Option<&T> {
    part.map(|Object(inner)| inner)
}

impl<'a> Asked<'a> {
    fn subject(&self) -> Result<Merged<'a>, Problem> {
        Merged::new(Side::Subject, inner(self.own.subject.as_ref()), inner(self.defaults.subject.as_ref()))
    }

    fn resource(&self) -> Result<Merged<'a>, Problem> {
        Merged::new(Side::Resource, inner(self.own.resource.as_ref()), inner(self.defaults.resource.as_ref()))
    }

    /// Who asks, as a Check's user.
    pub(super) fn user(&self) -> Result<String, Problem> {
        self.subject()?.object()
    }

    /// The type of who asks.
    pub(super) fn subject_type(&self) -> Result<&'a str, Problem> {
        self.subject()?.object_type()
    }

    /// What it is about, as a Check's object.
    pub(super) fn object(&self) -> Result<String, Problem> {
        self.resource()?.object()
    }

    /// The type of what it is about.
    pub(super) fn resource_type(&self) -> Result<&'a str, Problem> {
        self.resource()?.object_type()
    }

    fn action(&self) -> Option<&'a Action> {
        inner(self.own.action.as_ref()).or(inner(self.defaults.action.as_ref()))
    }

    /// What is to be done, as a Check's relation.
    pub(super) fn relation(&self) -> Result<&'a str, Problem> {
        let missing = |what: &str| {
            let text = format!(
                r#"`action{what}` is missing; an action is a relation of the model, as in {{"name": "viewer"}}"#
            );
            refused(text)
        };
        let action = self.action().ok_or_else(|| missing(""))?;
        let default = inner(self.defaults.action.as_ref()).and_then(|action| action.name.as_deref());
        let name = action.name.as_deref().or(default).ok_or_else(|| missing(".name"))?;
        if name.is_empty() || name.chars().count() > RELATION_BYTES_MAX || !holds_none_of(name, &[':', '#', '@']) {
            let rule = format!("1 to {RELATION_BYTES_MAX} characters without `:`, `#`, `@` and blanks");
            return Err(refused(format!("`action.name` is {rule}, as the model names a relation")));
        }
        Ok(name)
    }

    /// What conditions are evaluated with: the properties by the name of their entity, and above them the context.
    pub(super) fn context(&self) -> Result<Context, Problem> {
        let mut all = Context::new();
        // An entity that is missing is told by who needs it.
        let subject = self.subject().ok().and_then(|subject| subject.properties);
        let resource = self.resource().ok().and_then(|resource| resource.properties);
        let action = self.action().and_then(|action| action.properties.as_ref());
        for (prefix, properties) in [("subject_", subject), ("resource_", resource), ("action_", action)] {
            all.extend(properties.into_iter().flatten().map(|(name, value)| ([prefix, name].concat(), value.clone())));
        }
        let own = self.own.context.as_ref().or(self.defaults.context.as_ref());
        all.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        if all.is_empty() {
            return Ok(all);
        }
        // Numbers and nesting become what they are in a Check.
        convert::context(Some(&convert::structure(&all)))
    }
}
