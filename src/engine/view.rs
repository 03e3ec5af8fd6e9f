//! A view: one snapshot of one store and the plan of one model, pinned for as many questions as the caller likes.

use super::collection::{KeptSets, SearchAnswer, SearchQuery};
use super::plan::Plan;
use super::state::{Snapshot, StoreEntry};
use super::types::{
    CheckQuery, Consistency, Decision, ExpandNode, ExpandQuery, Given, Limits, ListObjectsQuery, ListUsersQuery,
    QuestionError, StoredModel, TupleFault,
};
use super::world::World;
use super::{Engine, Inner, ListedObjects, check, expand, list_objects, list_users, tuple_rules, witness};
use crate::tuple::{ModelId, Revision, StoreId, Subject, Tuple};
use std::sync::Arc;

/// See the file's head. All its answers belong to one revision.
#[derive(Clone)]
pub struct View {
    pub(super) revision: Revision,
    pub(super) store: Arc<StoreEntry>,
    pub(super) model: StoredModel,
    pub(super) plan: Arc<Plan>,
    pub(super) kept: Arc<KeptSets>,
}

impl Engine {
    /// Pins a store at a revision, under a model (the latest one when none is named).
    ///
    /// # Errors
    /// No such model, or a revision that is ahead or no longer retained.
    pub fn view(
        &self,
        store: StoreId,
        model: Option<ModelId>,
        consistency: Consistency,
    ) -> Result<View, QuestionError> {
        self.view_of(&*self.pinned(consistency)?, store, model)
    }

    /// Pins a store as a snapshot has it.
    pub(super) fn view_of(
        &self,
        snapshot: &Snapshot,
        store: StoreId,
        model: Option<ModelId>,
    ) -> Result<View, QuestionError> {
        let entry = snapshot.store(store).ok_or(match model {
            Some(id) => QuestionError::ModelNotFound(id),
            None => QuestionError::NoModel(store),
        })?;
        let model = match model {
            Some(id) => entry.model(id).ok_or(QuestionError::ModelNotFound(id))?,
            None => entry.models.last().ok_or(QuestionError::NoModel(store))?,
        };
        let plan = self.inner.plan(entry, model);
        let (store, kept) = (Arc::clone(entry), Arc::clone(&self.inner.kept));
        Ok(View { revision: snapshot.revision, store, model: model.clone(), plan, kept })
    }

    fn pinned(&self, consistency: Consistency) -> Result<Arc<Snapshot>, QuestionError> {
        let newest = self.inner.snapshot.load_full();
        match consistency {
            Consistency::Latest => Ok(newest),
            Consistency::AtLeast(asked) | Consistency::Exact(asked) if asked > newest.revision => {
                Err(QuestionError::RevisionAhead { asked, newest: newest.revision })
            }
            Consistency::AtLeast(_) => Ok(newest),
            Consistency::Exact(asked) => self.inner.retained.find(asked).ok_or(QuestionError::RevisionGone { asked }),
        }
    }
}

impl Inner {
    /// The compiled plan of a model. The dictionaries that it refers to were complete when the model was written.
    pub(super) fn plan(&self, entry: &StoreEntry, model: &StoredModel) -> Arc<Plan> {
        let key = (entry.number, model.id);
        if let Some(plan) = self.plans.read().get(&key) {
            return Arc::clone(plan);
        }
        let plan = Arc::new(Plan::compile(&model.model, &entry.index));
        let mut plans = self.plans.write();
        if plans.len() >= self.settings.plans_max.max(1) {
            plans.clear(); // rare; each is compiled again when it is asked for
        }
        plans.insert(key, Arc::clone(&plan));
        plan
    }
}

impl View {
    /// The revision that all answers belong to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The store.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.store.id
    }

    /// The model that answers.
    #[must_use]
    pub fn model_id(&self) -> ModelId {
        self.model.id
    }

    /// The model itself.
    #[must_use]
    pub fn model(&self) -> &crate::model::Model {
        &self.model.model
    }

    /// Whether the model has a type with such a relation.
    ///
    /// # Errors
    /// It has not.
    pub fn knows(&self, object_type: &str, relation: &str) -> Result<(), QuestionError> {
        let limits = Limits::default();
        let world = World::new(&self.store.index, &self.plan, &self.model.model, Given::default(), &limits)?;
        world.node(&self.model.model, object_type, relation).map(|_| ())
    }

    /// Answers which chunks of a collection, among those that the subject may see, are nearest to each vector. Without
    /// texts, which are on disk: [`Engine::search`] adds them.
    pub fn search(&self, query: &SearchQuery<'_>, limits: &Limits<'_>) -> Result<Vec<SearchAnswer>, QuestionError> {
        super::collection::search(self, query, limits)
    }

    /// Answers whether `subject` has `relation` to `object`.
    ///
    /// An unknown object is `Deny`: nobody relates to it. An unknown type or relation is an error, so that a typo cannot
    /// pass for a denial. Reaching a limit is an error, never `Deny`.
    pub fn check(&self, query: &CheckQuery<'_>, limits: &Limits<'_>) -> Result<Decision, QuestionError> {
        let mut world = World::new(&self.store.index, &self.plan, &self.model.model, query.given, limits)?;
        let key = query.key;
        let (object_type, node) = world.node(&self.model.model, key.object.object_type, key.relation)?;
        let who = world.who(key.subject)?;
        let object = world.ordinal(object_type, key.object.id);
        check::Checker::new(&mut world, who).check(node, object)
    }

    /// Answers to which objects of a type the subject has the relation: all of them, each once.
    pub fn list_objects(
        &self,
        query: &ListObjectsQuery<'_>,
        limits: &Limits<'_>,
    ) -> Result<ListedObjects, QuestionError> {
        let mut world = World::new(&self.store.index, &self.plan, &self.model.model, query.given, limits)?;
        list_objects::list_objects(&mut world, &self.model.model, query)
    }

    /// Answers which subjects of a kind have the relation to the object: all of them, each once.
    pub fn list_users(&self, query: &ListUsersQuery<'_>, limits: &Limits<'_>) -> Result<Vec<Subject>, QuestionError> {
        let mut world = World::new(&self.store.index, &self.plan, &self.model.model, query.given, limits)?;
        list_users::list_users(&mut world, &self.model.model, query)
    }

    /// Answers what a relation of an object is made of, one level deep.
    pub fn expand(&self, query: &ExpandQuery<'_>) -> Result<ExpandNode, QuestionError> {
        let limits = Limits::default();
        let mut world = World::new(&self.store.index, &self.plan, &self.model.model, query.given, &limits)?;
        expand::expand(&mut world, &self.model.model, query, expand::Which::Allowed)
    }

    /// Answers by which tuples `subject` has `relation` to `object`, as `object#relation@subject`, from the object to the subject:
    /// one way of perhaps several. `None` when it has not.
    ///
    /// # Errors
    /// As [`View::check`].
    pub fn witness(&self, query: &CheckQuery<'_>, limits: &Limits<'_>) -> Result<Option<Vec<String>>, QuestionError> {
        witness::witness(self, query, limits)
    }

    /// What a relation of an object is made of, of tuples whose conditions are met.
    pub(super) fn expand_met(&self, query: &ExpandQuery<'_>, limits: &Limits<'_>) -> Result<ExpandNode, QuestionError> {
        let mut world = World::new(&self.store.index, &self.plan, &self.model.model, query.given, limits)?;
        expand::expand(&mut world, &self.model.model, query, expand::Which::Met)
    }

    /// Whether the model allows a tuple, its condition's stored context included.
    pub fn allows(&self, tuple: &Tuple) -> Result<(), TupleFault> {
        tuple_rules::column_of(&self.store.index, &self.model.model, tuple)?;
        tuple_rules::check_context(&self.plan, tuple)
    }
}
