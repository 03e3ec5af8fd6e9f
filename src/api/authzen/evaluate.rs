//! Access Evaluation and Access Evaluations (AuthZEN 1.0, sections 6 and 7): Check and BatchCheck.

use super::entity::{self, Parts};
use super::{Asks, Sent, printed};
use crate::api::calls::{Asked, Called};
use crate::api::fast::Object;
use crate::api::run::Api;
use crate::engine::{Given, View};
use crate::tuple::TupleKeyRef;
use crate::wire::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Problems from this status on are ours: they fail a whole batch, and not only the item that met them.
const OURS: u16 = 500;

impl Asks for Parts {
    const NAME: &'static str = "AuthzenEvaluationRequest";
}

/// Several questions, or one.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Batch {
    #[serde(flatten)]
    defaults: Parts,
    /// Each is read by itself, so that one that cannot be read is answered in its place.
    evaluations: Option<Vec<Value>>,
    options: Option<Object<Options>>,
}

impl Asks for Batch {
    const NAME: &'static str = "AuthzenEvaluationsRequest";
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    evaluations_semantic: Option<String>,
}

/// When a batch ends (section 7.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Semantic {
    All,
    FirstDeny,
    FirstPermit,
}

impl Semantic {
    fn of(options: Option<&Object<Options>>) -> Result<Semantic, Problem> {
        match options.and_then(|Object(options)| options.evaluations_semantic.as_deref()) {
            None | Some("execute_all") => Ok(Semantic::All),
            Some("deny_on_first_deny") => Ok(Semantic::FirstDeny),
            Some("permit_on_first_permit") => Ok(Semantic::FirstPermit),
            Some(_) => {
                let known = "`execute_all`, `deny_on_first_deny` or `permit_on_first_permit`";
                Err(Problem::new(Code::Validation, format!("`options.evaluations_semantic` is {known}")))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Semantic::All => "execute_all",
            Semantic::FirstDeny => "deny_on_first_deny",
            Semantic::FirstPermit => "permit_on_first_permit",
        }
    }

    /// Whether a decision is the last one.
    fn ends_with(self, decision: bool) -> bool {
        match self {
            Semantic::All => false,
            Semantic::FirstDeny => !decision,
            Semantic::FirstPermit => decision,
        }
    }
}

/// One answer.
#[derive(Serialize)]
struct Decided {
    decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
}

#[derive(Serialize)]
struct DecidedAll {
    evaluations: Vec<Decided>,
}

/// What is asked, in the engine's words.
struct Question {
    user: String,
    relation: String,
    object: String,
    context: crate::tuple::Context,
}

impl Question {
    fn of(asked: &entity::Asked<'_>) -> Result<Question, Problem> {
        let (user, relation) = (asked.user()?, asked.relation()?.to_owned());
        Ok(Question { user, relation, object: asked.object()?, context: asked.context()? })
    }

    fn decide(&self, api: &Api, view: &View, asked: &Asked<'_>) -> Result<bool, Problem> {
        let key = TupleKeyRef::parse(&self.object, &self.relation, &self.user)
            .map_err(|error| Problem::new(Code::Validation, error.to_string()))?;
        api.decide(view, key, Given { contextual_tuples: &[], context: Some(&self.context) }, asked)
    }
}

impl Api {
    /// One decision.
    pub(super) fn evaluation(&self, r: &Sent<Parts>, asked: &Asked<'_>) -> Called<Vec<u8>> {
        self.evaluate_one(r, &r.body, asked)
    }

    fn evaluate_one<B>(&self, r: &Sent<B>, parts: &Parts, asked: &Asked<'_>) -> Called<Vec<u8>> {
        let question = Question::of(&parts.with(&Parts::NOTHING))?;
        let view = self.view(&r.store, &r.model, asked)?;
        self.under(&view, |view| {
            let decision = question.decide(self, view, asked)?;
            printed(&Decided { decision, context: None })
        })
    }

    /// Decisions in the order of their questions, up to the one that ends the batch.
    pub(super) fn evaluations(&self, r: &Sent<Batch>, asked: &Asked<'_>) -> Called<Vec<u8>> {
        let semantic = Semantic::of(r.body.options.as_ref())?;
        let items = r.body.evaluations.as_deref().unwrap_or_default();
        if items.is_empty() {
            return self.evaluate_one(r, &r.body.defaults, asked);
        }
        let (count, max) = (items.len(), self.bounds().checks_per_batch_max);
        if count > max {
            let text =
                format!("`evaluations` has {count} items; at most {max} are answered in one request: split them");
            return Err(Problem::new(Code::Validation, text));
        }
        let view = self.view(&r.store, &r.model, asked)?;
        self.under(&view, |view| {
            let mut evaluations = Vec::with_capacity(count);
            for (item, behind) in items.iter().zip((0..count).rev()) {
                let mut decided = self.item(view, item, &r.body.defaults, asked)?;
                let last = semantic.ends_with(decided.decision);
                if last && behind > 0 {
                    let context = decided.context.get_or_insert_with(|| json!({}));
                    if let Some(context) = context.as_object_mut() {
                        context.insert("reason".to_owned(), semantic.name().into());
                    }
                }
                evaluations.push(decided);
                if last {
                    break;
                }
            }
            printed(&DecidedAll { evaluations })
        })
    }

    /// One of several. What is wrong with it is its own answer, and a denial; what is wrong with us is nobody's.
    fn item(&self, view: &View, item: &Value, defaults: &Parts, asked: &Asked<'_>) -> Result<Decided, Problem> {
        let read = |item: &Value| {
            let Object(parts) = Object::<Parts>::deserialize(item)
                .map_err(|error| Problem::new(Code::Validation, error.to_string()))?;
            Question::of(&parts.with(defaults))?.decide(self, view, asked)
        };
        match read(item) {
            Ok(decision) => Ok(Decided { decision, context: None }),
            Err(problem) if problem.status() >= OURS => Err(problem),
            Err(problem) => {
                let error = json!({"status": problem.status(), "code": problem.text(), "message": problem.short()});
                Ok(Decided { decision: false, context: Some(json!({ "error": error })) })
            }
        }
    }
}
