//! How people learn that something waits for them, and clients that it was decided: mail and a webhook by the settings, and
//! CIBA's ping. What is due lies in the database; a task of the server's says it.

use crate::modules::approval::channel::{Callback, Called, Calls, Channel, Channels, Webhook};
use crate::modules::approval::mail::{MailChannel, MailSettingsError};
use crate::wire::{Outgoing, OutgoingError, OutgoingRequest, Redirects};
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use std::time::Duration;

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

/// Mail goes to a relay that is trusted.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The relay's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender, as `Name <name@example.com>`.
    pub from: String,
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

    /// The channels.
    ///
    /// # Errors
    /// The sender's address is none.
    pub fn open(&self, outgoing: &Outgoing) -> Result<Channels, MailSettingsError> {
        let mut channels: Vec<Box<dyn Channel>> = Vec::new();
        if let Some(MailSettings { host, port, from }) = &self.mail {
            channels.push(Box::new(MailChannel::new(host, *port, from)?));
        }
        if let Some(WebhookSettings { url, bearer }) = &self.webhook {
            let (name, url, bearer) = (WEBHOOK.to_owned(), url.clone(), bearer.clone());
            channels.push(Box::new(Webhook { name, url, bearer, calls: Box::new(Posts(outgoing.clone())) }));
        }
        Ok(Channels { channels, callback: Box::new(Posts(outgoing.clone())) })
    }
}

/// Calls others through the one client, from a thread that may wait.
struct Posts(Outgoing);

impl Calls for Posts {
    fn call(&self, callback: &Callback<'_>) -> Called {
        let Ok(url) = callback.url.parse() else { return Called::Refused };
        let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {}", callback.bearer)) else {
            return Called::Refused;
        };
        bearer.set_sensitive(true);
        let mut request = OutgoingRequest::new(Method::POST, url);
        request.headers.insert(header::AUTHORIZATION, bearer);
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Body::from(callback.body.to_owned());
        (request.timeout, request.answer_bytes_max) = (CALL_TIMEOUT, ANSWER_BYTES_MAX);
        // A redirect is an answer; it is not followed.
        request.redirects = Redirects::Pass;
        match self.0.wait(self.0.send(request)) {
            Some(Ok(answer)) => Called::Answered(answer.status.as_u16()),
            Some(Err(error)) => {
                tracing::info!(%error, "a callback");
                match error {
                    OutgoingError::Url(_) | OutgoingError::Address { .. } | OutgoingError::Plain { .. } => {
                        Called::Refused
                    }
                    OutgoingError::Unresolved { .. }
                    | OutgoingError::Unreachable { .. }
                    | OutgoingError::TimedOut { .. }
                    | OutgoingError::Redirect { .. }
                    | OutgoingError::Headers { .. }
                    | OutgoingError::Large { .. }
                    | OutgoingError::Sent { .. } => Called::Failed,
                }
            }
            None => Called::Failed,
        }
    }
}
