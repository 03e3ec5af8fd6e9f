//! The pages: what each shows, compiled and escaped by askama. No rule is here, and no text that a caller sent is trusted.
//!
//! They are plain forms. One script, the same everywhere and named to the browser by its hash, lets passkeys work; another, of
//! the page of the account alone and from our own address, lets a browser show notices; what else there is works without.

use askama::Template;
use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write as _;

/// The text of every page's `<style>`.
pub(super) const STYLE: &str = include_str!("pages/style.css");
/// The text of the `<script>` of pages with passkeys.
pub(super) const SCRIPT: &str = include_str!("pages/passkey.js");

macro_rules! page {
    ($(#[$doc:meta])* $name:ident, $path:literal, { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Template)]
        #[template(path = $path, config = "src/modules/askama.toml")]
        pub(super) struct $name<'a> {
            /// What is around it.
            pub shell: Shell<'a>,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

/// What is around every page.
#[derive(Clone, Copy)]
pub(super) struct Shell<'a> {
    /// Whose pages these are.
    pub issuer_name: &'a str,
}

impl Shell<'_> {
    fn style(&self) -> &'static str {
        STYLE
    }

    fn script(&self) -> &'static str {
        SCRIPT
    }
}

/// What every form has.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// Where it is sent to.
    pub action: String,
    /// What binds it to the browser that it was made for.
    pub token: String,
    /// The request of an application that it is about, or nothing.
    pub request: String,
}

/// Something to say at the top of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Something went wrong.
    Bad(String),
    /// Something was done.
    Good(String),
}

impl Notice {
    fn class(&self) -> &'static str {
        match self {
            Notice::Bad(_) => "bad",
            Notice::Good(_) => "good",
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Notice::Bad(_) => "alert",
            Notice::Good(_) => "status",
        }
    }

    fn text(&self) -> &str {
        match self {
            Notice::Bad(text) | Notice::Good(text) => text,
        }
    }
}

/// A form that is sent by the script when a passkey has answered.
pub(super) struct PasskeyForm {
    /// The form.
    pub form: Form,
    /// What the script hands to the browser, as JSON.
    pub options: String,
    /// The sealed state of the ceremony.
    pub state: String,
}

/// A form with a name and a password.
pub(super) struct PasswordForm<'a> {
    /// The form.
    pub form: Form,
    /// The name, if it is known.
    pub name: &'a str,
    /// Whether it can be no other.
    pub fixed: bool,
    /// What is wrong, or nothing.
    pub error: &'a str,
    /// What the button says.
    pub button: &'static str,
}

/// Another provider.
pub(super) struct UpstreamForm {
    /// The form.
    pub form: Form,
    /// What it is named by in the form.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// An account at somebody else's API.
pub(super) struct ConnectionRow {
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub about: &'static str,
    /// Where that is changed.
    pub href: String,
    /// What the link says.
    pub text: &'static str,
}

page! {
    /// Where one signs in, or confirms who one is.
    SignInPage, "sign_in.html", {
        /// What is to be done.
        heading: &'static str,
        /// For what.
        lead: String,
        /// What went wrong.
        notice: Option<Notice>,
        /// By passkey, if there can be any.
        passkey: Option<PasskeyForm>,
        /// By password, if that is enough.
        password: Option<PasswordForm<'a>>,
        /// By other providers.
        upstreams: Vec<UpstreamForm>,
        /// Back to the application that asked.
        cancel: Option<Form>,
    }
}

page! {
    /// The second factor.
    CodePage, "code.html", {
        /// Whose.
        account: &'a str,
        /// Whether a recovery code is asked for.
        recovery: bool,
        /// The form.
        form: Form,
        /// What is wrong, or nothing.
        error: &'a str,
        /// Where the other kind of code is asked for.
        other: String,
        /// Where it begins again.
        again: String,
    }
}

/// One scope, in words.
pub(super) struct ScopeWords {
    /// What it is called.
    pub name: String,
    /// What it allows.
    pub words: String,
}

/// A resource and what is asked for there.
pub(super) struct ResourceWords {
    /// What people call it.
    pub title: String,
    /// Its identifier, or nothing.
    pub place: String,
    /// Its scopes.
    pub scopes: Vec<ScopeWords>,
}

/// A name and a value.
pub(super) struct Field {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// One of the details of a request (RFC 9396).
pub(super) struct DetailWords {
    /// What it is.
    pub title: String,
    /// What it says.
    pub fields: Vec<Field>,
}

/// An agent or an application that will act, or may.
pub(super) struct AskerWords {
    /// Which of them.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What it is for, as a sentence, or nothing.
    pub purpose: String,
    /// Who answers for it, or nothing.
    pub owner: String,
}

page! {
    /// Whether an application may.
    ConsentPage, "consent.html", {
        /// What the application is called.
        app: &'a str,
        /// Who is asked.
        account: &'a str,
        /// The agent that will act, if one does.
        agent: Option<AskerWords>,
        /// Who may act besides with what it is given.
        others: Vec<AskerWords>,
        /// Whether there are more than are named.
        more_others: bool,
        /// What it may do where.
        resources: Vec<ResourceWords>,
        /// And in detail.
        details: Vec<DetailWords>,
        /// Whether it may do so when nobody is there.
        offline: bool,
        /// The host that the browser is sent to.
        destination: &'a str,
        /// The host at which the application is described, if that is how it is known, or nothing.
        verified: &'a str,
        /// The form.
        form: Form,
        /// Where it can be withdrawn.
        account_page: &'a str,
    }
}

page! {
    /// What an invitation leads to: nothing happens before the button is pressed, so that a program that looks at links uses
    /// none up.
    InvitePage, "invite.html", {
        /// What it is for.
        heading: &'static str,
        /// For whom.
        account: &'a str,
        /// The form.
        form: Form,
        /// The invitation's secret.
        code: &'a str,
    }
}

page! {
    /// Adds a passkey.
    AddPasskeyPage, "add_passkey.html", {
        /// What went wrong.
        notice: Option<Notice>,
        /// The form.
        passkey: PasskeyForm,
        /// What it is to be called.
        label: &'a str,
        /// Whether all others can be taken away.
        reset: bool,
        /// What else can be done, or nothing.
        other: String,
        /// What that is called.
        other_text: &'static str,
    }
}

page! {
    /// Sets a password.
    NewPasswordPage, "new_password.html", {
        /// Whose.
        account: &'a str,
        /// The form.
        form: Form,
        /// Shortest password.
        chars_min: usize,
        /// What is wrong with it, or nothing.
        error: String,
        /// What is wrong with its second spelling, or nothing.
        again_error: &'static str,
        /// Whether all others can be taken away.
        reset: bool,
        /// What else can be done, or nothing.
        other: String,
        /// What that is called.
        other_text: &'static str,
    }
}

page! {
    /// Adds an app for one-time passwords.
    TotpPage, "totp.html", {
        /// A picture of the URI.
        qr: String,
        /// The URI that the app takes.
        uri: &'a str,
        /// The secret, as people type it.
        secret: &'a str,
        /// The sealed secret.
        state: String,
        /// The form.
        form: Form,
        /// What is wrong, or nothing.
        error: &'static str,
        /// Back.
        account_page: String,
    }
}

page! {
    /// Shows recovery codes, once.
    RecoveryCodesPage, "recovery_codes.html", {
        /// The codes.
        codes: &'a [String],
        /// On.
        account_page: String,
    }
}

/// A way to sign in.
pub(super) struct CredentialRow {
    /// What it is named by in the form.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Since when, and when it was used last.
    pub about: String,
    /// Whether another way in remains without it.
    pub removable: bool,
}

/// A session.
pub(super) struct SessionRow {
    /// What it is named by in the form.
    pub id: String,
    /// The browser.
    pub device: String,
    /// Since when, from where.
    pub about: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// What was allowed.
pub(super) struct ConsentRow {
    /// What it is named by in the form.
    pub id: String,
    /// Who was allowed it.
    pub app: String,
    /// What, and since when.
    pub about: String,
}

/// Browsers in which somebody is told.
pub(super) struct ToldRows {
    /// What each is named by in the form, is called, and since when it is told.
    pub rows: Vec<(String, String, String)>,
    /// Adds this browser, by the script.
    pub add: Form,
    /// Takes one away.
    pub remove: Form,
    /// What the browser's subscription is bound to.
    pub key: String,
    /// Where the script is.
    pub script: String,
    /// Where the program is that shows notices.
    pub worker: String,
    /// What a phone needs to keep this as an app.
    pub app: String,
}

/// A link with a text.
pub(super) struct Way {
    /// Where to.
    pub href: String,
    /// What it says.
    pub text: &'static str,
}

page! {
    /// What somebody sees of their own account.
    AccountPage, "account.html", {
        /// What people call them.
        display_name: &'a str,
        /// What they sign in as.
        account: &'a str,
        /// What was done.
        notice: Option<Notice>,
        /// Their ways to sign in.
        credentials: Vec<CredentialRow>,
        /// Ways that can be added.
        adds: Vec<Way>,
        /// Other providers that can be linked.
        links: Vec<UpstreamForm>,
        /// Their sessions.
        sessions: Vec<SessionRow>,
        /// What they have allowed.
        consents: Vec<ConsentRow>,
        /// Their accounts at others' APIs, and those that they can have.
        connections: Vec<ConnectionRow>,
        /// Where they are told of what waits for them.
        told: Option<ToldRows>,
        /// Ends this session.
        sign_out: Form,
        /// Ends another session.
        end: Form,
        /// Ends all, and what hangs on them.
        everywhere: Form,
        /// Withdraws a consent.
        withdraw: Form,
        /// Takes a credential away.
        remove: Form,
    }
}

page! {
    /// Says something, and how to go on.
    MessagePage, "message.html", {
        /// What.
        heading: &'a str,
        /// In a sentence.
        text: &'a str,
        /// A form with one button, if there is something to confirm.
        form: Option<Form>,
        /// Where else to go on, or nothing.
        href: String,
        /// What the button says.
        button: &'static str,
        /// What the log knows the request by, or nothing.
        trace: &'a str,
    }
}

/// A picture of a text as an SVG element. Empty when the text is too long for one.
#[must_use]
pub(super) fn qr(text: &str) -> String {
    /// Light modules around the picture (ISO/IEC 18004, 6.3.8).
    const QUIET: usize = 4;
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return String::new() };
    let width = code.width();
    let side = width + 2 * QUIET;
    let mut path = String::new();
    for (row, colors) in code.to_colors().chunks(width.max(1)).enumerate() {
        for (column, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
            let _ = write!(path, "M{} {}h1v1h-1z", column + QUIET, row + QUIET); // a String takes all
        }
    }
    format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"QR code for the app\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#000\" d=\"{path}\"/></svg>"
    )
}
