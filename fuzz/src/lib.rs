//! The pure rooms, compiled without the others.

#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/storage/keys.rs"]
pub mod keys;
#[path = "../../src/secrets/mod.rs"]
pub mod secrets;
#[path = "../../src/tuple/mod.rs"]
pub mod tuple;
#[allow(unused_imports, reason = "the engine uses more of it")]
#[path = "../../src/vector/mod.rs"]
pub mod vector;

/// The audit log's tree and its notes.
#[path = "."]
pub mod audit {
    #[path = "../../src/modules/audit/note.rs"]
    pub mod note;
    #[path = "../../src/modules/audit/tree.rs"]
    pub mod tree;
}

/// What the identity room decodes before it believes anything: tokens, key sets, proofs, certificates, forms.
#[path = "."]
pub mod identity {
    #[path = "../../src/identity/certificate.rs"]
    mod certificate;
    #[path = "../../src/identity/env.rs"]
    mod env;
    #[path = "../../src/identity/form.rs"]
    mod form;
    #[path = "../../src/identity/jwt.rs"]
    #[expect(dead_code, reason = "signing is the whole room's")]
    mod jwt;
    #[path = "../../src/identity/pairs.rs"]
    #[expect(dead_code, reason = "signing is the whole room's")]
    mod pairs;
    #[path = "../../src/identity/proof.rs"]
    mod proof;
    #[path = "../../src/identity/refusal.rs"]
    mod refusal;

    pub use certificate::{ClientCertificate, TlsSubject};
    pub use env::{Env, Seconds, decode, encode, hash_of, same};
    pub use form::Form;
    pub use jwt::{TOKEN_BYTES_MAX, check_times, unverified_claim, unverified_header, usable_keys, verify_with};
    pub use proof::{Proved, is_thumbprint, judge_proof};
    pub use refusal::{Answer, ErrorCode, Refusal};

    /// As `identity/grants.rs` has it.
    pub const DETAILS_BYTES_MAX: usize = 32 << 10;
}

/// The errors of the engine that a refusal is made of; nothing here makes one.
pub mod engine {
    /// Why a question has no answer.
    #[derive(Debug, thiserror::Error)]
    pub enum QuestionError {}

    /// Why a write was not made.
    #[derive(Debug, thiserror::Error)]
    pub enum WriteError {
        /// A record is not as it was read.
        #[error("changed")]
        RecordChanged {},
    }
}
