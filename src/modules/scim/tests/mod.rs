//! The rules without a server: filters, paths, operations, and what is answered.

mod filters;
mod operations;

use super::schema::Kind;
use serde_json::{Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A person with something of everything.
fn barbara() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "id": "2819c223", "externalId": "HR-7", "userName": "bjensen@example.com",
        "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "displayName": "Babs Jensen", "title": "Tour Guide", "userType": "Employee", "active": true,
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@jensen.org", "type": "home"},
        ],
        ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915", "displayName": "John Smith"}},
        "meta": {"resourceType": "User", "lastModified": "2026-05-13T04:42:34Z"},
    })
}
