//! What an agent may reach: less by its operators, more by an administrator or an approval of exactly that.

use super::*;
use serde_json::json;
use std::collections::BTreeMap;

fn access(connection: &str, scopes: &[(&str, Option<ScopeClass>)]) -> Access {
    let scopes: BTreeMap<_, _> = scopes.iter().map(|(scope, class)| ((*scope).to_owned(), *class)).collect();
    Access { connection: connection.to_owned(), scopes }
}

const AUTOMATIC: Option<ScopeClass> = Some(ScopeClass::Automatic);
const APPROVAL: Option<ScopeClass> = Some(ScopeClass::NeedsApproval);
const NEVER: Option<ScopeClass> = Some(ScopeClass::Never);

#[test]
#[expect(clippy::string_slice, reason = "a test fails loudly")]
fn classes_are_tuples_that_decide() {
    let world = World::new();
    world.active("bot");
    let (registry, env) = (world.registry(), world.env());
    let wanted = access("connection:crm", &[("read:contacts", AUTOMATIC), ("send", APPROVAL), ("delete", NEVER)]);
    registry.allow(ANN, "bot", &wanted, None, &env).unwrap();
    for (question, allowed) in [
        ("agent:bot usable connection:crm", true),
        ("agent:bot granted connection_scope:crm|read%3Acontacts", true),
        ("agent:bot requestable connection_scope:crm|read%3Acontacts", false),
        ("agent:bot requestable connection_scope:crm|send", true),
        ("agent:bot granted connection_scope:crm|send", false),
        ("agent:bot granted connection_scope:crm|delete", false),
        ("agent:bot requestable connection_scope:crm|delete", false),
        ("agent:bot usable connection:mail", false),
    ] {
        assert_eq!(world.allows(question), allowed, "{question}");
    }
    let shown = registry.access("bot").unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!((&shown[0].connection[..], shown[0].usable), ("connection:crm", true));
    assert_eq!(shown[0].automatic, ["read:contacts"]);
    assert_eq!(
        (&shown[0].needs_approval[..], &shown[0].never[..]),
        (&["send".to_owned()][..], &["delete".to_owned()][..])
    );
    // A scope has one class: the new one takes the place of the old.
    registry.allow(ANN, "bot", &access("connection:crm", &[("send", AUTOMATIC)]), None, &env).unwrap();
    assert!(world.allows("agent:bot granted connection_scope:crm|send"));
    assert!(!world.allows("agent:bot requestable connection_scope:crm|send"));
    // Suspension beats all of it.
    registry.suspend(OLGA, "bot", "", &env).unwrap();
    assert!(!world.allows("agent:bot granted connection_scope:crm|send"));
    assert!(!registry.access("bot").unwrap()[0].usable);
    registry.resume(JOHN, "bot", &env).unwrap();
    registry.disallow(OLGA, "bot", "connection:crm", &env).unwrap();
    assert!(!world.allows("agent:bot usable connection:crm"));
    assert_eq!(registry.access("bot").unwrap()[0].never, ["delete"], "what is never allowed stays so");
    for (bad, expected) in [
        (access("connection:unknown", &[]), "not_found"),
        (access("crm", &[]), "subject.type"),
        (access("connection:crm", &[("a b", AUTOMATIC)]), "access.scopes"),
    ] {
        assert_eq!(rule(registry.allow(ANN, "bot", &bad, None, &env)), expected);
    }
}

#[test]
fn to_widen_takes_an_administrator_and_to_narrow_an_operator() {
    let world = World::new();
    world.active("bot");
    let (registry, env) = (world.registry(), world.env());
    let crm = |class| access("connection:crm", &[("send", class)]);
    assert_eq!(rule(registry.allow(OLGA, "bot", &crm(NEVER), None, &env)), "agent.widening", "the connection is new");
    registry.allow(ANN, "bot", &crm(None), None, &env).unwrap();
    for (from, to, widens) in [
        (None, APPROVAL, true),
        (None, AUTOMATIC, true),
        (None, NEVER, false),
        (NEVER, None, true),
        (NEVER, APPROVAL, true),
        (APPROVAL, AUTOMATIC, true),
        (APPROVAL, None, false),
        (AUTOMATIC, APPROVAL, false),
        (AUTOMATIC, NEVER, false),
    ] {
        registry.allow(ANN, "bot", &crm(from), None, &env).unwrap();
        let expected = if widens { "agent.widening" } else { "allowed" };
        assert_eq!(rule(registry.allow(OLGA, "bot", &crm(to), None, &env)), expected, "{from:?} to {to:?}");
    }
    assert_eq!(rule(registry.allow(EVE, "bot", &crm(NEVER), None, &env)), "agent.not_allowed");
}

/// Knows one approval, of one thing.
struct One {
    id: &'static str,
    what: Value,
    by: &'static str,
}

impl Approvals for One {
    fn spend(
        &self,
        tenant: &Tenant,
        change: &mut Change<'_>,
        approval: &str,
        subject: &str,
        what: &Value,
        _env: &Env<'_>,
    ) -> Answer<String> {
        assert_eq!(subject, "agent:bot");
        if approval != self.id || *what != self.what || tenant.get::<LastUse>(&["spent", approval])?.is_some() {
            return Err(Refusal::new(ErrorCode::AccessDenied, "approval.other", "not of this"));
        }
        change.create(&["spent", approval], &LastUse { at: 1 });
        Ok(self.by.to_owned())
    }
}

#[test]
fn an_approval_widens_by_exactly_what_it_says_and_stands_in_history() {
    let world = World::new();
    world.active("bot");
    let env = world.env();
    let wanted = access("connection:crm", &[("send", AUTOMATIC)]);
    let what = json!({"type": "agent_access", "agent": "agent:bot", "connection": "connection:crm", "scopes": {"send": "automatic"}});
    assert_eq!(Widening::of("agent:bot", &wanted).value(), &what);
    // Who may not widen it does not by allowing it to themselves, nor by somebody whom the agent names.
    for by in ["user:olga", "user:eve"] {
        let approvals = One { id: "ok-1", what: what.clone(), by };
        let registry = Registry { tenant: &world.tenant, approvals: &approvals };
        assert_eq!(rule(registry.allow(OLGA, "bot", &wanted, Some("ok-1"), &env)), "agent.approver", "{by}");
    }
    let approvals = One { id: "ok-1", what, by: "user:john" };
    let registry = Registry { tenant: &world.tenant, approvals: &approvals };
    let more = access("connection:crm", &[("send", AUTOMATIC), ("delete", AUTOMATIC)]);
    assert_eq!(rule(registry.allow(OLGA, "bot", &more, Some("ok-1"), &env)), "approval.other");
    assert_eq!(rule(registry.allow(OLGA, "bot", &wanted, Some("ok-2"), &env)), "approval.other");
    assert_eq!(rule(world.registry().allow(OLGA, "bot", &wanted, Some("ok-1"), &env)), "approval.none");
    assert!(!world.allows("agent:bot usable connection:crm"), "nothing of what was refused is there");
    registry.allow(OLGA, "bot", &wanted, Some("ok-1"), &env).unwrap();
    assert!(world.allows("agent:bot granted connection_scope:crm|send"));
    let last = registry.history("bot", 0, 100).unwrap().pop().unwrap();
    assert_eq!((last.approval.as_deref(), last.by.as_str()), (Some("ok-1"), "user:olga"));
    registry.disallow(OLGA, "bot", "connection:crm", &env).unwrap();
    assert_eq!(rule(registry.allow(OLGA, "bot", &wanted, Some("ok-1"), &env)), "approval.other", "it is used up");
}
