//! How a client asks and is told (CIBA 4): what its registration says besides.

use super::records::{Backchannel, Delivery};
use super::redeem::CIBA_GRANT;
use crate::identity::{Answer, Env, ErrorCode, EventKind, Outcome, Refusal, Tenant};
use url::{Host, Url};

/// Longest endpoint.
const ENDPOINT_BYTES_MAX: usize = 1024;

/// Says how a client asks and is told.
///
/// # Errors
/// There is no such client, it may not ask, or its endpoint is no `https` URL.
pub fn put_backchannel(tenant: &Tenant, client: &str, wanted: &Backchannel, by: &str, env: &Env<'_>) -> Answer<()> {
    let invalid = |text: &str| Err(Refusal::new(ErrorCode::InvalidRequest, "backchannel.client", text));
    let held = tenant.client(client)?;
    if !held.may_use(CIBA_GRANT) || held.is_public() {
        return invalid(
            "the client needs the grant type `urn:openid:params:grant-type:ciba` and a way to show who it is",
        );
    }
    if wanted.signed_requests && held.keys.is_none() {
        return invalid("to sign requests the client needs keys");
    }
    if let Delivery::Ping { endpoint } = &wanted.delivery
        && !is_endpoint(endpoint)
    {
        return invalid("the notification endpoint is an `https` URL without fragment and user");
    }
    let mut change = tenant.change(env);
    change.expect(&held);
    change.put(&[client], wanted);
    let event = tenant.event(EventKind::ClientChanged, Outcome::Done, env).client(held.subject()).user(by);
    let mode = if wanted.delivery == Delivery::Poll { "poll" } else { "ping" };
    change.event(&event.action("approval.backchannel").detail("mode", mode));
    change.commit()?;
    Ok(())
}

fn is_endpoint(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    text.len() <= ENDPOINT_BYTES_MAX
        && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}
