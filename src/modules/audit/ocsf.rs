//! Events in the Open Cybersecurity Schema Framework, version 1.8.0.
//!
//! Six of its classes are used, and they are pinned: Authentication 3002, Account Change 3001, User Access Management 3005,
//! Entity Management 3004, API Activity 6003, Detection Finding 2004. The person is `actor.user`, the agent
//! `actor.app_uid`; whoever acts without a person is in `actor` alone. What has no field there is under `unmapped`: the
//! whole event, its place and its leaf, so that nothing is lost and each line can be found in the log.
//!
//! 1.9.0 has `ai_agent` for the agent. It is not used before validators know that version.

use super::Entry;
use super::note::hash_text;
use super::tree::Hash;
use crate::identity::{Event, EventKind, Outcome};
use serde_json::{Map, Value, json};

/// The version of the schema.
pub const OCSF_VERSION: &str = "1.8.0";
const NANOS_PER_MILLI: i64 = 1_000_000;

/// A class, its category, and what was done in it: number and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    uid: u32,
    name: &'static str,
    category: u32,
    category_name: &'static str,
}

const IAM: (u32, &str) = (3, "Identity & Access Management");
const AUTHENTICATION: Class = class(3002, "Authentication", IAM);
const ACCOUNT: Class = class(3001, "Account Change", IAM);
const ACCESS: Class = class(3005, "User Access Management", IAM);
const ENTITY: Class = class(3004, "Entity Management", IAM);
const API: Class = class(6003, "API Activity", (6, "Application Activity"));
const FINDING: Class = class(2004, "Detection Finding", (2, "Findings"));
/// An activity that the class does not number.
const OTHER: u32 = 99;

const fn class(uid: u32, name: &'static str, (category, category_name): (u32, &'static str)) -> Class {
    Class { uid, name, category, category_name }
}

/// The class of a kind, and the number and name of the activity there.
fn mapped(kind: EventKind) -> (Class, u32, &'static str) {
    use EventKind as K;
    match kind {
        K::SessionStarted | K::LoginFailed | K::ClientRefused => (AUTHENTICATION, 1, "Logon"),
        K::SessionEnded => (AUTHENTICATION, 2, "Logoff"),
        K::TokenIssued | K::TokenRefused | K::ExchangeAllowed | K::ExchangeRefused => {
            (AUTHENTICATION, 4, "Service Ticket Request")
        }
        K::LogoutTold | K::RevocationTold => (AUTHENTICATION, OTHER, "Logout Notice"),
        K::TokenRevoked | K::RevocationAsked => (AUTHENTICATION, OTHER, "Token Revoke"),
        K::UserCreated => (ACCOUNT, 1, "Create"),
        K::UserResumed => (ACCOUNT, 2, "Enable"),
        K::UserSuspended => (ACCOUNT, 5, "Disable"),
        K::UserDeleted => (ACCOUNT, 6, "Delete"),
        K::UserChanged => (ACCOUNT, OTHER, "Update"),
        K::CredentialAdded => (ACCOUNT, OTHER, "Credential Add"),
        K::CredentialRemoved => (ACCOUNT, OTHER, "Credential Remove"),
        K::DeviceAdded => (ACCOUNT, OTHER, "Device Add"),
        K::DeviceRemoved => (ACCOUNT, OTHER, "Device Remove"),
        K::GrantCreated | K::RoleGiven => (ACCESS, 1, "Assign Privileges"),
        K::GrantRevoked | K::RoleTaken => (ACCESS, 2, "Revoke Privileges"),
        K::ClientCreated
        | K::AgentRegistered
        | K::TenantCreated
        | K::KeyCreated
        | K::ConnectionCreated
        | K::VaultStored
        | K::AuditHeld => (ENTITY, 1, "Create"),
        K::ClientChanged
        | K::AgentChanged
        | K::TenantChanged
        | K::KeyRotated
        | K::PolicyChanged
        | K::AdminChanged
        | K::AuditChanged => (ENTITY, 3, "Update"),
        K::ClientDeleted
        | K::AgentRetired
        | K::AgentOrphaned
        | K::KeyRetired
        | K::ConnectionRemoved
        | K::VaultRemoved
        | K::AuditReleased
        | K::AuditDropped => (ENTITY, 4, "Delete"),
        K::AgentSuspended | K::TenantSuspended => (ENTITY, 12, "Suspend"),
        K::AgentResumed | K::TenantResumed => (ENTITY, 13, "Resume"),
        K::VaultLeased | K::VaultRefused | K::AuditExported => (API, 2, "Read"),
        K::ApprovalAsked => (API, 1, "Create"),
        K::ApprovalDecided | K::ApprovalExpired => (API, 3, "Update"),
        K::ProxyCalled | K::ProxyLost | K::ProxyRefused => (API, OTHER, "Proxy Call"),
        K::OutputFiltered => (API, OTHER, "Output Filter"),
        K::CheckDecided => (API, OTHER, "Authorization Check"),
        K::TokenReplayed | K::FindingRaised => (FINDING, 1, "Create"),
    }
}

/// An event as an OCSF event.
#[must_use]
pub fn event(event: &Event, entry: &Entry, leaf: &Hash, origin: &str) -> Value {
    let (class, activity, activity_name) = mapped(event.kind());
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            map.insert(name.to_owned(), value);
        }
    };
    put("class_uid", json!(class.uid));
    put("class_name", json!(class.name));
    put("category_uid", json!(class.category));
    put("category_name", json!(class.category_name));
    put("activity_id", json!(activity));
    put("activity_name", json!(activity_name));
    put("type_uid", json!(u64::from(class.uid) * 100 + u64::from(activity)));
    put("type_name", json!(format!("{}: {activity_name}", class.name)));
    put("time", json!(event.at().0.div_euclid(NANOS_PER_MILLI)));
    put("metadata", metadata(event, entry, origin));
    let (severity, severity_name) = severity(event);
    put("severity_id", json!(severity));
    put("severity", json!(severity_name));
    put("message", json!(event.kind().name()));
    put("status_code", json!(event.outcome().name()));
    put("status_detail", json!(event.get_reason()));
    if class == FINDING {
        put("status_id", json!(1));
        put("status", json!("New"));
    } else {
        let failed = matches!(event.outcome(), Outcome::Refused | Outcome::Failed);
        put("status_id", json!(if failed { 2 } else { 1 }));
        put("status", json!(if failed { "Failure" } else { "Success" }));
        put("actor", actor(event));
        put("src_endpoint", endpoint(event, class));
    }
    for (name, value) in of_class(event, class, origin, leaf) {
        put(name, value);
    }
    put("unmapped", unmapped(event, entry, leaf));
    Value::Object(map)
}

fn metadata(event: &Event, entry: &Entry, origin: &str) -> Value {
    let mut metadata = json!({
        "version": OCSF_VERSION,
        "product": {"name": "Bailiwick", "vendor_name": "Bailiwick", "version": env!("CARGO_PKG_VERSION")},
        "uid": format!("{origin}#{}", entry.index),
        "log_name": origin,
        "sequence": entry.index,
        "tenant_uid": event.tenant().to_string(),
        "original_time": super::time_text(event.at()),
    });
    if let (Some(trace), Some(fields)) = (event.get_trace(), metadata.as_object_mut()) {
        fields.insert("correlation_uid".to_owned(), json!(trace));
    }
    metadata
}

fn severity(event: &Event) -> (u32, &'static str) {
    match (event.kind(), event.outcome()) {
        (EventKind::TokenReplayed | EventKind::FindingRaised, _) => (4, "High"),
        (_, Outcome::Refused | Outcome::Failed) => (2, "Low"),
        (_, Outcome::Done | Outcome::Allowed) => (1, "Informational"),
    }
}

/// The person, or who acts without one.
fn user(subject: &str) -> Value {
    let (number, name) = match subject.split_once(':') {
        Some(("user", _)) => (1, "User"),
        Some(("agent" | "app", _)) => (4, "Service"),
        Some(_) | None => (0, "Unknown"),
    };
    json!({"uid": subject, "type_id": number, "type": name})
}

/// To whom a role was given, or from whom it was taken. Who did it is another.
fn holder(event: &Event) -> Option<&str> {
    let of_role = matches!(event.kind(), EventKind::RoleGiven | EventKind::RoleTaken);
    event.details().get("subject").filter(|_| of_role).map(String::as_str)
}

fn actor(event: &Event) -> Value {
    let mut actor = Map::new();
    // What says of a role who holds it, says not who acts.
    let of_role = holder(event).is_some();
    if let Some(subject) = event.done_by().filter(|_| of_role).or(event.get_user()) {
        actor.insert("user".to_owned(), user(subject));
    }
    if let Some(program) = event.get_agent().or(event.get_client()).filter(|_| !of_role) {
        actor.insert("app_uid".to_owned(), json!(program));
    }
    if let Some(session) = event.get_session() {
        actor.insert("session".to_owned(), json!({"uid": session}));
    }
    if let Some(behind) = event.get_actors().first() {
        actor.insert("invoked_by".to_owned(), json!(behind));
    }
    if actor.is_empty() {
        // The schema wants somebody: nobody but the server itself did this.
        actor.insert("app_name".to_owned(), json!("Bailiwick"));
    }
    Value::Object(actor)
}

fn endpoint(event: &Event, class: Class) -> Value {
    match event.get_address() {
        Some(address) if address.parse::<std::net::IpAddr>().is_ok() => json!({"ip": address}),
        Some(address) => json!({"name": address}),
        // API Activity wants one.
        None if class == API => json!({"name": "unknown"}),
        None => Value::Null,
    }
}

/// Whom it is about: the person, else who acts.
fn about(event: &Event) -> Value {
    let subject = holder(event).or(event.get_user()).or(event.get_agent()).or(event.get_client());
    subject.map_or_else(|| json!({"name": "unknown", "type_id": 0, "type": "Unknown"}), user)
}

/// What the class wants besides.
fn of_class(event: &Event, class: Class, origin: &str, leaf: &Hash) -> Vec<(&'static str, Value)> {
    let resource = |uid: &str| json!([{"uid": uid, "type": kind_of(uid)}]);
    let resources = event.get_resource().map_or(Value::Null, resource);
    let session = event.get_session().map_or(Value::Null, |session| json!({"uid": session}));
    match class {
        AUTHENTICATION => vec![
            ("user", about(event)),
            ("service", json!({"name": event.get_resource().unwrap_or(origin)})),
            ("auth_protocol_id", json!(6)),
            ("auth_protocol", json!("OAUTH 2.0")),
            ("session", session),
        ],
        ACCOUNT => vec![("user", event.get_resource().map_or_else(|| about(event), user))],
        ACCESS => vec![
            ("user", about(event)),
            ("privileges", json!([event.get_action().unwrap_or("unspecified")])),
            ("resources", resources),
        ],
        ENTITY => {
            let uid = event.get_resource().unwrap_or("unspecified");
            vec![("entity", json!({"uid": uid, "name": uid, "type_id": OTHER, "type": kind_of(event.kind().name())}))]
        }
        FINDING => {
            let title = event.get_reason().unwrap_or(event.kind().name());
            vec![("finding_info", json!({"uid": hash_text(leaf), "title": title})), ("resources", resources)]
        }
        _ => {
            let operation = event.get_action().unwrap_or(event.kind().name());
            vec![("api", json!({"operation": operation})), ("resources", resources)]
        }
    }
}

/// `document` of `document:1`, `agent` of `agent.changed`.
fn kind_of(text: &str) -> &str {
    text.split([':', '.']).next().unwrap_or(text)
}

fn unmapped(event: &Event, entry: &Entry, leaf: &Hash) -> Value {
    json!({
        "bailiwick": {
            "event": event,
            "index": entry.index,
            "place": {"revision": entry.place.revision, "number": entry.place.number},
            "leaf": hash_text(leaf),
        }
    })
}
