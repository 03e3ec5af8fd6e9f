//! Who keeps what becomes of agents. It looks at each change right before it is written, whoever makes it, so that what it
//! keeps is in the same write.

use super::edits::{self, Edit};
use super::{Answer, AssertionChain, Change, Client, ClientKeys};
use serde_json::{Map, Value};

/// What of a client is no change of what is said of it: what never changes, and what has ways of its own.
const NOT_SAID: [&str; 5] = ["id", "kind", "secrets", "created_at", "deleted_at"];

/// Who keeps the history of agents. The registry of agents does; whoever opens the identities of a database plugs it in.
pub trait Historian: Send + Sync {
    /// Looks at a change that is about to be written, and adds to it what is to be kept of it.
    ///
    /// # Errors
    /// It could not be found out. Then nothing is written.
    fn keep(&self, change: &mut Change<'_>) -> Answer<()>;
}

/// What a change does to a client: one thing that is said of it, before and after. Of a list, each member that came or went is
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEdit {
    /// The client, as `agent:ID` or `app:ID`.
    pub client: String,
    /// Which: a field of [`Client`], or `secret`; `client` when it is deleted.
    pub field: String,
    /// What was said; nothing when there was nothing.
    pub from: Option<String>,
    /// What is said; nothing when it was taken away.
    pub to: Option<String>,
}

impl ClientEdit {
    /// A secret that came or went, by its id.
    pub(super) fn of_secret(client: &Client, from: Option<&str>, to: Option<&str>) -> ClientEdit {
        let text = |side: Option<&str>| side.map(str::to_owned);
        ClientEdit { client: client.subject(), field: "secret".to_owned(), from: text(from), to: text(to) }
    }

    /// A client that is gone.
    pub(super) fn gone(client: &Client) -> ClientEdit {
        let (from, field) = (Some(client.name.clone()), "client".to_owned());
        ClientEdit { client: client.subject(), field, from, to: None }
    }

    /// The same, as an event has it.
    pub(super) fn told(&self) -> Edit {
        Edit { field: self.field.clone(), from: self.from.clone(), to: self.to.clone() }
    }

    /// What is different in another. Its bounds are those of what may be said of a client.
    pub(super) fn between(before: &Client, after: &Client) -> Vec<ClientEdit> {
        let of_client =
            |edit: Edit| ClientEdit { client: after.subject(), field: edit.field, from: edit.from, to: edit.to };
        let mut all: Vec<ClientEdit> = edits::between(&said(before), &said(after)).into_iter().map(of_client).collect();
        // Other keys may have the names of those before.
        if before.keys != after.keys && !all.iter().any(|edit| edit.field == "keys") {
            let names = |client: &Client| client.keys.as_ref().map(ClientKeys::names);
            let (client, field) = (after.subject(), "keys".to_owned());
            all.push(ClientEdit { client, field, from: names(before), to: names(after) });
        }
        all
    }
}

/// What is said of a client, by name; keys by their names, which tell which they are.
fn said(client: &Client) -> Map<String, Value> {
    let Ok(Value::Object(mut said)) = serde_json::to_value(client) else { return Map::new() };
    said.retain(|name, _| !NOT_SAID.contains(&name.as_str()));
    said.insert("keys".to_owned(), client.keys.as_ref().map(ClientKeys::names).into());
    said.insert("assertion_chain".to_owned(), client.assertion_chain.as_ref().map(AssertionChain::name).into());
    said
}

#[cfg(test)]
mod tests {
    use super::super::{AuthMethod, ClientKind, ConsentRule};
    use super::*;

    #[test]
    fn of_a_client_each_thing_that_changed_is_told() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let before = Client {
            scopes: list(&["read", "write"]),
            keys: Some(ClientKeys::JwksUri("https://a.example/keys".to_owned())),
            ..Client::new("sales", ClientKind::Agent, "Sales")
        };
        let after = Client {
            scopes: list(&["read", "delete"]),
            resources: list(&["https://api.example/"]),
            auth_methods: vec![AuthMethod::None],
            keys: None,
            consent: ConsentRule::Managed,
            created_at: 7,
            ..before.clone()
        };
        let told = ClientEdit::between(&before, &after);
        assert!(told.iter().all(|edit| edit.client == "agent:sales"));
        let told: Vec<(&str, Option<&str>, Option<&str>)> =
            told.iter().map(|edit| (edit.field.as_str(), edit.from.as_deref(), edit.to.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("auth_methods", Some("client_secret_basic"), None),
                ("auth_methods", None, Some("none")),
                ("consent", Some("ask"), Some("managed")),
                ("keys", Some("https://a.example/keys"), None),
                ("resources", None, Some("https://api.example/")),
                ("scopes", Some("write"), None),
                ("scopes", None, Some("delete")),
            ]
        );
        assert_eq!(ClientEdit::between(&before, &before), []);
        let key = |x: &str| ClientKeys::Jwks(serde_json::json!({"keys": [{"kid": "k1", "x": x}]}));
        let keyed = |x| Client { keys: Some(key(x)), ..before.clone() };
        let told = ClientEdit::between(&keyed("one"), &keyed("other"));
        assert_eq!(told.len(), 1, "another key of the same name is another key: {told:?}");
    }
}
