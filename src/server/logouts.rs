//! How clients are told that a session ended: a form, through the one client of other people's servers.

use crate::modules::logout::{Posted, Posts};
use crate::wire::{Outgoing, OutgoingRequest, Redirects};
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use std::time::Duration;

/// How long a client may take, and how much it may answer, which nobody looks at.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Posts through the one client.
pub(super) struct Forms(pub(super) Outgoing);

impl Forms {
    fn post_by(outgoing: &Outgoing, url: &str, form: &str) -> Posted {
        let Ok(url) = url.parse() else { return Posted::Refused };
        let mut request = OutgoingRequest::new(Method::POST, url);
        let media = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(header::CONTENT_TYPE, media);
        request.body = Body::from(form.to_owned());
        (request.timeout, request.answer_bytes_max) = (TIMEOUT, ANSWER_BYTES_MAX);
        request.redirects = Redirects::Pass;
        match outgoing.wait(outgoing.send(request)) {
            Some(Ok(answer)) => Posted::Answered(answer.status.as_u16()),
            Some(Err(error)) => {
                tracing::info!(%error, "a logout");
                if error.is_final() { Posted::Refused } else { Posted::Failed }
            }
            None => Posted::Failed,
        }
    }
}

impl Posts for Forms {
    fn post(&self, url: &str, form: &str) -> Posted {
        Forms::post_by(&self.0, url, form)
    }

    fn post_to_stranger(&self, url: &str, form: &str) -> Posted {
        Forms::post_by(&self.0.for_strangers(), url, form)
    }
}
