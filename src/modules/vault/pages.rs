//! The pages of connections: without script, and with nothing in them that was not escaped.

use super::connect::Connected;
use super::records::{Connection, Provider};

/// What is said of keys that nobody refreshes.
const STATIC: &str = "This is a key that does not change by itself: whoever has it once has it until you replace it. \
                      Where there is a choice, sign in instead.";

/// The page: how the connection stands, and the form that makes or ends it.
pub(super) fn connect(connection: &Connection, state: &Connected) -> String {
    let name = escape(&connection.spec.name);
    let is = stands(state);
    let fields = match &connection.spec.provider {
        Provider::Oauth2 { .. } | Provider::IdentityAssertion { .. } => String::new(),
        Provider::ApiKeyHeader { .. } | Provider::ApiKeyQuery { .. } => field("Key", "key", "password"),
        Provider::Basic {} => field("User", "user", "text") + &field("Password", "password", "password"),
        Provider::ServiceAccount { .. } => field("Private key (PEM)", "private_key", "password"),
    };
    let warning = if connection.spec.provider.is_static() { format!("<p>{STATIC}</p>") } else { String::new() };
    let scopes = match state.scopes.join(", ") {
        none if none.is_empty() => none,
        scopes => format!("<p>It may: {}</p>", escape(&scopes)),
    };
    let action = escape(&connection.spec.id);
    let end = match state.state {
        "none" => String::new(),
        _ => format!(r#"<form method="post" action="{action}/disconnect"><button>Disconnect</button></form>"#),
    };
    page(
        &name,
        &format!(
            r#"<p>{is}</p>{scopes}{warning}
<form method="post" action="{action}">{fields}<button>Connect</button></form>{end}
<p><a href="../connections">All your connections</a></p>"#
        ),
    )
}

/// The page of all connections of a person.
pub(super) fn connections(found: &[Connected]) -> String {
    let row = |one: &Connected| {
        let (id, name) = (escape(&one.connection), escape(&one.name));
        format!(r#"<li><a href="connect/{id}">{name}</a>: {}</li>"#, stands(one))
    };
    let rows: String = found.iter().map(row).collect();
    let none = if found.is_empty() { "<p>There are none that you could make.</p>" } else { "" };
    page("Your connections", &format!("{none}<ul>{rows}</ul>"))
}

/// How a connection stands, in words.
fn stands(state: &Connected) -> &'static str {
    match state.state {
        "active" => "It is connected.",
        "reconnect_needed" => "It has to be connected again: the provider does not take it any more.",
        _ => "It is not connected.",
    }
}

/// A page of a heading and what is below it; both have no markup but ours.
fn page(heading: &str, body: &str) -> String {
    format!(
        r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{heading}</title><style>body{{font:1rem/1.5 sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}}
label,button{{display:block;margin:.5rem 0}}</style>
<h1>{heading}</h1>{body}</html>
"#
    )
}

fn field(label: &str, name: &str, kind: &str) -> String {
    format!(r#"<label>{label} <input name="{name}" type="{kind}" autocomplete="off" required></label>"#)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_taken_for_markup() {
        assert_eq!(super::escape(r#"<a href="x">'&"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
