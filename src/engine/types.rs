//! What the questions take and give: queries, limits, consistency, answers and errors.

use crate::model::Model;
use crate::tuple::{Context, ModelId, ObjectRef, Revision, StoreId, Subject, Timestamp, Tuple, TupleKeyRef};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a request adds to the stored state: tuples and context that hold for this question only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// Tuples that count as if they were stored.
    pub contextual_tuples: &'a [Tuple],
    /// Parameters for conditions. A tuple's stored context wins over them.
    pub context: Option<&'a Context>,
}

/// May `key.subject` do `key.relation` to `key.object`?
#[derive(Clone, Copy, Debug)]
pub struct CheckQuery<'a> {
    /// Object, relation, subject.
    pub key: TupleKeyRef<'a>,
    /// What the request adds.
    pub given: Given<'a>,
}

/// To which objects of a type does a subject have a relation?
#[derive(Clone, Copy, Debug)]
pub struct ListObjectsQuery<'a> {
    /// The type of the objects.
    pub object_type: &'a str,
    /// The relation.
    pub relation: &'a str,
    /// Who asks.
    pub subject: crate::tuple::SubjectRef<'a>,
    /// What the request adds.
    pub given: Given<'a>,
}

/// Which subjects of a kind have a relation to an object?
#[derive(Clone, Copy, Debug)]
pub struct ListUsersQuery<'a> {
    /// The object.
    pub object: ObjectRef<'a>,
    /// The relation.
    pub relation: &'a str,
    /// The type of the subjects wanted.
    pub subject_type: &'a str,
    /// When present, usersets `subject_type:id#subject_relation` are wanted instead of objects.
    pub subject_relation: Option<&'a str>,
    /// What the request adds.
    pub given: Given<'a>,
}

/// Which usersets make up a relation of an object? One level.
#[derive(Clone, Copy, Debug)]
pub struct ExpandQuery<'a> {
    /// The object.
    pub object: ObjectRef<'a>,
    /// The relation.
    pub relation: &'a str,
    /// What the request adds.
    pub given: Given<'a>,
}

/// Bounds of one question. Reaching one is an error, never Deny and never a shorter list.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Hops through usersets and tuplesets (OpenFGA: resolve node limit). Check and ListUsers only.
    pub depth_max: u32,
    /// Nodes visited.
    pub visits_max: u64,
    /// Cost of one condition's evaluation.
    pub condition_cost_max: u64,
    /// Set by the caller when the answer is no longer wanted (deadline, disconnect).
    pub stop: Option<&'a AtomicBool>,
}

impl Default for Limits<'_> {
    fn default() -> Self {
        Limits { depth_max: 25, visits_max: 100_000_000, condition_cost_max: 100, stop: None }
    }
}

/// The answer to *may they?*
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

/// How fresh an answer must be. The default sees all that was acknowledged before the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The newest published state.
    #[default]
    Latest,
    /// At least this revision; refused when it is ahead of the database.
    AtLeast(Revision),
    /// Exactly this revision, while it is retained.
    Exact(Revision),
}

/// A value together with the revision it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The revision at which a write was committed, or an answer computed.
    pub revision: Revision,
    /// The value.
    pub value: T,
}

/// A store as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreInfo {
    /// Its identifier.
    pub id: StoreId,
    /// Its name; need not be unique.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What to do with a write of a tuple that exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Refuse the whole request.
    #[default]
    Error,
    /// Skip it when it is identical; refuse when the condition differs.
    Ignore,
}

/// What to do with a delete of a tuple that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// Refuse the whole request.
    #[default]
    Error,
    /// Skip it.
    Ignore,
}

/// Tuples to delete and to write, all or nothing. Deletes come first.
#[derive(Clone, Debug, Default)]
pub struct WriteQuery {
    /// Tuples to write.
    pub writes: Vec<Tuple>,
    /// Tuples to delete; their conditions are not looked at.
    pub deletes: Vec<Tuple>,
    /// For writes that exist.
    pub on_duplicate: OnDuplicate,
    /// For deletes that do not exist.
    pub on_missing: OnMissing,
    /// Module records to change in the same batch: they are there if and only if the tuples' changes are.
    pub records: Vec<super::RecordChange>,
    /// Module records that must be as they are expected, or nothing is written.
    pub expectations: Vec<super::RecordExpectation>,
}

/// A tuple as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTuple {
    /// The tuple.
    pub tuple: Tuple,
    /// When it was written.
    pub written_at: Timestamp,
}

/// Which tuples to read. All `None` reads all of the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadQuery<'a> {
    /// The object type.
    pub object_type: Option<&'a str>,
    /// The object's id; needs `object_type`.
    pub object_id: Option<&'a str>,
    /// The relation.
    pub relation: Option<&'a str>,
    /// The subject; an `Object` with an empty id means every object (not userset) of its type.
    pub subject: Option<crate::tuple::SubjectRef<'a>>,
    /// Most tuples to return.
    pub page_size: usize,
    /// Where the page before ended; from [`ReadPage::next`].
    pub after: Option<Position>,
}

/// A place in a store's sequence of changes: the revision and the index within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The revision of the write.
    pub revision: Revision,
    /// Which operation of it.
    pub index: u32,
}

/// A page of tuples, in the order they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPage {
    /// The tuples.
    pub tuples: Vec<StoredTuple>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Position>,
}

/// One change of a store's tuples. A delete carries no condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The tuple.
    pub tuple: Tuple,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When.
    pub at: Timestamp,
    /// Where in the sequence.
    pub position: Position,
}

/// Which changes to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadChangesQuery<'a> {
    /// Only tuples of objects of this type.
    pub object_type: Option<&'a str>,
    /// Most changes to return.
    pub page_size: usize,
    /// Only changes behind this place.
    pub after: Option<Position>,
    /// Only changes at or after this time; used only without `after`.
    pub start_time: Option<Timestamp>,
    /// Only changes before the first one that is newer than this (OpenFGA's horizon offset, subtracted from now).
    pub until: Option<Timestamp>,
}

/// A question stored with a model together with the answer it should have. `body` is opaque to the engine (the API's JSON).
#[derive(Clone, Debug, PartialEq)]
pub struct Assertions {
    /// The list, as the API encodes it.
    pub body: Vec<u8>,
}

/// Why a tuple does not fit the model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TupleFault {
    /// The object's type is not in the model.
    #[error("type '{object_type}' not found")]
    TypeNotFound {
        /// The type.
        object_type: String,
    },
    /// The type has no such relation.
    #[error("relation '{object_type}#{relation}' not found")]
    RelationNotFound {
        /// The type.
        object_type: String,
        /// The relation.
        relation: String,
    },
    /// The relation is computed only, or its restrictions do not name this kind of subject.
    #[error("{} is not an allowed type restriction for '{object_type}#{relation}'", kind(.subject_type))]
    SubjectNotAllowed {
        /// The subject's kind: `user`, `group#member`, `user:*`.
        subject_type: String,
        /// The object's type.
        object_type: String,
        /// The relation.
        relation: String,
    },
    /// A tupleset names something other than a plain object.
    #[error("{} with tupleset relation '{object_type}#{relation}'", unexpected(.subject))]
    TuplesetSubject {
        /// The subject.
        subject: String,
        /// The object's type.
        object_type: String,
        /// The relation.
        relation: String,
    },
    /// `o#r` is `r` of `o` by itself.
    #[error("cannot write a tuple that is implicit")]
    Implicit,
    /// The restriction demands a condition and the tuple has none.
    #[error("condition is missing")]
    ConditionMissing,
    /// The model has no such condition.
    #[error("undefined condition")]
    ConditionUndefined {
        /// The name.
        condition: String,
    },
    /// The condition is defined, but not attached to this restriction.
    #[error("invalid condition for type restriction")]
    ConditionNotAllowed {
        /// The name.
        condition: String,
    },
    /// The stored context has a key that the condition does not declare, or a value that cannot be cast.
    #[error("{reason}")]
    ConditionContext {
        /// What is wrong, in words.
        reason: String,
    },
}

/// A kind of subject in OpenFGA's words: `type 'user'`, `'group#member'`, `the typed wildcard 'user:*'`.
fn kind(subject_type: &str) -> String {
    match subject_type {
        wildcard if wildcard.ends_with(":*") => format!("the typed wildcard '{wildcard}'"),
        userset if userset.contains('#') => format!("'{userset}'"),
        object => format!("type '{object}'"),
    }
}

/// A subject where only a plain object may stand, likewise.
fn unexpected(subject: &str) -> String {
    if subject.ends_with(":*") {
        "unexpected wildcard relationship".to_owned()
    } else {
        format!("unexpected user '{subject}'")
    }
}

/// Why a question could not be answered. Never an answer in itself.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuestionError {
    /// There is no such store.
    #[error("store `{0}` not found")]
    StoreNotFound(StoreId),
    /// The store has no model yet.
    #[error("store `{0}` has no authorization model; write one first")]
    NoModel(StoreId),
    /// The store has no model of that id.
    #[error("authorization model `{0}` not found")]
    ModelNotFound(ModelId),
    /// The model has no such type.
    #[error("type '{object_type}' not found")]
    TypeNotFound {
        /// The type.
        object_type: String,
    },
    /// The type has no such relation.
    #[error("relation '{object_type}#{relation}' not found")]
    RelationNotFound {
        /// The type.
        object_type: String,
        /// The relation.
        relation: String,
    },
    /// The subject's type (or userset relation) is not in the model.
    #[error("invalid 'user' value: {fault}")]
    SubjectInvalid {
        /// The subject as text.
        subject: String,
        /// What is wrong.
        fault: TupleFault,
    },
    /// A contextual tuple does not fit the model.
    #[error("Invalid tuple '{tuple}'. Reason: {fault}")]
    ContextualTuple {
        /// The tuple as text.
        tuple: String,
        /// What is wrong.
        fault: TupleFault,
    },
    /// `limits.depth_max` was reached.
    #[error("resolution needs more than {depth_max} hops; check the model for recursion without end")]
    DepthExceeded {
        /// The bound.
        depth_max: u32,
    },
    /// `limits.visits_max` was reached.
    #[error("resolution needs more than {visits_max} visits")]
    VisitsExceeded {
        /// The bound.
        visits_max: u64,
    },
    /// The caller set `limits.stop`.
    #[error("stopped before the answer was found")]
    Stopped,
    /// A condition could not be evaluated.
    #[error("failed to evaluate relationship condition: '{condition}' - {reason}")]
    Condition {
        /// The condition.
        condition: String,
        /// What is wrong, in words.
        reason: String,
    },
    /// The revision asked for is ahead of this database.
    #[error("revision {asked} is ahead of this database, which is at {newest}", asked = .asked.0, newest = .newest.0)]
    RevisionAhead {
        /// What was asked for.
        asked: Revision,
        /// What there is.
        newest: Revision,
    },
    /// The revision asked for is no longer retained.
    #[error("revision {asked} is no longer retained; raise snapshots-retained or ask for at least", asked = .asked.0)]
    RevisionGone {
        /// What was asked for.
        asked: Revision,
    },
    /// Changes behind the place asked for were trimmed from the log.
    #[error(
        "changes behind the continuation token are no longer kept; read from the beginning, or raise log-retention"
    )]
    PositionGone,
    /// The store has no such collection.
    #[error("collection '{name}' not found in store `{store}`; create it first")]
    CollectionNotFound {
        /// The store.
        store: StoreId,
        /// The name.
        name: String,
    },
    /// A search cannot be answered as it was asked.
    #[error(transparent)]
    Vector(crate::vector::VectorError),
    /// More of something than one request may have.
    #[error("the request has {given} {what}; it may have {max}: split it")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        given: usize,
        /// The bound.
        max: usize,
    },
    /// The parts asked for are more than one answer may hold.
    #[error(
        "the answer would have more than {max} bytes of vectors and texts; ask for fewer chunks, or for fewer parts"
    )]
    AnswerBytes {
        /// The bound.
        max: usize,
    },
    /// Chunks of an object that cannot have any in the collection.
    #[error("the object is of type '{given}' where the collection's chunks belong to objects of type '{wanted}'")]
    NotGuarded {
        /// The type given.
        given: String,
        /// The guard's.
        wanted: String,
    },
    /// The text of a hit was replaced since the revision asked for.
    #[error(
        "the text of chunk '{chunk}' at the revision asked for is no longer kept; search the latest, or without text"
    )]
    TextGone {
        /// The chunk's id.
        chunk: String,
    },
    /// The store on disk failed or is damaged.
    #[error("the store on disk failed; see the log")]
    Storage,
}

impl From<crate::vector::VectorError> for QuestionError {
    fn from(error: crate::vector::VectorError) -> Self {
        if error == crate::vector::VectorError::Unreadable {
            QuestionError::Storage
        } else {
            QuestionError::Vector(error)
        }
    }
}

/// Why a write was refused. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The store, model or revision is not there.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A tuple does not fit the model.
    #[error("Invalid tuple '{tuple}'. Reason: {fault}")]
    Tuple {
        /// The tuple as text.
        tuple: String,
        /// What is wrong.
        fault: TupleFault,
    },
    /// The same tuple occurs twice in one request.
    #[error("duplicate tuple in write: {tuple}")]
    DuplicateInRequest {
        /// The tuple.
        tuple: Box<Tuple>,
    },
    /// The tuple exists.
    #[error("cannot write a tuple which already exists: {tuple}")]
    AlreadyExists {
        /// The tuple.
        tuple: Box<Tuple>,
    },
    /// The tuple exists under another condition (only with [`OnDuplicate::Ignore`]).
    #[error("tuple exists with a different condition: {tuple}")]
    ConditionDiffers {
        /// The tuple.
        tuple: Box<Tuple>,
    },
    /// The tuple does not exist.
    #[error("cannot delete a tuple which does not exist: {tuple}")]
    DoesNotExist {
        /// The tuple.
        tuple: Box<Tuple>,
    },
    /// A chunk is refused.
    #[error("chunk '{id}' (number {position} of the request): {fault}")]
    Chunk {
        /// Its id.
        id: String,
        /// Its place in the request, from 0.
        position: usize,
        /// What is wrong.
        fault: super::ChunkFault,
    },
    /// A collection cannot have that name.
    #[error(
        "'{name}' is not a name of a collection: use 1 to {max} letters, digits, '-', '_' and '.'",
        max = super::COLLECTION_NAME_BYTES_MAX
    )]
    CollectionName {
        /// The name.
        name: String,
    },
    /// A record is not what the write rests on: somebody was faster. Read again and decide anew.
    #[error("a record of module `{module}` is not as it was read; read it again and decide anew")]
    RecordChanged {
        /// The module whose record it is.
        module: &'static str,
    },
    /// A store, model or collection of that id or name exists.
    #[error("`{id}` exists already")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// The model breaks a rule.
    #[error("{reason}")]
    Model {
        /// OpenFGA's text.
        reason: String,
        /// Which OpenFGA error code class it is.
        code: ModelErrorCode,
    },
    /// A named bound of the database is reached (types, relations or names per store).
    #[error("{what} is at its bound of {max}")]
    Full {
        /// What is full.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// An earlier write failed on disk; the database takes no more writes until it is opened again.
    #[error("an earlier write failed on disk; open the database again")]
    Poisoned,
}

/// The class of a model's fault, as OpenFGA codes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelErrorCode {
    /// invalid_authorization_model 2056
    Invalid,
    /// cannot_allow_duplicate_types_in_one_request 2005
    DuplicateTypes,
}

/// A model with its id, shared.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// Its identifier.
    pub id: ModelId,
    /// The model.
    pub model: Arc<Model>,
}

/// The tree that Expand answers with.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpandNode {
    /// Subjects named by tuples, sorted as text.
    Users(Vec<Subject>),
    /// Another relation of the object: `document:1#editor`.
    Computed(String),
    /// Relations of related objects.
    TupleToUserset {
        /// `document:1#parent`
        tupleset: String,
        /// `folder:x#viewer`, one for each related object.
        computed: Vec<String>,
    },
    /// Any of these.
    Union(Vec<ExpandNode>),
    /// All of these.
    Intersection(Vec<ExpandNode>),
    /// The first, unless the second.
    Difference(Box<ExpandNode>, Box<ExpandNode>),
}
