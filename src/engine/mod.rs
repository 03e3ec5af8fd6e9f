//! The questions and the one writer.

mod types;

pub use types::{
    Assertions, At, Change, CheckQuery, Consistency, Decision, ExpandNode, ExpandQuery, Given, Limits,
    ListObjectsQuery, ListUsersQuery, ModelErrorCode, OnDuplicate, OnMissing, Position, QuestionError,
    ReadChangesQuery, ReadPage, ReadQuery, StoreInfo, StoredModel, StoredTuple, TupleFault, WriteError, WriteQuery,
};
