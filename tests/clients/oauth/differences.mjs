// Where we answer otherwise than oidc-provider: what we say, what it says, and why, with the standard's section.
const ours401 = (why) => ["401 invalid_client", "400 invalid_request", why];
const NOBODY = "RFC 6749 5.2: `invalid_client` is for `no client authentication included` too";
const UNAUTHORIZED = ["400 unauthorized_client", "400 invalid_request", "RFC 6749 5.2, CIBA 13: the client may not use this grant type"];
const METHOD = ["405 page", "404 page", "RFC 9110 15.5.6: the resource is there, the method is not"];
const SCHEME = "RFC 6750 3.1: a request without credentials that are understood is 401, as one without any";

export const DIFFERENCES = {
  "nobody": ours401(NOBODY),
  "push: nobody": ours401(NOBODY),
  "CIBA: nobody": ours401(NOBODY),
  "introspection: nobody": ours401(NOBODY),
  "revocation: nobody": ours401(NOBODY),
  "header that is no Base64": ours401("RFC 6749 5.2: who tried to authenticate by the header gets 401 with a challenge"),
  "header without a colon": ours401("RFC 6749 5.2: as above"),
  "header of another scheme": ours401("RFC 6749 5.2: `unsupported authentication method` is `invalid_client`"),
  "header of a client that posts": [
    "401 invalid_client",
    "400 invalid_grant",
    "RFC 7591 2: a client shows who it is in the way that is registered; it goes on, and misses the proof",
  ],
  "assertion that is no token": ours401("RFC 7521 4.2.1: an assertion that is not valid is `invalid_client`"),
  "assertion for several audiences": [
    "401 invalid_client",
    "200 done",
    "RFC 7523bis 4: the issuer is the one audience, so that no other server can use it",
  ],
  "grant type of other clients": UNAUTHORIZED,
  "public client for itself": UNAUTHORIZED,
  "CIBA: client that may not": UNAUTHORIZED,
  "CIBA: grant of a client that may not": UNAUTHORIZED,
  "GET": METHOD,
  "push: by GET": METHOD,
  "introspection: by GET": METHOD,
  "unknown scope": [
    "400 invalid_scope",
    "200 done",
    "RFC 6749 5.2: `unknown` is `invalid_scope`; what was left out in silence would be missed later",
  ],
  "authorize: unknown scope": [
    "303 invalid_scope",
    "303 goes on",
    "RFC 6749 4.1.2.1, as above; OpenID Connect Core 3.1.2.1 would rather have it passed over",
  ],
  "short verifier": ["400 invalid_grant", "400 invalid_request", "RFC 7636 4.6: it is not the verifier, whatever its form"],
  "no redirect URI": [
    "400 invalid_grant",
    "400 invalid_request",
    "RFC 6749 5.2: it `does not match the redirection URI used in the authorization request`",
  ],
  "proof twice": ["400 invalid_dpop_proof", "400 invalid_grant", "RFC 9449 5 and 11.1: the proof is what is wrong"],
  "no proof of a client that must": [
    "400 invalid_dpop_proof",
    "400 invalid_grant",
    "RFC 9449 5: of the codes it is the one that says what to do",
  ],
  "authorize: state twice": [
    "400 page",
    "303 invalid_request",
    "RFC 6749 3.1: what was repeated may be what says where to answer; nothing of such a request is believed",
  ],
  "authorize: response mode fragment": [
    "303 invalid_request",
    "303 goes on",
    "OAuth 2.0 Multiple Response Types 2.1: `response_modes_supported` of our metadata is `query` alone",
  ],
  "authorize: unknown response mode": [
    "303 invalid_request",
    "303 unsupported_response_mode",
    "OAuth 2.0 Multiple Response Types 2.1 names no code; its own is in no registry",
  ],
  "authorize: malformed dpop_jkt": [
    "303 invalid_request",
    "303 goes on",
    "RFC 9449 10: it is a thumbprint; no proof could ever match this one",
  ],
  "authorize: by POST": [
    "303 unsupported_response_type",
    "404 page",
    "OpenID Connect Core 3.1.2.1: GET and POST must both be served",
  ],
  "push: with request_uri": [
    "400 invalid_request",
    "400 request_uri_not_supported",
    "RFC 9126 2.1: it must not be there; that such URIs are served is said by the metadata",
  ],
  "CIBA: by URL": [
    "400 invalid_request",
    "400 request_uri_not_supported",
    "CIBA 13 has no other code for it",
  ],
  "CIBA: scope without openid": ["400 invalid_scope", "400 invalid_request", "CIBA 7.1 and 13: the scope is what is wrong"],
  "introspection: public client": [
    "401 invalid_client",
    "200 inactive",
    "RFC 7662 2.1 and 4: who asks must show who it is, so that tokens cannot be guessed",
  ],
  "userinfo: another scheme": ["401 invalid_token", "400 invalid_request", SCHEME],
  "userinfo: token in the query": ["401 invalid_token", "400 invalid_request", `${SCHEME}; OAuth 2.1 5.1 ends tokens in the query`],
  "userinfo: token of a client alone": [
    "403 insufficient_scope",
    "401 invalid_token",
    "RFC 6750 3.1: the token is good, and has not the scope `openid`",
  ],
  "end: redirect URI alone": [
    "303 goes on",
    "200 done",
    "RP-Initiated Logout 1.0 3: both ask the person; our page is at a URL of its own",
  ],
};
