//! Which web pages may call the HTTP surface, as OpenFGA answers them: by default all may, with credentials.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

const METHODS: [Method; 6] = [Method::GET, Method::POST, Method::HEAD, Method::PATCH, Method::DELETE, Method::PUT];

/// The origins and request headers that are allowed; `*` is all.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<String>,
    headers: Vec<String>,
}

impl Cors {
    /// Allows some origins and request headers.
    #[must_use]
    pub fn new(origins: &[String], headers: &[String]) -> Cors {
        let lower = |list: &[String]| list.iter().map(|text| text.to_ascii_lowercase()).collect();
        Cors { origins: lower(origins), headers: lower(headers) }
    }

    /// The value of `Access-Control-Allow-Origin` for an origin.
    fn origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.iter().any(|o| o == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&text).then(|| origin.clone())
    }

    /// The headers of an answer to a request with that `Origin`.
    pub(super) fn answer(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = request.get(header::ORIGIN).and_then(|o| self.origin(o)) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The headers of an answer to a browser that asks beforehand.
    pub(super) fn preflight(&self, request: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        answer.insert(header::VARY, HeaderValue::from_static(vary));
        let method = request.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let known = |m: &&HeaderValue| METHODS.iter().any(|k| m.as_bytes() == k.as_str().as_bytes());
        let (Some(origin), Some(method)) =
            (request.get(header::ORIGIN).and_then(|o| self.origin(o)), method.filter(known))
        else {
            return answer;
        };
        let wanted = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(wanted) = wanted {
            let mut names = wanted.to_str().unwrap_or_default().split(',').map(|n| n.trim().to_ascii_lowercase());
            if !self.headers.iter().any(|h| h == "*") && !names.all(|n| self.headers.contains(&n)) {
                return answer;
            }
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        answer
    }
}

/// Whether a browser asks beforehand.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    const ASKED: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;
    method == Method::OPTIONS && headers.contains_key(ASKED)
}
