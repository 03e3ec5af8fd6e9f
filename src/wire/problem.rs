//! The one list of error codes and their statuses, as OpenFGA has them.

use crate::engine::{ModelErrorCode, QuestionError, TupleFault, WriteError};
use crate::tuple::{ModelId, Revision};

macro_rules! codes {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// A stable code. gRPC carries the number as its status, HTTP the text in the body.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Code {
            $(#[doc = $text] $name = $number,)*
        }
        impl Code {
            /// The code as HTTP bodies name it.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

codes! {
    InvalidArgument = 3, "validation_error";
    ResourceExhausted = 8, "resource_exhausted";
    Aborted = 10, "Aborted";
    Unimplemented = 12, "unimplemented";
    BearerTokenMissing = 1010, "bearer_token_missing";
    Unauthenticated = 1500, "unauthenticated";
    Validation = 2000, "validation_error";
    ModelNotFound = 2001, "authorization_model_not_found";
    TooComplex = 2002, "authorization_model_resolution_too_complex";
    InvalidWriteInput = 2003, "invalid_write_input";
    DuplicateTuples = 2004, "cannot_allow_duplicate_tuples_in_one_request";
    InvalidToken = 2007, "invalid_continuation_token";
    InvalidExpand = 2010, "invalid_expand_input";
    WriteFailed = 2017, "write_failed_due_to_invalid_input";
    LatestModelNotFound = 2020, "latest_authorization_model_not_found";
    TypeNotFound = 2021, "type_not_found";
    RelationNotFound = 2022, "relation_not_found";
    InvalidTuple = 2027, "invalid_tuple";
    TokenMismatch = 2052, "query_string_type_continuation_token_mismatch";
    EntityLimit = 2053, "exceeded_entity_limit";
    InvalidModel = 2056, "invalid_authorization_model";
    Cancelled = 2058, "cancelled";
    InvalidStartTime = 2059, "invalid_start_time";
    Internal = 4000, "internal_error";
    Deadline = 4004, "deadline_exceeded";
    UndefinedEndpoint = 5000, "undefined_endpoint";
    StoreNotFound = 5002, "store_id_not_found";
    // Ours: OpenFGA has no collections.
    CollectionNotFound = 5100, "collection_not_found";
    CollectionExists = 5101, "collection_exists";
    // Nor does it ask others: one that may answer later, and one whose answer is of no use.
    EmbeddingUnavailable = 5102, "embedding_unavailable";
    EmbeddingFailed = 5103, "embedding_failed";
}

/// The codes of broken rules: field, start of the reason, code. All others are `validation_error`.
const RULE_CODES: [(&str, &str, &str); 18] = [
    ("Assertions", "value must contain no more than", "assertions_too_many_items"),
    ("AuthorizationModelId", "value length must be at most", "authorization_model_id_too_long"),
    ("Base", "value is required", "difference_base_missing_value"),
    ("Subtract", "value is required", "subtract_base_missing_value"),
    ("Params", "value is required", "param_missing_value"),
    ("TupleKey", "value is required", "tuple_key_value_not_specified"),
    ("Id", "value length must be at most", "id_too_long"),
    ("Object", "value length must be at most", "object_too_long"),
    ("Relation", "value length must be at most", "relation_too_long"),
    ("PageSize", "value must be inside range", "page_size_invalid"),
    ("Relations", "value must contain at least", "relations_too_few_items"),
    ("Relations[]", "value length must be at most", "relations_too_long"),
    ("Relations[]", "value does not match regex pattern", "relations_invalid_pattern"),
    ("StoreId", "value length must be", "store_id_invalid_length"),
    ("TupleKeys", "value must contain between", "tuple_keys_too_many_or_too_few_items"),
    ("Type", "value length must be at", "type_invalid_length"),
    ("Type", "value does not match regex", "type_invalid_pattern"),
    ("TypeDefinitions", "value must contain at least", "type_definitions_too_few_items"),
];

/// An error as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What is wrong, in OpenFGA's words where it has some.
    pub message: String,
    /// The revision at which it was found, where a state was looked at.
    pub revision: Option<Revision>,
    /// The model that was asked, where there was one.
    pub model: Option<ModelId>,
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: Code, message: impl Into<String>) -> Problem {
        Problem { code, message: message.into(), revision: None, model: None }
    }

    /// A broken rule of a request's field: `invalid CheckRequestTupleKey.Object: value …`.
    #[must_use]
    pub fn field(message: &str, field: &str, reason: &str) -> Problem {
        Problem::new(Code::InvalidArgument, format!("invalid {message}.{field}: {reason}"))
    }

    /// The same, for a field that holds the message whose rule is broken.
    #[must_use]
    pub fn within(mut self, message: &str, field: &str) -> Problem {
        let cause = self.message;
        self.message = format!("invalid {message}.{field}: embedded message failed validation | caused by: {cause}");
        self
    }

    /// The same, found at a revision under a model.
    #[must_use]
    pub fn at(mut self, revision: Revision, model: Option<ModelId>) -> Problem {
        self.revision = Some(revision);
        self.model = model;
        self
    }

    /// The message as HTTP bodies have it: only the innermost cause of a broken rule.
    #[must_use]
    pub fn short(&self) -> &str {
        let last = self.message.rsplit_once("| caused by:").map_or(self.message.as_str(), |(_, last)| last);
        last.trim()
    }

    /// The code as HTTP bodies name it. Some broken rules have one of their own, by the field and the start of the reason.
    #[must_use]
    pub fn text(&self) -> &'static str {
        if self.code != Code::InvalidArgument {
            return self.code.text();
        }
        let Some((place, reason)) = self.short().split_once(": ") else { return "validation_error" };
        let mut parts = place.split('.').skip(1);
        let (Some(field), None) = (parts.next(), parts.next()) else { return "validation_error" };
        let field = if field.starts_with("Relations[") { "Relations[]" } else { field };
        let found = RULE_CODES.iter().find(|(f, start, _)| *f == field && reason.starts_with(start));
        found.map_or("validation_error", |(.., code)| code)
    }

    /// The status of an HTTP answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.code as i32 {
            3 | 2000..3500 => 400,
            1000..2000 => 401,
            10 | 5101 => 409,
            5102 => 503,
            5103 => 502,
            12 | 5000.. => 404,
            _ => 500,
        }
    }
}

impl From<QuestionError> for Problem {
    fn from(error: QuestionError) -> Problem {
        use QuestionError as E;
        let text = error.to_string();
        match error {
            E::StoreNotFound(_) => Problem::new(Code::StoreNotFound, "Store ID not found"),
            E::NoModel(store) => {
                Problem::new(Code::LatestModelNotFound, format!("No authorization models found for store '{store}'"))
            }
            E::ModelNotFound(id) => Problem::new(Code::ModelNotFound, format!("Authorization Model '{id}' not found")),
            E::TypeNotFound { .. } => Problem::new(Code::TypeNotFound, text),
            E::RelationNotFound { .. } => Problem::new(Code::RelationNotFound, text),
            E::SubjectInvalid { .. } | E::Condition { .. } => Problem::new(Code::Validation, text),
            E::ContextualTuple { .. } => Problem::new(Code::InvalidTuple, text),
            E::DepthExceeded { .. } | E::VisitsExceeded { .. } => Problem::new(
                Code::TooComplex,
                "Authorization Model resolution required too many rewrite rules to be resolved. Check your authorization \
                 model for infinite recursion or too much nesting",
            ),
            E::Stopped => Problem::new(Code::Deadline, "Request Deadline Exceeded"),
            E::RevisionAhead { .. } | E::RevisionGone { .. } => Problem::new(Code::Validation, text),
            E::CollectionNotFound { .. } => Problem::new(Code::CollectionNotFound, text),
            E::Vector(_) | E::Count { .. } | E::AnswerBytes { .. } | E::NotGuarded { .. } | E::TextGone { .. } => {
                Problem::new(Code::Validation, text)
            }
            E::PositionGone => Problem::new(Code::InvalidToken, text),
            E::Storage => Problem::new(Code::Internal, "Internal Server Error"),
        }
    }
}

/// Why a tuple is refused; where its condition is at fault, the condition is named.
fn invalid_tuple(tuple: &str, fault: &TupleFault) -> String {
    match fault {
        TupleFault::ConditionUndefined { condition } | TupleFault::ConditionNotAllowed { condition } => {
            format!("Invalid tuple '{tuple} (condition {condition})'. Reason: {fault}")
        }
        TupleFault::TypeNotFound { .. }
        | TupleFault::RelationNotFound { .. }
        | TupleFault::SubjectNotAllowed { .. }
        | TupleFault::TuplesetSubject { .. }
        | TupleFault::Implicit
        | TupleFault::ConditionMissing
        | TupleFault::ConditionContext { .. } => format!("Invalid tuple '{tuple}'. Reason: {fault}"),
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Problem {
        use WriteError as E;
        let text = error.to_string();
        let key = |t: &crate::tuple::Tuple| {
            format!("user: '{}', relation: '{}', object: '{}'", t.subject, t.relation, t.object)
        };
        match error {
            E::Question(error) => error.into(),
            E::Tuple { tuple, fault } => Problem::new(Code::Validation, invalid_tuple(&tuple, &fault)),
            E::IdTaken { .. } | E::Full { .. } | E::Chunk { .. } | E::CollectionName { .. } => {
                Problem::new(Code::Validation, text)
            }
            E::DuplicateInRequest { tuple } => {
                Problem::new(Code::DuplicateTuples, format!("duplicate tuple in write: {}", key(&tuple)))
            }
            E::AlreadyExists { tuple } => Problem::new(
                Code::WriteFailed,
                format!(
                    "cannot write a tuple which already exists: {}: tuple to be written already existed or the tuple to \
                     be deleted did not exist",
                    key(&tuple)
                ),
            ),
            E::DoesNotExist { tuple } => Problem::new(
                Code::WriteFailed,
                format!(
                    "cannot delete a tuple which does not exist: {}: tuple to be written already existed or the tuple to \
                     be deleted did not exist",
                    key(&tuple)
                ),
            ),
            E::ConditionDiffers { tuple } => Problem::new(
                Code::Aborted,
                format!(
                    "transactional write failed due to conflict: attempted to write a tuple which already exists \
                         with a different condition: {}",
                    key(&tuple)
                ),
            ),
            E::Model { reason, code: ModelErrorCode::Invalid | ModelErrorCode::DuplicateTypes } => {
                Problem::new(Code::InvalidModel, reason)
            }
            // Records are modules' own: on this surface nobody expects any.
            E::RecordChanged { .. } => Problem::new(Code::Aborted, text),
            E::Poisoned => Problem::new(Code::Internal, "Internal Server Error"),
        }
    }
}
