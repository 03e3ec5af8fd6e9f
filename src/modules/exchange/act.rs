//! Who acts: the chain of a delegation (RFC 8693 4.1, 4.4).

use crate::identity::{Actor, Answer, Caller, Client, ErrorCode, Refusal};
use serde_json::{Map, Value};

/// Most who act in one chain. The person is not among them.
pub const ACTORS_IN_CHAIN_MAX: usize = 5;
/// Longest `sub` and `iss` of another's actor, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Who acts when a client takes on what others acted in before: the client first, unless it was the last to act already.
///
/// # Errors
/// The chain is [`ACTORS_IN_CHAIN_MAX`] long.
pub(super) fn taken_on(client: &Client, before: &[Actor]) -> Answer<Vec<Actor>> {
    let me = Actor { subject: client.subject(), issuer: None };
    if before.first() == Some(&me) {
        return bounded(before.to_vec());
    }
    bounded([std::slice::from_ref(&me), before].concat())
}

fn bounded(actors: Vec<Actor>) -> Answer<Vec<Actor>> {
    if actors.len() > ACTORS_IN_CHAIN_MAX {
        let text = format!("this was handed on by {ACTORS_IN_CHAIN_MAX} already, which is the most");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "act.depth", text));
    }
    Ok(actors)
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidGrant, "act.form", text)
}

/// The chain of an `act` claim of another issuer, the one who acts now first. Who has no `iss` in it is of that issuer.
///
/// # Errors
/// It is malformed or too long: who acts is not guessed.
pub(super) fn chain_of(act: Option<&Value>, issuer: &str) -> Answer<Vec<Actor>> {
    let (mut actors, mut next) = (Vec::new(), act);
    while let Some(act) = next {
        let Value::Object(act) = act else { return Err(malformed("`act` is no object")) };
        let name = |claim: &str| match act.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= NAME_BYTES_MAX => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("`sub` or `iss` within `act` is no text, or too long")),
        };
        let subject = name("sub")?.ok_or_else(|| malformed("`act` has no `sub`"))?;
        let issuer = name("iss")?.unwrap_or(issuer);
        actors.push(Actor { subject: subject.to_owned(), issuer: Some(issuer.to_owned()) });
        if actors.len() > ACTORS_IN_CHAIN_MAX {
            let text = format!("this was handed on by more than {ACTORS_IN_CHAIN_MAX}");
            return Err(Refusal::new(ErrorCode::InvalidGrant, "act.depth", text));
        }
        next = act.get("act");
    }
    Ok(actors)
}

/// Whether the claim `may_act` of a token names this client (RFC 8693 4.4). A member that we cannot compare names nobody.
pub(super) fn may_act(claim: &Value, caller: &Caller, issuer: &str) -> bool {
    let Value::Object(named) = claim else { return false };
    let is = |claim: &str, wanted: &str| named.get(claim).is_none_or(|value| value.as_str() == Some(wanted));
    let known = |named: &Map<String, Value>| named.keys().all(|claim| claim == "sub" || claim == "iss");
    named.contains_key("sub") && known(named) && is("sub", &caller.client.id) && is("iss", issuer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ClientKind, act_claim};
    use serde_json::json;

    #[test]
    fn the_last_to_act_is_first_and_nobody_is_there_twice_in_a_row() {
        let client = |id: &str| Client::new(id, ClientKind::Agent, id);
        let mut actors = Vec::new();
        for id in ["a", "a", "b", "a"] {
            actors = taken_on(&client(id), &actors).unwrap();
        }
        let names: Vec<&str> = actors.iter().map(|actor| actor.subject.as_str()).collect();
        assert_eq!(names, ["agent:a", "agent:b", "agent:a"]);
        for n in actors.len()..ACTORS_IN_CHAIN_MAX {
            actors = taken_on(&client(&format!("c{n}")), &actors).unwrap();
        }
        assert_eq!(taken_on(&client("d"), &actors).unwrap_err().rule, "act.depth");
        taken_on(&client(&format!("c{}", ACTORS_IN_CHAIN_MAX - 1)), &actors).unwrap();
    }

    #[test]
    fn the_chain_of_another_issuer_is_read_or_refused() {
        let act = json!({"sub": "a", "act": {"sub": "b", "iss": "https://other.example"}});
        let actors = chain_of(Some(&act), "https://idp.example").unwrap();
        let of = |subject: &str, issuer: &str| Actor { subject: subject.into(), issuer: Some(issuer.into()) };
        assert_eq!(actors, [of("a", "https://idp.example"), of("b", "https://other.example")]);
        assert_eq!(act_claim(&actors).unwrap()["act"], json!({"sub": "b", "iss": "https://other.example"}));
        assert_eq!(chain_of(None, "x").unwrap(), []);
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in [json!("a"), json!({}), json!({"sub": 1}), json!({"sub": ""}), json!({"sub": long}), json!(null)] {
            assert_eq!(chain_of(Some(&bad), "x").unwrap_err().rule, "act.form", "{bad}");
            let within = json!({"sub": "a", "act": bad});
            assert_eq!(chain_of(Some(&within), "x").unwrap_err().rule, "act.form", "{within}");
        }
        let deep = (0..=ACTORS_IN_CHAIN_MAX).fold(json!({"sub": "a"}), |behind, _| json!({"sub": "a", "act": behind}));
        assert_eq!(chain_of(Some(&deep), "x").unwrap_err().rule, "act.depth");
    }
}
