//! Who asks, as the page of consent names them: an agent with what it is for and who answers for it, the host that describes a
//! client, and who else may act with what is allowed.

use super::pages::AskerWords;
use super::visit::Visit;
use super::words;
use crate::engine::{Decision, ReadQuery, View};
use crate::identity::{self, Answer, Client, ClientKind, ErrorCode, Held};
use crate::tuple::Subject;
use std::collections::{BTreeSet, VecDeque};
use url::Url;

/// Longest purpose that is shown.
const PURPOSE_CHARS_MAX: usize = 600;
/// Most others that are named who may act with what is allowed.
const OTHERS_MAX: usize = 20;
/// Most that are looked at of whom one client lets go on; some may do nothing now.
const TUPLES_MAX: usize = 100;

/// A client, in words.
///
/// # Errors
/// The disk failed.
pub(super) fn words_of(visit: &Visit<'_>, client: &Client) -> Answer<AskerWords> {
    let kind = match client.kind {
        ClientKind::Agent => "agent",
        ClientKind::App => "application",
    };
    let mut said = AskerWords { kind, name: words::shown(&client.name), purpose: String::new(), owner: String::new() };
    let agents = visit.login.house.agents.as_ref().filter(|_| client.kind == ClientKind::Agent);
    let known = agents.map(|agents| agents.introduce(visit.tenant, &client.id)).transpose()?.flatten();
    if let Some(known) = known {
        let purpose = words::shown_up_to(&known.purpose, PURPOSE_CHARS_MAX);
        said.purpose = if purpose.is_empty() { purpose } else { words::sentence(&purpose) };
        let person = known.accountable.map(|user| name_of(visit, &user)).transpose()?;
        let owners = [person, known.team.map(|team| format!("the team {}", words::shown(&team)))];
        said.owner = owners.into_iter().flatten().collect::<Vec<_>>().join(", ");
    }
    Ok(said)
}

/// What a person is called; of one who is gone, the id.
fn name_of(visit: &Visit<'_>, user: &str) -> Answer<String> {
    match visit.tenant.user(user) {
        Ok(user) => Ok(words::shown(user.display_name())),
        Err(refusal) if refusal.error == ErrorCode::NotFound => Ok(words::shown(user)),
        Err(refusal) => Err(refusal),
    }
}

/// The host at which a client is described that names itself by a document (OAuth Client ID Metadata Document), or nothing. The
/// document was fetched there; nobody else can say that they are this client.
pub(super) fn verified_host(client: &Client) -> String {
    let Some(url) = client.document.as_deref().and_then(|document| Url::parse(document).ok()) else {
        return String::new();
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().map(|host| words::shown(&format!("{host}{port}"))).unwrap_or_default()
}

/// Who may act with what a client is given for people, at once or through others (`delegate`): at most [`OTHERS_MAX`], and
/// whether there are more.
///
/// # Errors
/// It could not be decided, or the disk failed.
pub(super) fn others(visit: &Visit<'_>, client: &Client) -> Answer<(Vec<AskerWords>, bool)> {
    let view = visit.tenant.view()?;
    let (mut named, mut seen, mut more) = (Vec::new(), BTreeSet::from([client.subject()]), false);
    let mut waiting = VecDeque::from([client.subject()]);
    while let Some(from) = waiting.pop_front() {
        let (found, unread) = delegates(visit, &view, &from)?;
        more |= unread;
        for other in found {
            if !seen.insert(other.subject()) {
                continue;
            }
            if named.len() == OTHERS_MAX {
                return Ok((named, true));
            }
            named.push(words_of(visit, &other)?);
            waiting.push_back(other.subject());
        }
    }
    Ok((named, more))
}

/// The clients that may go on at once with the tokens of one, and whether there are more.
fn delegates(visit: &Visit<'_>, view: &View, from: &str) -> Answer<(Vec<Held<Client>>, bool)> {
    let (object_type, id) = from.split_once(':').unwrap_or_default();
    let query = ReadQuery {
        object_type: Some(object_type),
        object_id: Some(id),
        relation: Some("delegate"),
        page_size: TUPLES_MAX,
        ..ReadQuery::default()
    };
    let page = visit.tenant.engine().read(visit.tenant.system_store(), &query)?.value;
    let mut found = Vec::new();
    for stored in page.tuples {
        let Subject::Object(other) = &stored.tuple.subject else { continue };
        if identity::check(view, &other.to_string(), "delegate", from)? != Decision::Allow {
            continue; // it may do nothing now
        }
        match visit.tenant.client(&other.id) {
            Ok(client) => found.push(client),
            Err(refusal) if refusal.error == ErrorCode::NotFound => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok((found, page.next.is_some()))
}
