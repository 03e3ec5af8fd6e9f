//! A search, as both surfaces ask it: read, checked, answered at one revision.

use super::super::calls::{Answer, Asked, Called};
use super::super::rules::{self, Checked};
use super::super::run::Api;
use super::super::{convert, proto as fga, validate};
use super::{Asks, In, embed, filter, json, with, wrong};
use crate::engine::{Given, QuestionError, SearchAnswer, SearchQuery};
use crate::tuple::SubjectRef;
use crate::vector::{Effort, HITS_MAX};
use crate::wire::Problem;
use serde::Deserialize;

/// Hits of a search that does not say how many it wants.
const HITS_DEFAULT: u32 = 10;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Search {
    pub(super) user: String,
    pub(super) agent: Option<String>,
    #[serde(deserialize_with = "json::vector")]
    pub(super) vector: Vec<f32>,
    #[serde(deserialize_with = "json::vectors")]
    pub(super) vectors: Vec<Vec<f32>>,
    /// In place of a vector.
    pub(super) query_text: Option<String>,
    pub(super) k: Option<u32>,
    pub(super) relation: Option<String>,
    /// JSON.
    #[serde(deserialize_with = "json::raw")]
    pub(super) filter: Option<String>,
    pub(super) exact: bool,
    #[serde(deserialize_with = "json::given")]
    pub(super) contextual_tuples: Option<fga::ContextualTupleKeys>,
    #[serde(deserialize_with = "json::context")]
    pub(super) context: Option<prost_types::Struct>,
    /// Answers are always consistent: every preference is held, as in Check.
    #[serde(deserialize_with = "json::consistency")]
    pub(super) consistency: (),
    pub(super) with: Vec<String>,
    pub(super) authorization_model_id: String,
}

pub(super) struct Searched {
    pub(super) answers: Vec<SearchAnswer>,
    /// Whether several vectors were asked about, be it a list of one.
    pub(super) several: bool,
    pub(super) token: String,
}

impl Search {
    pub(super) fn k(&self) -> Result<usize, Problem> {
        let k = usize::try_from(self.k.unwrap_or(HITS_DEFAULT)).unwrap_or(usize::MAX);
        let fits = (1..=HITS_MAX).contains(&k);
        if fits { Ok(k) } else { Err(wrong(format!("k is {k}; it may be 1 to {HITS_MAX}"))) }
    }
}

pub(super) fn subject<'a>(field: &str, text: &'a str) -> Result<SubjectRef<'a>, Problem> {
    let malformed = |_| {
        let why = convert::malformed("x:x", "x", text).replace("'user'", &format!("'{field}'"));
        wrong(format!("invalid '{field}' value: {why}"))
    };
    SubjectRef::parse(text).map_err(malformed)
}

impl Asks for Search {
    const NAME: &'static str = "SearchRequest";
    type Answer = Searched;

    fn validate(&self) -> Checked {
        rules::user((Self::NAME, "User"), &self.user)?;
        self.agent.as_ref().map_or(Ok(()), |agent| rules::user((Self::NAME, "Agent"), agent))?;
        self.relation.as_ref().map_or(Ok(()), |relation| rules::relation((Self::NAME, "Relation"), relation))?;
        validate::given(Self::NAME, self.contextual_tuples.as_ref())?;
        rules::ulid_or_empty((Self::NAME, "AuthorizationModelId"), &self.authorization_model_id)
    }

    fn texts(&mut self, api: &Api, _: &In) -> Result<Vec<String>, Problem> {
        embed::of_search(self, api)
    }

    fn embedded(&mut self, vectors: Vec<Vec<f32>>) {
        self.vector = vectors.into_iter().next().unwrap_or_default();
    }

    fn answer(self, api: &Api, of: &In, asked: &Asked<'_>) -> Called<Searched> {
        let k = self.k()?;
        let of_text = self.query_text.is_some();
        let several = !self.vectors.is_empty();
        let vectors = match (self.vector.is_empty(), several) {
            (false, false) => vec![self.vector],
            (true, true) => self.vectors,
            (true, false) => {
                return Err(wrong("there is no vector; give `vector`, several as `vectors`, or a `query_text`"));
            }
            (false, true) => return Err(wrong("`vector` and `vectors` are both given; give one of them")),
        };
        let filter = filter(self.filter.as_ref())?;
        let tuples = convert::tuples(self.contextual_tuples.as_ref())?;
        let context = self.context.as_ref().map(|c| convert::context(Some(c))).transpose()?;
        let query = SearchQuery {
            collection: &of.collection,
            subject: subject("user", &self.user)?,
            agent: self.agent.as_ref().map(|agent| subject("agent", agent)).transpose()?,
            vectors: &vectors,
            k,
            relation: self.relation.as_deref(),
            filter: filter.as_ref(),
            effort: if self.exact { Effort::Exact } else { Effort::Balanced },
            given: Given { contextual_tuples: &tuples, context: context.as_ref() },
            with: with(&self.with)?,
        };
        // The model is pinned, so that the answer can name it.
        let view = api.view(&of.store, &self.authorization_model_id, asked)?;
        let model = Some(view.model_id());
        let found = api.engine().search(view.store_id(), model, asked.consistency, &query, &api.limits(asked));
        let at = found.map_err(|error| {
            let of_model = of_text && matches!(error, QuestionError::Vector(_));
            let mut problem = Problem::from(error).at(view.revision(), model);
            if of_model {
                problem.message = embed::from_model(api, &problem.message);
            }
            problem
        })?;
        let message = Searched { answers: at.value, several, token: api.token(at.revision) };
        Ok(Answer { message, revision: at.revision, model, truncated: false })
    }
}
