//! The one list of error codes and their statuses, as OpenFGA has them.

use crate::engine::{ModelErrorCode, QuestionError, WriteError};

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
}

/// An error as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What is wrong, in OpenFGA's words where it has some.
    pub message: String,
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: Code, message: impl Into<String>) -> Problem {
        Problem { code, message: message.into() }
    }

    /// A broken rule of a request's field: `invalid CheckRequestTupleKey.Object: value …`.
    #[must_use]
    pub fn field(field: &str, reason: &str) -> Problem {
        Problem::new(Code::InvalidArgument, format!("invalid {field}: {reason}"))
    }

    /// The status of an HTTP answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.code as i32 {
            3 | 2000..3500 => 400,
            10 => 409,
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
            E::Storage => Problem::new(Code::Internal, "Internal Server Error"),
        }
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
            E::Tuple { .. } | E::IdTaken { .. } | E::Full { .. } => Problem::new(Code::Validation, text),
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
            E::Poisoned => Problem::new(Code::Internal, "Internal Server Error"),
        }
    }
}
