//! Mail to those who may decide: plain text with a link to the page. Whoever has the mail can decide nothing by it.
//!
//! It goes to a relay: over TLS whose certificate is verified (RFC 8314: from the first byte, or by STARTTLS, which is never given
//! up), or in the clear to one on this machine or behind a tunnel.

use super::channel::{Channel, Message, News, NotSaid, Person, Tidings};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::SmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
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
    /// The authorities are none, or the host has no name that a certificate could be for.
    #[error(
        "mail over TLS to `{host}` cannot be set up: {why}; look at the relay's name and at `outgoing-authorities`"
    )]
    Tls {
        /// The relay.
        host: String,
        /// Why.
        why: String,
    },
}

/// How a relay is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelayTls {
    /// In the clear: it is on this machine, or behind a tunnel.
    #[default]
    None,
    /// Over TLS once both have said so; without it nothing is sent (RFC 3207).
    StartTls,
    /// Over TLS from the first byte (RFC 8314 3.3).
    Implicit,
}

/// Who we are to a relay.
#[derive(Clone)]
pub struct RelayLogin {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for RelayLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayLogin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A relay.
#[derive(Clone, Copy)]
pub struct Relay<'a> {
    /// Its host.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: RelayTls,
    /// Who we are to it.
    pub login: Option<&'a RelayLogin>,
    /// Certificates in PEM that are trusted besides the system's.
    pub authorities: Option<&'a [u8]>,
}

impl Relay<'_> {
    fn tls(self) -> Result<Tls, MailSettingsError> {
        if self.tls == RelayTls::None {
            return Ok(Tls::None);
        }
        let failed = |error: lettre::transport::smtp::Error| MailSettingsError::Tls {
            host: self.host.to_owned(),
            why: error.to_string(),
        };
        let mut parameters = TlsParameters::builder(self.host.to_owned());
        if let Some(pem) = self.authorities {
            parameters = parameters.add_root_certificate(Certificate::from_pem(pem).map_err(failed)?);
        }
        let parameters = parameters.build_rustls().map_err(failed)?;
        Ok(if self.tls == RelayTls::Implicit { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
    }
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
    /// The sender's address is none, or TLS cannot be set up.
    pub fn new(relay: Relay<'_>, from: &str) -> Result<MailChannel, MailSettingsError> {
        let from = from.parse().map_err(|_| MailSettingsError::From(from.to_owned()))?;
        // "Dangerous" is what a builder is called that is told all; what it is told comes from `Relay::tls`.
        let mut built = SmtpTransport::builder_dangerous(relay.host).port(relay.port).timeout(Some(RELAY_TIMEOUT));
        built = built.tls(relay.tls()?);
        if let Some(RelayLogin { name, password }) = relay.login {
            built = built.credentials(Credentials::new(name.clone(), password.clone()));
        }
        Ok(MailChannel { relay: built.build(), from })
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

/// The text of a mail that is about no request.
pub(super) fn news_text(tidings: &Tidings<'_>) -> (String, String) {
    let link = tidings.link;
    let (subject, body) = match tidings.news {
        News::Reconnect { name, .. } => {
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            let body = format!(
                "{name} does not take any more the access that you gave. Agents cannot use it for you until you connect it \
                 again:\n{link}\n\nIf you no longer want that, there is nothing to do. Never sign in on a page of another \
                 address.\n"
            );
            (format!("Connect {name} again"), body)
        }
        News::Orphans { agents, more } => {
            let count = agents.len().saturating_add(*more);
            let agents_are = if count == 1 { "An agent has".to_owned() } else { format!("{count} agents have") };
            let mut body =
                "The team that owns them has nobody left who may act, or the person who answers for them is gone:\n\n"
                    .to_owned();
            agents.iter().for_each(|agent| body.push_str(&format!("  {agent}\n")));
            if *more > 0 {
                body.push_str(&format!("  and {more} more\n"));
            }
            body.push_str(&format!(
                "\nAn administrator gives them to somebody else (`bailiwick agent set ID --owner team:ID --accountable user:ID`), \
                 or retires them; who operates them may suspend them. All of them, with the reason: `bailiwick agent list \
                 --orphaned`, or {link}\n"
            ));
            (format!("{agents_are} nobody who answers for them"), body)
        }
        News::AllowedForYou { client, by, titles, .. } => {
            let line = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
            let (client, by) = (line(client), line(by));
            let mut body = format!("{by} allowed {client}, in your name:\n\n");
            titles.iter().for_each(|title| body.push_str(&format!("  {}\n", line(title))));
            body.push_str(&format!(
                "\nYou need not do anything. If it is not right, tell {by}, or take back what {client} may do on your \
                 account:\n{link}\n"
            ));
            (format!("{by} allowed {client} something in your name"), body)
        }
    };
    (subject.chars().take(SUBJECT_CHARS_MAX).collect(), body)
}

impl MailChannel {
    /// One mail to one person: who else may decide is nobody's business. False when theirs is no address.
    fn mail(&self, address: &str, subject: &str, body: &str) -> Result<bool, NotSaid> {
        let Ok(to) = address.parse::<Mailboxes>() else { return Ok(false) };
        let mut mail = Mail::builder().from(self.from.clone()).subject(subject).header(ContentType::TEXT_PLAIN);
        for mailbox in to {
            mail = mail.to(mailbox);
        }
        let mail = mail.body(body.to_owned()).map_err(|_| NotSaid("a mail could not be written"))?;
        self.relay.send(&mail).map_err(|error| {
            tracing::info!(%error, "the mail relay");
            NotSaid("the mail relay did not take a mail")
        })?;
        Ok(true)
    }
}

impl Channel for MailChannel {
    fn name(&self) -> &str {
        "mail"
    }

    fn tells_each(&self) -> bool {
        true
    }

    fn reaches(&self, person: &Person) -> bool {
        person.email.as_ref().is_some_and(|address| address.parse::<Mailboxes>().is_ok())
    }

    fn tell(&self, message: &Message<'_>) -> Result<(), NotSaid> {
        let (subject, body) = text(message);
        let mut told = Err(NotSaid("nobody who may decide has a verified address"));
        for address in message.people.iter().filter_map(|person| person.email.as_ref()) {
            if self.mail(address, &subject, &body)? {
                told = Ok(());
            }
        }
        told
    }

    fn news(&self, tidings: &Tidings<'_>) -> Result<(), NotSaid> {
        let (subject, body) = news_text(tidings);
        let told = tidings.person.email.as_ref().map(|address| self.mail(address, &subject, &body)).transpose()?;
        if told == Some(true) { Ok(()) } else { Err(NotSaid("whoever it is for has no verified address")) }
    }
}
