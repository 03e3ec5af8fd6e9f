//! Who asks, for whom, with what, and what is recorded of it.
//!
//! `Identity` is the handle; a `Tenant` is one issuer, and the only way to what is in it. Each concern has a file and
//! adds its methods to `Tenant`: records and rules, without a server, with time and randomness in an `Env`.

mod administrators;
mod authentication;
mod caller;
mod certificate;
mod chain;
mod claims;
mod client_secrets;
mod clients;
mod codes;
mod consents;
mod credentials;
mod custom;
mod details;
mod dpop;
mod edits;
mod env;
mod event;
mod examine;
mod form;
mod grants;
mod historian;
mod invitations;
mod issue;
mod jwt;
mod keys;
mod limit;
mod logout;
mod names;
mod pairs;
mod proof;
mod records;
mod redirects;
mod refresh;
mod registration;
mod refusal;
mod requests;
mod roles;
mod rule;
mod scopes;
mod sessions;
mod settings;
mod shown;
mod signed_out;
mod spiffe;
mod stores;
mod strict;
mod suspensions;
mod tenant;
mod users;
mod workload;
mod written;

pub use administrators::Leaving;
pub use authentication::{Authentication, StepUp};
pub use caller::{ASSERTION_LIFE_MAX_S, Caller, CredentialUses, KeySource, NoKeys, NoUses};
pub use certificate::{ClientCertificate, TLS_SUBJECT_BYTES_MAX, TlsSubject};
pub use chain::{AUTHORITIES_BYTES_MAX, AUTHORITIES_MAX, AssertionChain, CHAIN_MAX};
pub use claims::{Confirmation, TokenKind, act_claim, profile_claims};
pub use client_secrets::{ClientSecret, SECRETS_MAX};
pub use clients::{ALLOWED_MAX, AuthMethod, Client, ClientKeys, ClientKind, ConsentRule, GRANT_TYPES, JWKS_BYTES_MAX};
pub use codes::{ClientCredentialsGrant, CodeGrant, Decided, RefreshGrant};
pub use consents::{CONSENTS_PAGE_MAX, Consent, ShownTogether};
pub use credentials::{CREDENTIAL_BYTES_MAX, CREDENTIALS_MAX, Credential, CredentialKind, Resealed, UpstreamIdentity};
pub use custom::{
    CUSTOM_CLAIM_BYTES_MAX, CUSTOM_CLAIM_NAME_BYTES_MAX, CUSTOM_CLAIMS_BYTES_MAX, CUSTOM_CLAIMS_MAX, ClaimPlace,
    ClaimType, CustomClaim, NewClaim,
};
pub use details::{Allowing, DetailTypes, ShownAs};
pub use env::{Env, SECRET_BYTES, Seconds, decode, encode, hash_of, same};
pub use event::{
    ACTORS_MAX, AUDIT, DETAILS_MAX, EVENT_BYTES_MAX, EVENT_TEXT_BYTES_MAX, Event, EventError, EventKind, MACHINE,
    Outcome, audit_key,
};
pub use examine::{Chain, Examined};
pub use form::{Form, PARAMETERS_MAX};
pub use grants::{
    Actor, DETAILS_BYTES_MAX, GRANT_DEPTH_MAX, GRANTS_PAGE_MAX, Grant, GrantSubject, Narrowed, Passage, Refresh,
    Wanted, narrow, with_actors,
};
pub use historian::{ClientEdit, Historian};
pub use invitations::INVITATION_LIFE_MAX_S;
pub use issue::{GrantType, TokenAnswer};
pub use jwt::{
    ALGORITHMS, JWKS_KEYS_MAX, SKEW_S, TOKEN_BYTES_MAX, Verified, check_times, sign, unverified_claim,
    unverified_header, usable_keys, verify_with,
};
pub use keys::{KeyState, SIGNING_KEYS_MAX, SigningKey};
pub use limit::{
    ASKS_IN_VAIN, ASKS_OF_PERSON, FAILURES_OF_ADDRESS, LIMITER_KEYS_MAX, LimitEdits, Limited, Limiter,
    REGISTRATIONS_OF_ADDRESS, REQUESTS_OF_ADDRESS, REQUESTS_OF_CLIENT, Rate, STRANGERS_OF_ADDRESS,
    TOKENS_PER_MINUTE_MAX, TokenLimits, address_key,
};
pub use logout::{LOGOUT_TOKEN_LIFE_S, LOGOUT_TRIES_MAX, LOGOUT_URI_BYTES_MAX, LogoutCall, LogoutTold};
pub use names::{
    ACR_VALUES, ID_BYTES_MAX, OPENID_SCOPES, RESOURCE_BYTES_MAX, SCOPE_BYTES_MAX, SCOPES_MAX, acr_satisfies, check_id,
    check_resource, connection_scope_object, connection_scope_of, is_loopback, is_scope, is_secure, scope_object,
    scopes_of,
};
pub use pairs::{Drawn, Pair, SigningAlgorithm};
pub use proof::{DPOP_WINDOW_S, Proof, Proved, is_thumbprint, judge_proof};
pub use records::{Change, Held, IDENTITY, PAGE_MAX, SWEEP_MAX, Stored, record_key};
pub use refusal::{Answer, ErrorCode, Refusal};
pub use registration::{
    REGISTERED_MAX, REGISTERED_UNUSED_MAX_S, REGISTERED_UNUSED_S, Registrants, RegistrationSettings,
};
pub use requests::{AuthRequest, Hinted, Need, REQUEST_URI, Refused, Stage, TEXT_BYTES_MAX};
pub use roles::{Appointment, ROLES_PAGE_MAX, Role, RolesPage};
pub use rule::{DECIMAL_DIGITS, RULE_NAMES_MAX, Rule, ValueKind, decimal};
pub use scopes::{RESOURCES_MAX, Resource, Scope};
pub use sessions::{AMR_MAX, Browser, LIVE_SESSIONS_MAX, SESSIONS_PAGE_MAX, Session, Shown};
pub use settings::TenantSettings;
pub use shown::{JWT_BEARER, JWT_SPIFFE};
pub use signed_out::{Cause, SignedOut};
pub use stores::DATA_STORES_MAX;
pub use strict::StrictJson;
pub use tenant::{
    ISSUER_BYTES_MAX, Identity, SYSTEM_MODEL, TENANTS_MAX, Tenant, TenantRecord, again, check, check_tenant,
    tenant_names,
};
pub use users::{CLAIMS_BYTES_MAX, LOGIN_BYTES_MAX, LOGINS_MAX, User};
pub use workload::{
    WORKLOAD_ISSUERS_MAX, WORKLOAD_LIFE_MAX_S, WORKLOAD_LIFE_S, WORKLOADS_MAX, Workload, WorkloadIssuer,
};
pub use written::{WriteMark, Written};

pub use redirects::{REDIRECT_URI_BYTES_MAX, REDIRECT_URIS_MAX};

#[cfg(test)]
mod tests;
