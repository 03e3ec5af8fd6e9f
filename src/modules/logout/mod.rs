//! Tells clients that a session ended (OpenID Connect Back-Channel Logout 1.0). What is to be told lies in the database, and is
//! told again, later each time, until a client answers or it is too late to matter.

use crate::identity::{Answer, Env, LogoutTold, Tenant};
use std::collections::HashSet;

/// What became of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The other side answered with this status.
    Answered(u16),
    /// The URL is none that is called.
    Refused,
    /// There was no answer.
    Failed,
}

/// Who posts forms to clients. `server.rs` plugs it in.
pub trait Posts: Send + Sync {
    /// Posts a form, from a thread that may wait. Redirects are answers.
    fn post(&self, url: &str, form: &str) -> Posted;

    /// The same at a URL of a client that has registered itself: fewer may be called.
    fn post_to_stranger(&self, url: &str, form: &str) -> Posted {
        self.post(url, form)
    }
}

/// Tells what is due. One caller at a time for a tenant: what is told twice was told by two. Answers how many clients know.
///
/// # Errors
/// The disk failed. That a client did not answer is none: it is told again.
pub fn tell(tenant: &Tenant, posts: &dyn Posts, env: &Env<'_>) -> Answer<usize> {
    tenant.expire_sessions(env)?;
    tenant.spread_logouts(env)?;
    let (mut done, mut silent) = (0, HashSet::new());
    for call in tenant.due_logouts(env)? {
        // Who does not answer is asked once in a round, so that others need not wait for as many timeouts as it has sessions.
        if silent.contains(&call.client) {
            continue;
        }
        let told = match tenant.logout_token(&call, env)? {
            Some((url, token)) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                let form = form.append_pair("logout_token", &token).finish();
                let by_itself = tenant.registered_itself(&call.client)?;
                judged(if by_itself { posts.post_to_stranger(&url, &form) } else { posts.post(&url, &form) })
            }
            None => LogoutTold::Never("logout.unwanted"),
        };
        match told {
            LogoutTold::Done => done += 1,
            LogoutTold::Later(why) => {
                tracing::info!(tenant = tenant.name(), client = call.client, why, "a logout is told again");
                silent.insert(call.client.clone());
            }
            LogoutTold::Never(why) => {
                tracing::warn!(tenant = tenant.name(), client = call.client, why, "a logout cannot be told");
            }
        }
        tenant.settle_logout(&call, told, env)?;
    }
    Ok(done)
}

/// What an answer means (2.8): 200, or 204 as some frameworks have it. A client that says 400 has failed, and would again.
fn judged(posted: Posted) -> LogoutTold {
    match posted {
        Posted::Answered(200 | 204) => LogoutTold::Done,
        Posted::Answered(300..=399) => LogoutTold::Never("logout.redirect"),
        Posted::Answered(408 | 425 | 429 | 500..=599) => LogoutTold::Later("logout.busy"),
        Posted::Answered(_) => LogoutTold::Never("logout.refused"),
        Posted::Refused => LogoutTold::Never("logout.address"),
        Posted::Failed => LogoutTold::Later("logout.unreachable"),
    }
}

#[cfg(test)]
mod tests;
