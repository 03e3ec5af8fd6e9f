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

/// What the identity room decodes before it believes anything: tokens, key sets, proofs, certificates, forms, names.
#[path = "."]
#[allow(dead_code, reason = "what has records uses more of it")]
pub mod identity {
    #[path = "../../src/identity/authentication.rs"]
    mod authentication;
    #[path = "../../src/identity/certificate.rs"]
    mod certificate;
    #[path = "../../src/identity/env.rs"]
    mod env;
    #[path = "../../src/identity/form.rs"]
    mod form;
    #[path = "../../src/identity/jwt.rs"]
    mod jwt;
    #[path = "../../src/identity/names.rs"]
    mod names;
    #[path = "../../src/identity/pairs.rs"]
    mod pairs;
    #[path = "../../src/identity/proof.rs"]
    mod proof;
    #[path = "../../src/identity/refusal.rs"]
    mod refusal;
    #[path = "../../src/identity/rule.rs"]
    mod rule;
    #[path = "../../src/identity/shown.rs"]
    mod shown;
    #[path = "../../src/identity/spiffe.rs"]
    mod spiffe;
    #[path = "../../src/identity/strict.rs"]
    mod strict;

    pub use authentication::{Authentication, StepUp};
    pub use certificate::{ClientCertificate, TlsSubject};
    pub use env::{Env, Seconds, decode, encode, hash_of, same};
    pub use form::Form;
    pub use jwt::{TOKEN_BYTES_MAX, check_times, unverified_claim, unverified_header, usable_keys, verify_with};
    pub use names::{
        ACR_VALUES, ID_BYTES_MAX, RESOURCE_BYTES_MAX, SCOPES_MAX, acr_satisfies, check_id, check_resource,
        connection_scope_object, connection_scope_of, is_loopback, is_scope, is_secure, scope_object, scopes_of,
    };
    pub use proof::{Proved, is_thumbprint, judge_proof};
    pub use refusal::{Answer, ErrorCode, Refusal};
    pub use rule::{DECIMAL_DIGITS, Rule, ValueKind, decimal};
    pub use strict::StrictJson;

    /// As `identity/grants.rs` has it.
    pub const DETAILS_BYTES_MAX: usize = 32 << 10;

    /// As `identity/records.rs` has it. Nothing is stored here.
    pub trait Stored: serde::Serialize + serde::de::DeserializeOwned {
        /// Whose it is.
        const MODULE: crate::engine::Module;
        /// The letter of its keys.
        const SORT: u8;
        /// What it is called.
        const WHAT: &'static str;
    }

    /// What a client shows, by what it shows it with: `basic`, `post`, `assertion`, `svid` or `nothing`; its id or its
    /// assertion; and its secret.
    ///
    /// # Errors
    /// It shows nothing, or shows it in several ways.
    pub fn shown(authorization: Option<&str>, form: &Form) -> Answer<(&'static str, String, Option<String>)> {
        Ok(match shown::Shown::read(authorization, form)? {
            shown::Shown::Basic(id, secret) => ("basic", id, Some(secret)),
            shown::Shown::Post(id, secret) => ("post", id.to_owned(), Some(secret.to_owned())),
            shown::Shown::Assertion(assertion) => ("assertion", assertion.to_owned(), None),
            shown::Shown::Svid(svid) => ("svid", svid.to_owned(), None),
            shown::Shown::Nothing(id) => ("nothing", id.to_owned(), None),
        })
    }

    /// The trust domain of a SPIFFE ID.
    pub fn domain_of(id: &str) -> Option<&str> {
        spiffe::domain_of(id)
    }

    /// The keys of a bundle that verify JWT-SVIDs.
    pub fn keys_of_svids(bundle: &serde_json::Value) -> serde_json::Value {
        spiffe::keys_of_svids(bundle)
    }
}

/// What modules decode, without what they keep.
#[allow(dead_code, unused_imports, reason = "what has records uses more of it")]
pub mod modules {
    pub mod agent;
    pub mod approval;
    pub mod login;
    pub mod mcp;
    pub mod scim;
    pub mod vault;
}

/// What the handlers share.
#[path = "."]
#[allow(dead_code, reason = "what sends uses more of it")]
pub mod wire {
    #[path = "../../src/wire/outgoing/address.rs"]
    mod address;
    #[path = "../../src/wire/hidden.rs"]
    mod hidden;
    #[path = "../../src/wire/token.rs"]
    mod token;

    pub use address::{Allowed, Range, judge};
    pub use hidden::{is_hidden, visible};
    pub use token::{Tokens, decode_page, encode_page};

    /// Why nobody answered. Nobody is asked here.
    #[derive(Debug, thiserror::Error)]
    #[error("nobody is asked")]
    pub struct OutgoingError;
}

/// What of the engine stands in what is compiled here; nothing here asks it anything.
pub mod engine {
    /// Whose records something is.
    #[derive(Clone, Copy, Debug)]
    pub struct Module;

    impl Module {
        /// A module's name.
        pub const fn new(_: &'static str) -> Module {
            Module
        }
    }

    /// A place in a store's sequence of changes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Position {
        /// The revision of the write.
        pub revision: crate::tuple::Revision,
        /// Which operation of it.
        pub index: u32,
    }

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
