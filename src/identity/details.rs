//! Authorization details (RFC 9396) before they are granted: whether each is as its type wants it, and who has to allow it.
//!
//! What types there are is not known in this room: [`DetailTypes`] says, which the server plugs in. Where nobody does, no detail
//! is of a known type, and none is granted.

use super::{
    Answer, AuthRequest, Client, CodeGrant, ErrorCode, Grant, GrantType as _, Refusal, Seconds, Session, Tenant,
    acr_satisfies,
};
use serde_json::Value;

/// Who has to allow a detail before it is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowing {
    /// Nobody: whoever may ask for its type has it.
    Nobody,
    /// The person for whom it is, who sees it on the page of consent.
    Person(ShownAs),
    /// Somebody else. No flow of this room asks them.
    Others,
}

/// How a person has to have shown who they are before they may allow a detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAs {
    /// The least class of authentication.
    pub acr: String,
    /// How long ago at most, in seconds.
    pub age_s: Seconds,
}

/// Who knows the types of details of a tenant.
pub trait DetailTypes: Send + Sync {
    /// Judges a detail by its type.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAuthorizationDetails`]: its type is unknown, or it is not as its type wants it (RFC 9396 5).
    fn allowing(&self, tenant: &Tenant, detail: &Value) -> Answer<Allowing>;
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidAuthorizationDetails, rule, text)
}

impl Tenant {
    /// Who has to allow a detail.
    ///
    /// # Errors
    /// Its type is unknown, or it is not as its type wants it.
    pub fn allowing(&self, detail: &Value) -> Answer<Allowing> {
        match self.identity().detail_types() {
            Some(types) => types.allowing(self, detail),
            None => Err(refuse("details.type", "authorization details are of a type that is unknown here")),
        }
    }

    /// Refuses details that a client does not have for the asking.
    pub(super) fn details_alone(&self, client: &Client, details: &[Value]) -> Answer<()> {
        self.allowed_details(client, details)?;
        for detail in details {
            if self.allowing(detail)? != Allowing::Nobody {
                let text = "somebody has to approve these authorization details, and a client alone has nobody who does; \
                            ask in the name of a person, at `backchannel_authentication_endpoint`";
                return Err(refuse("details.approval", text));
            }
        }
        Ok(())
    }

    /// What of the details of a grant its client may still have. Of what a sign-in gave, that which would still be had so, by
    /// what the person allowed then: what somebody else approved is looked at where that is kept.
    pub(super) fn details_now(&self, client: &Client, grant: &Grant, details: Vec<Value>) -> Answer<Vec<Value>> {
        let mut still = Vec::with_capacity(details.len());
        for detail in details {
            let good = self.allowed_details(client, std::slice::from_ref(&detail)).and_then(|()| {
                Ok(grant.by != CodeGrant.name()
                    || match self.allowing(&detail)? {
                        Allowing::Nobody => true,
                        Allowing::Person(wanted) => grant.was_allowed(&wanted),
                        Allowing::Others => false,
                    })
            });
            match good {
                Ok(true) => still.push(detail),
                Ok(false) => {}
                Err(refusal) if refusal.error == ErrorCode::InvalidAuthorizationDetails => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(still)
    }

    /// How a person has to have shown who they are to allow these details on the page of consent: as the strictest of them
    /// wants it. `None` when none of them needs their word.
    ///
    /// # Errors
    /// One of them is somebody else's to allow, or not as its type wants it.
    pub fn details_shown_as(&self, details: &[Value]) -> Answer<Option<ShownAs>> {
        let mut all: Option<ShownAs> = None;
        for detail in details {
            match self.allowing(detail)? {
                Allowing::Nobody => {}
                Allowing::Others => {
                    let text = "somebody else than the person who signs in approves these authorization details; ask for \
                                them at `backchannel_authentication_endpoint`";
                    return Err(refuse("details.approval", text));
                }
                Allowing::Person(wanted) => {
                    all = Some(match all {
                        Some(before) if acr_satisfies(&before.acr, &wanted.acr) => {
                            ShownAs { age_s: before.age_s.min(wanted.age_s), ..before }
                        }
                        Some(before) => ShownAs { age_s: before.age_s.min(wanted.age_s), ..wanted },
                        None => wanted,
                    });
                }
            }
        }
        Ok(all)
    }
}

impl Grant {
    /// Whether the person allowed its details on the page of consent, having shown who they are as well as is wanted now: what
    /// was had without a word of theirs, or with less, is not what they would have to allow.
    #[must_use]
    pub fn was_allowed(&self, wanted: &ShownAs) -> bool {
        let shown = self.authentication.as_ref().is_some_and(|shown| acr_satisfies(&shown.acr, &wanted.acr));
        self.by == CodeGrant.name() && self.user().is_some() && self.details_allowed && shown
    }
}

impl ShownAs {
    /// What a person has to do before they may allow the details of a request.
    pub(super) fn needs(&self, request: &AuthRequest, session: &Session, now: Seconds) -> Option<super::Need> {
        let shown = &session.authentication;
        if !acr_satisfies(&shown.acr, &self.acr) {
            return Some(super::Need::StepUp(self.acr.clone()));
        }
        let fresh = now < shown.at.saturating_add(self.age_s) || request.has_sign_in(session);
        (!fresh).then_some(super::Need::SignIn)
    }
}
