//! What stands in our tokens (RFC 9068, RFC 8693 4.1, OpenID Connect Core 2).

use super::{Actor, Grant, Seconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// What a token is. One is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An access token: `at+jwt`.
    Access,
    /// An ID token: `JWT`.
    Id,
    /// A refresh token, which is no JWT.
    Refresh,
}

impl TokenKind {
    /// The `typ` of its header.
    #[must_use]
    pub fn typ(self) -> &'static str {
        match self {
            TokenKind::Access => "at+jwt",
            TokenKind::Id => "JWT",
            TokenKind::Refresh => "",
        }
    }

    /// Its type in a token exchange (RFC 8693 3).
    #[must_use]
    pub fn urn(self) -> &'static str {
        match self {
            TokenKind::Access => "urn:ietf:params:oauth:token-type:access_token",
            TokenKind::Id => "urn:ietf:params:oauth:token-type:id_token",
            TokenKind::Refresh => "urn:ietf:params:oauth:token-type:refresh_token",
        }
    }

    pub(super) fn of_typ(typ: &str) -> Option<TokenKind> {
        [TokenKind::Access, TokenKind::Id].into_iter().find(|kind| kind.typ() == typ)
    }
}

/// One audience or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audience(pub(super) Vec<String>);

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Audience, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Several(Vec<String>),
        }
        Ok(Audience(match Form::deserialize(deserializer)? {
            Form::One(one) => vec![one],
            Form::Several(several) => several,
        }))
    }
}

/// What must be proved with a token (RFC 7800): each that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of a key (RFC 9449 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The SHA-256 thumbprint of a certificate (RFC 8705 3.1).
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "x5t#S256")]
    pub x5t: Option<String>,
}

impl Confirmation {
    /// As the claim `cnf`; `None` when nothing need be proved.
    #[must_use]
    pub fn claim(&self) -> Option<Value> {
        (*self != Confirmation::default()).then(|| json!(self))
    }
}

/// The claims of an access token or an ID token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: Seconds,
    pub(super) iat: Seconds,
    pub(super) jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<Seconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) authorization_details: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Confirmation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at_hash: Option<String>,
    #[serde(flatten)]
    pub(super) profile: Map<String, Value>,
}

/// The claim `act`: who acts now, and within it who acted before (RFC 8693 4.1). `None` when nobody acts for another.
#[must_use]
pub fn act_claim(actors: &[Actor]) -> Option<Value> {
    actors.iter().rev().fold(None, |behind, actor| {
        let mut act = Map::new();
        let id = match (&actor.issuer, actor.subject.split_once(':')) {
            (None, Some((_, id))) => id,
            _ => &actor.subject,
        };
        act.insert("sub".to_owned(), id.into());
        if let Some(issuer) = &actor.issuer {
            act.insert("iss".to_owned(), issuer.as_str().into());
        }
        if let Some(behind) = behind {
            act.insert("act".to_owned(), behind);
        }
        Some(Value::Object(act))
    })
}

/// The claims of a profile that scopes let out (OpenID Connect Core 5.4).
#[must_use]
pub fn profile_claims(claims: &Map<String, Value>, scopes: &[String]) -> Map<String, Value> {
    const PROFILE: [&str; 14] = [
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ];
    let of_scope: [(&str, &[&str]); 4] = [
        ("profile", &PROFILE),
        ("email", &["email", "email_verified"]),
        ("address", &["address"]),
        ("phone", &["phone_number", "phone_number_verified"]),
    ];
    let mut out = Map::new();
    for (_, names) in of_scope.iter().filter(|(scope, _)| scopes.iter().any(|has| has == scope)) {
        for name in *names {
            if let Some(value) = claims.get(*name) {
                out.insert((*name).to_owned(), value.clone());
            }
        }
    }
    out
}

impl Claims {
    /// What all tokens of a grant say of who it is for, and how they were authenticated.
    pub(super) fn of(grant: &Grant, issuer: &str) -> Claims {
        let authentication = grant.authentication.as_ref();
        Claims {
            iss: issuer.to_owned(),
            sub: grant.sub().to_owned(),
            auth_time: authentication.map(|a| a.at),
            acr: authentication.map(|a| a.acr.clone()),
            amr: authentication.map(|a| a.amr.clone()).unwrap_or_default(),
            sid: grant.session.clone(),
            ..Claims::default()
        }
    }
}
