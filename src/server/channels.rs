//! How people learn that something waits for them, and clients that it was decided: mail and a webhook by the settings, and
//! CIBA's ping. What is due lies in the database; a task of the server's says it.

use crate::identity::{Answer, Env, Tenant};
use crate::modules::approval::channel::{Callback, Called, Calls, Channel, Channels, PushCall, Pushes, Webhook};
use crate::modules::approval::mail::{MailChannel, MailSettingsError, Relay, RelayLogin, RelayTls};
use crate::modules::{approval, login};
use crate::wire::{Outgoing, OutgoingRequest, Redirects};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, header};
use std::time::{Duration, Instant};

/// The names of the channels, as notices have them on disk.
const MAIL: &str = "mail";
const WEBHOOK: &str = "webhook";
/// How long a called server may take, and how much it may answer, which nobody looks at.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where people are told that something waits for their approval, besides the page.
#[derive(Clone, Debug, Default)]
pub struct ChannelSettings {
    /// By mail.
    pub mail: Option<MailSettings>,
    /// By a program of the operator's.
    pub webhook: Option<WebhookSettings>,
}

/// Mail goes through a relay.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The relay's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender, as `Name <name@example.com>`.
    pub from: String,
    /// Whether it is spoken to over TLS, by the authorities of the system and of [`OutgoingSettings`](crate::wire::OutgoingSettings).
    pub tls: RelayTls,
    /// Who we are to it, if it asks.
    pub login: Option<RelayLogin>,
}

/// A webhook is called with a bearer token, so that it knows who calls.
#[derive(Clone)]
pub struct WebhookSettings {
    /// Where.
    pub url: String,
    /// The token.
    pub bearer: String,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ChannelSettings {
    /// The names of the channels there are.
    pub(super) fn names(&self) -> Vec<String> {
        let (mail, webhook) = (self.mail.as_ref().map(|_| MAIL), self.webhook.as_ref().map(|_| WEBHOOK));
        [mail, webhook].into_iter().flatten().map(str::to_owned).collect()
    }

    /// The channels. `authorities` are certificates in PEM that are trusted besides the system's.
    ///
    /// # Errors
    /// The sender's address is none, or the authorities are.
    pub fn open(&self, outgoing: &Outgoing, authorities: Option<&[u8]>) -> Result<Channels, MailSettingsError> {
        let mut channels: Vec<Box<dyn Channel>> = Vec::new();
        if let Some(MailSettings { host, port, from, tls, login }) = &self.mail {
            let relay = Relay { host, port: *port, tls: *tls, login: login.as_ref(), authorities };
            channels.push(Box::new(MailChannel::new(relay, from)?));
        }
        if let Some(WebhookSettings { url, bearer }) = &self.webhook {
            let (name, url, bearer) = (WEBHOOK.to_owned(), url.clone(), bearer.clone());
            channels.push(Box::new(Webhook { name, url, bearer, calls: Box::new(Posts(outgoing.clone())) }));
        }
        let (push, callback) = (Box::new(Posts(outgoing.for_strangers())), Box::new(Posts(outgoing.clone())));
        let begun = Instant::now();
        Ok(Channels { channels, push, callback, clock: Box::new(move || begun.elapsed()) })
    }
}

/// Calls others through the one client, from a thread that may wait.
struct Posts(Outgoing);

impl Posts {
    fn post(&self, url: &str, headers: &[(HeaderName, &str)], body: Vec<u8>) -> Called {
        let Ok(url) = url.parse() else { return Called::Refused };
        let mut request = OutgoingRequest::new(Method::POST, url);
        for (name, value) in headers {
            let Ok(mut value) = HeaderValue::try_from(*value) else { return Called::Refused };
            value.set_sensitive(*name == header::AUTHORIZATION);
            request.headers.insert(name.clone(), value);
        }
        request.body = Body::from(body);
        (request.timeout, request.answer_bytes_max) = (CALL_TIMEOUT, ANSWER_BYTES_MAX);
        // A redirect is an answer; it is not followed.
        request.redirects = Redirects::Pass;
        match self.0.wait(self.0.send(request)) {
            Some(Ok(answer)) => Called::Answered(answer.status.as_u16()),
            Some(Err(error)) => {
                tracing::info!(%error, "a callback");
                if error.is_final() { Called::Refused } else { Called::Failed }
            }
            None => Called::Failed,
        }
    }
}

impl Calls for Posts {
    fn call(&self, callback: &Callback<'_>) -> Called {
        let bearer = format!("Bearer {}", callback.bearer);
        let headers = [(header::AUTHORIZATION, bearer.as_str()), (header::CONTENT_TYPE, "application/json")];
        self.post(callback.url, &headers, callback.body.as_bytes().to_vec())
    }
}

impl Pushes for Posts {
    fn push(&self, call: &PushCall<'_>) -> Called {
        let ttl = call.ttl_s.to_string();
        let headers = [
            (header::AUTHORIZATION, call.authorization),
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CONTENT_ENCODING, "aes128gcm"),
            (HeaderName::from_static("ttl"), ttl.as_str()),
            (HeaderName::from_static("topic"), call.topic),
            (HeaderName::from_static("urgency"), "high"),
        ];
        self.post(call.url, &headers, call.body.to_vec())
    }
}

/// Where people choose the browsers in which they are told: the page of their account.
pub(super) struct Browsers;

impl login::Devices for Browsers {
    fn key(&self, tenant: &Tenant, env: &Env<'_>) -> Answer<String> {
        approval::public_key(tenant, env)
    }

    fn of(&self, tenant: &Tenant, user: &str) -> Answer<Vec<login::Device>> {
        let device = |held: crate::identity::Held<approval::Device>| {
            Ok(login::Device {
                renew: approval::is_of_old_key(tenant, &held)?,
                id: held.value.id,
                name: held.value.name,
                added_at: held.value.added_at,
            })
        };
        approval::devices(tenant, user)?.into_iter().map(device).collect()
    }

    fn add(&self, tenant: &Tenant, user: &str, new: login::NewDevice<'_>, env: &Env<'_>) -> Answer<()> {
        let login::NewDevice { endpoint, p256dh, auth, key, name } = new;
        approval::add_device(tenant, user, approval::NewDevice { endpoint, p256dh, auth, key, name }, env)
    }

    fn remove(&self, tenant: &Tenant, user: &str, id: &str, env: &Env<'_>) -> Answer<()> {
        approval::remove_device(tenant, user, id, "push.removed_by_owner", env)
    }
}
