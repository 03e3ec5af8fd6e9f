//! Mail to those who may decide: plain text with a link to the page. Whoever has the mail can decide nothing by it.
//!
//! It goes to a relay that is trusted, on this machine or behind a tunnel: the connection is not encrypted here.

use super::channel::{Channel, Message, NotSaid};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::SmtpTransport;
use lettre::{Message as Mail, Transport as _};
use std::time::Duration;

/// How long the relay may take.
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 120;

/// Why mail cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailSettingsError {
    /// The sender's address is none.
    #[error("`{0}` is no address for the sender of mail; write `Name <name@example.com>`")]
    From(String),
}

/// See the file's head.
pub struct MailChannel {
    relay: SmtpTransport,
    from: Mailbox,
}

impl MailChannel {
    /// Mail through a relay.
    ///
    /// # Errors
    /// The sender's address is none.
    pub fn new(host: &str, port: u16, from: &str) -> Result<MailChannel, MailSettingsError> {
        let from = from.parse().map_err(|_| MailSettingsError::From(from.to_owned()))?;
        let relay = SmtpTransport::builder_dangerous(host).port(port).timeout(Some(RELAY_TIMEOUT)).build();
        Ok(MailChannel { relay, from })
    }
}

/// The text of a mail: who asks, what for, and where to decide. One line for each, so that none passes for another.
pub(super) fn text(message: &Message<'_>) -> (String, String) {
    let line = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let what = message.titles.first().map_or_else(|| "something".to_owned(), |title| line(title));
    let subject = format!("{} asks you to approve: {what}", line(message.client));
    let subject: String = subject.chars().take(SUBJECT_CHARS_MAX).collect();
    let mut body = format!("{} asks, for {}:\n\n", line(message.client), line(message.user));
    for title in &message.titles {
        body.push_str(&format!("  {}\n", line(title)));
    }
    if let Some(binding) = message.binding_message {
        body.push_str(&format!("\nIt shows: {}\n", line(binding)));
    }
    body.push_str(&format!(
        "\nLook at it and decide:\n{}\n\nNothing happens before you do. Never decide on a page of another address.\n",
        message.link
    ));
    (subject, body)
}

impl Channel for MailChannel {
    fn name(&self) -> &str {
        "mail"
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid> {
        let (subject, body) = text(message);
        let addresses = message.people.iter().filter_map(|person| person.email.as_ref());
        let mut told = false;
        for address in addresses {
            // One mail each: who else may decide is nobody's business.
            let Ok(to) = address.parse::<Mailboxes>() else { continue };
            let mut mail = Mail::builder().from(self.from.clone()).subject(&subject).header(ContentType::TEXT_PLAIN);
            for mailbox in to {
                mail = mail.to(mailbox);
            }
            let mail = mail.body(body.clone()).map_err(|_| NotSaid("a mail could not be written"))?;
            self.relay.send(&mail).map_err(|error| {
                tracing::info!(%error, "the mail relay");
                NotSaid("the mail relay did not take a mail")
            })?;
            told = true;
        }
        if told { Ok(()) } else { Err(NotSaid("nobody who may decide has a verified address")) }
    }
}
