// A second opinion: oidc-provider, configured alike, gets the same wrong requests as our issuer. Status and error must be the
// same, or stand in DIFFERENCES with the standard's section. It fails on a new difference, and on one that is no more.
//
// node opinion.mjs ISSUER WORK [ROW], as `run` calls it
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:https";
import { shown } from "../served.mjs";
import { Person, api, callback, client as given, issuer, key, load, step, user } from "./world.mjs";
import { DIFFERENCES } from "./differences.mjs";

process.removeAllListeners("warning");
console.info = console.warn = () => {}; // what it says of its defaults
const { default: Provider, errors } = await load("oidc-provider");
const jose = await load("jose");

const CIBA = "urn:openid:params:grant-type:ciba";
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const challenge = createHash("sha256").update(verifier).digest("base64url");
const { kid, d, ...publicKey } = key();

// ---- Theirs.
const server = createServer(shown()).listen(0, "127.0.0.1");
await new Promise((ready) => server.on("listening", ready));
const theirIssuer = `https://127.0.0.1:${server.address().port}`;
const registered = (id, method, grants, more = {}) => ({
  client_id: id,
  client_secret: given(id).client_secret,
  token_endpoint_auth_method: method,
  grant_types: grants,
  redirect_uris: grants.includes("authorization_code") ? [callback] : [],
  response_types: grants.includes("authorization_code") ? ["code"] : [],
  scope: "openid profile offline_access read write",
  ...more,
});
const [code, refresh, own] = ["authorization_code", "refresh_token", "client_credentials"];
const theirs = new Provider(theirIssuer, {
  clients: [
    registered("worker", "client_secret_basic", [own], { scope: "read" }),
    registered("keyed", "private_key_jwt", [own, CIBA], {
      scope: "openid read",
      jwks: { keys: [{ ...publicKey, kid, use: "sig" }] },
      backchannel_token_delivery_mode: "poll",
    }),
    registered("bound", "client_secret_post", [own], { scope: "read", dpop_bound_access_tokens: true }),
    registered("app", "none", [code, refresh], { post_logout_redirect_uris: ["http://127.0.0.1/bye"] }),
    registered("other", "none", [code, refresh]),
    registered("web", "client_secret_basic", [code, refresh]),
    registered("pushing", "none", [code, refresh], { require_pushed_authorization_requests: true }),
    registered("sales", "client_secret_basic", [CIBA], { backchannel_token_delivery_mode: "poll" }),
    registered("api-server", "client_secret_basic", [own]),
  ],
  scopes: ["openid", "profile", "offline_access", "read", "write"],
  responseTypes: ["code"],
  pkce: { required: () => true },
  cookies: { keys: ["x"] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  allowOmittingSingleRegisteredRedirectUri: false,
  interactions: { url: (_, interaction) => `/login/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(_, resource) {
        if (resource !== api) throw new errors.InvalidTarget();
        return { scope: "read write", audience: api, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
      },
    },
    ciba: {
      enabled: true,
      deliveryModes: ["poll"],
      processLoginHint: (_, hint) => (hint === user ? "sarah" : undefined),
      processLoginHintToken: () => undefined,
      verifyUserCode: () => {},
      validateRequestContext: () => {},
      validateBindingMessage(_, message) {
        if (message?.length > 128) throw new errors.InvalidBindingMessage();
      },
      triggerAuthenticationDevice: () => {},
    },
  },
});
server.on("request", theirs.callback());

async function theirCode(id, more = {}) {
  const grant = new theirs.Grant({ accountId: "sarah", clientId: id });
  grant.addOIDCScope("openid profile offline_access");
  grant.addResourceScope(api, "read");
  const made = new theirs.AuthorizationCode({
    accountId: "sarah",
    client: await theirs.Client.find(id),
    grantId: await grant.save(),
    gty: "authorization_code",
    redirectUri: callback,
    resource: api,
    scope: "openid profile offline_access read",
    codeChallenge: challenge,
    codeChallengeMethod: "S256",
    authTime: Math.floor(Date.now() / 1000),
    sessionUid: "s",
    ...more,
  });
  return made.save();
}

// ---- Ours.
const sarah = new Person();
async function ourCode(id, more = {}) {
  const asked = authorizing(id, more.dpopJkt ? { dpop_jkt: more.dpopJkt } : {});
  const at = await sarah.goOn(await sarah.browse(`${issuer}/authorize?${new URLSearchParams(asked)}`));
  const found = at.url.searchParams.get("code");
  assert.ok(found, `${at.url} ${at.page}`);
  return found;
}

const metadata = async (of) => (await fetch(`${of}/.well-known/openid-configuration`)).json();
const sides = [
  { name: "ours", as: await metadata(issuer), code: ourCode },
  { name: "theirs", as: await metadata(theirIssuer), code: theirCode },
];

// ---- What is sent.
const authorizing = (id, more) => ({
  client_id: id,
  response_type: "code",
  redirect_uri: callback,
  scope: "openid profile offline_access read",
  resource: api,
  state: "s",
  code_challenge: challenge,
  code_challenge_method: "S256",
  ...more,
});
/** Parameters without those that are null; a list stands for several of the same name. */
function form(parameters) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one != null) body.append(name, one);
  }
  return body;
}
const basic = (id, secret = given(id).client_secret) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` });
const post = (url, parameters, headers = {}) => fetch(url, { method: "POST", body: form(parameters), headers, redirect: "manual" });
const get = (url, parameters, headers = {}) => fetch(`${url}?${form(parameters)}`, { headers, redirect: "manual" });
/** As a browser asks. */
const html = { accept: "text/html" };
const token = (s, parameters, headers) => post(s.as.token_endpoint, parameters, headers);
const authorize = (s, id, more) => get(s.as.authorization_endpoint, authorizing(id, more), html);
const push = (s, id, more, headers) => post(s.as.pushed_authorization_request_endpoint, authorizing(id, more), headers);
const ask = (s, more, headers = basic("sales")) =>
  post(s.as.backchannel_authentication_endpoint, { scope: "openid", login_hint: user, ...more }, headers);
const grant = { grant_type: own };
const redeeming = (found, more) => ({
  grant_type: code,
  code: found,
  code_verifier: verifier,
  redirect_uri: callback,
  ...more,
});

const now = () => Math.floor(Date.now() / 1000);
const signer = await jose.importJWK(key(), "ES256");
const { privateKey: stranger } = await jose.generateKeyPair("ES256");
/** An assertion of the client `keyed`; a null takes a claim away. */
async function assertion(s, change = {}, by = signer) {
  const claims = { iss: "keyed", sub: "keyed", aud: s.as.issuer, iat: now(), exp: now() + 60, jti: randomUUID(), ...change };
  for (const [name, value] of Object.entries(claims)) if (value === null) delete claims[name];
  const client_assertion = by
    ? await new jose.SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "k1" }).sign(by)
    : new jose.UnsecuredJWT(claims).encode();
  return { client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion };
}
const asserted = async (s, change, by) => token(s, { ...grant, ...(await assertion(s, change, by)) });

const keys = await jose.generateKeyPair("ES256", { extractable: true });
const otherKeys = await jose.generateKeyPair("ES256", { extractable: true });
const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(keys.publicKey));
/** A proof for the token endpoint, or for what the change says. */
async function proof(s, change = {}, header = {}, pair = keys) {
  const claims = { htm: "POST", htu: s.as.token_endpoint, iat: now(), jti: randomUUID(), ...change };
  for (const [name, value] of Object.entries(claims)) if (value === null) delete claims[name];
  const jwk = await jose.exportJWK(pair.publicKey);
  const dpop = await new jose.SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk, ...header })
    .sign(pair.privateKey);
  return { dpop };
}
const proved = async (s, change, header) => token(s, grant, { ...basic("worker"), ...(await proof(s, change, header)) });
/** Tokens of `web`, or of a public client. */
async function tokens(s, id = "web", headers = basic("web")) {
  const answer = await token(s, redeeming(await s.code(id), id === "web" ? {} : { client_id: id }), headers);
  assert.equal(answer.status, 200, `${s.name}: ${await answer.clone().text()}`);
  return answer.json();
}
const refreshing = (refresh_token, more) => ({ grant_type: refresh, refresh_token, ...more });
const info = (s, headers, query = {}) => get(s.as.userinfo_endpoint, query, headers);

const ROWS = {
  // Who the client is.
  "nobody": (s) => token(s, grant),
  "unknown client in the header": (s) => token(s, grant, basic("nobody", "x")),
  "unknown client in the body": (s) => token(s, { ...grant, client_id: "nobody", client_secret: "x" }),
  "wrong secret in the header": (s) => token(s, grant, basic("worker", "x")),
  "wrong secret in the body": (s) => token(s, { ...grant, client_id: "bound", client_secret: "x" }),
  "secret in header and body": (s) =>
    token(s, { ...grant, client_id: "worker", client_secret: given("worker").client_secret }, basic("worker")),
  "header that is no Base64": (s) => token(s, grant, { authorization: "Basic !" }),
  "header without a colon": (s) => token(s, grant, { authorization: `Basic ${btoa("worker")}` }),
  "header of another scheme": (s) => token(s, grant, { authorization: "Bearer x" }),
  "client_id that is not that of the header": (s) => token(s, { ...grant, client_id: "bound" }, basic("worker")),
  "header of a client that posts": (s) => token(s, grant, basic("bound")),
  "secret of a public client": (s) => token(s, { ...redeeming("x"), client_id: "app", client_secret: "x" }),
  "no secret of a confidential client": (s) => token(s, { ...grant, client_id: "worker" }),
  "assertion with another key": (s) => asserted(s, {}, stranger),
  "assertion that is over": (s) => asserted(s, { iat: now() - 600, exp: now() - 300 }),
  "assertion without an end": (s) => asserted(s, { exp: null }),
  "assertion for another audience": (s) => asserted(s, { aud: "https://other.example/" }),
  "assertion for several audiences": (s) => asserted(s, { aud: [s.as.issuer, "https://other.example/"] }),
  "assertion without audience": (s) => asserted(s, { aud: null }),
  "assertion without jti": (s) => asserted(s, { jti: null }),
  "assertion of another issuer": (s) => asserted(s, { iss: "worker" }),
  "assertion without issuer": (s) => asserted(s, { iss: null }),
  "assertion without subject": (s) => asserted(s, { sub: null }),
  "assertion of the future": (s) => asserted(s, { nbf: now() + 600 }),
  "assertion with alg none": (s) => asserted(s, {}, null),
  "assertion twice": async (s) => {
    const shown = { ...grant, ...(await assertion(s)) };
    assert.equal((await token(s, shown)).status, 200);
    return token(s, shown);
  },
  "assertion without its type": async (s) => token(s, { ...grant, ...(await assertion(s)), client_assertion_type: null }),
  "assertion of another type": async (s) => token(s, { ...grant, ...(await assertion(s)), client_assertion_type: "urn:x" }),
  "assertion and another client_id": async (s) => token(s, { ...grant, ...(await assertion(s)), client_id: "worker" }),
  "assertion that is no token": async (s) => token(s, { ...grant, ...(await assertion(s)), client_assertion: "x" }),
  // What is asked for at the token endpoint.
  "no grant type": (s) => token(s, {}, basic("worker")),
  "unknown grant type": (s) => token(s, { grant_type: "urn:x" }, basic("worker")),
  "grant type password": (s) => token(s, { grant_type: "password", username: "x", password: "x" }, basic("worker")),
  "grant type of other clients": (s) => token(s, redeeming("x"), basic("worker")),
  "public client for itself": (s) => token(s, { ...grant, client_id: "app" }),
  "grant type twice": (s) => token(s, { grant_type: [own, own] }, basic("worker")),
  "scope twice": (s) => token(s, { ...grant, scope: ["read", "read"] }, basic("worker")),
  "GET": (s) => get(s.as.token_endpoint, grant, basic("worker")),
  "JSON": (s) =>
    fetch(s.as.token_endpoint, {
      method: "POST",
      body: JSON.stringify(grant),
      headers: { ...basic("worker"), "content-type": "application/json" },
    }),
  "unknown scope": (s) => token(s, { ...grant, scope: "unknown" }, basic("worker")),
  "scope of other clients": (s) => token(s, { ...grant, scope: "write", resource: api }, basic("worker")),
  "unknown resource": (s) => token(s, { ...grant, resource: "https://other.example/" }, basic("worker")),
  "relative resource": (s) => token(s, { ...grant, resource: "x" }, basic("worker")),
  "resource with a fragment": (s) => token(s, { ...grant, resource: `${api}#x` }, basic("worker")),
  "unknown parameter": (s) => token(s, { ...grant, unknown: "x" }, basic("worker")),
  // Codes.
  "no code": (s) => token(s, redeeming(null), basic("web")),
  "unknown code": (s) => token(s, redeeming("x"), basic("web")),
  "code of another client": async (s) => token(s, redeeming(await s.code("app"), { client_id: "other" })),
  "wrong verifier": async (s) => token(s, redeeming(await s.code("web"), { code_verifier: "x".repeat(43) }), basic("web")),
  "short verifier": async (s) => token(s, redeeming(await s.code("web"), { code_verifier: "x" }), basic("web")),
  "no verifier": async (s) => token(s, redeeming(await s.code("web"), { code_verifier: null }), basic("web")),
  "another redirect URI": async (s) =>
    token(s, redeeming(await s.code("web"), { redirect_uri: "http://127.0.0.1:2/cb" }), basic("web")),
  "no redirect URI": async (s) => token(s, redeeming(await s.code("web"), { redirect_uri: null }), basic("web")),
  "code twice": async (s) => {
    const found = await s.code("web");
    assert.equal((await token(s, redeeming(found), basic("web"))).status, 200);
    return token(s, redeeming(found), basic("web"));
  },
  "code twice, and what it gave": async (s) => {
    const found = await s.code("web");
    const gave = await (await token(s, redeeming(found), basic("web"))).json();
    await token(s, redeeming(found), basic("web"));
    return token(s, refreshing(gave.refresh_token), basic("web"));
  },
  "code and another resource": async (s) =>
    token(s, redeeming(await s.code("web"), { resource: "https://other.example/" }), basic("web")),
  "code of another key": async (s) =>
    token(s, redeeming(await s.code("app", { dpopJkt: jkt }), { client_id: "app" }), await proof(s, {}, {}, otherKeys)),
  "code of a key, without proof": async (s) => token(s, redeeming(await s.code("app", { dpopJkt: jkt }), { client_id: "app" })),
  // Refresh tokens.
  "no refresh token": (s) => token(s, refreshing(null), basic("web")),
  "unknown refresh token": (s) => token(s, refreshing("x"), basic("web")),
  "refresh token of another client": async (s) =>
    token(s, refreshing((await tokens(s, "app", {})).refresh_token, { client_id: "other" })),
  "access token as refresh token": async (s) => token(s, refreshing((await tokens(s)).access_token), basic("web")),
  "refresh for a wider scope": async (s) =>
    token(s, refreshing((await tokens(s)).refresh_token, { scope: "openid write" }), basic("web")),
  "refresh for another resource": async (s) =>
    token(s, refreshing((await tokens(s)).refresh_token, { resource: "https://other.example/" }), basic("web")),
  "old refresh token": async (s) => {
    const first = (await tokens(s)).refresh_token;
    const next = async (old) => (await (await token(s, refreshing(old), basic("web"))).json()).refresh_token;
    await next(await next(first));
    return token(s, refreshing(first), basic("web"));
  },
  "newest refresh token after an old one": async (s) => {
    const first = (await tokens(s)).refresh_token;
    const next = async (old) => (await (await token(s, refreshing(old), basic("web"))).json()).refresh_token;
    const third = await next(await next(first));
    await token(s, refreshing(first), basic("web"));
    return token(s, refreshing(third), basic("web"));
  },
  "revoked refresh token": async (s) => {
    const { refresh_token } = await tokens(s);
    await post(s.as.revocation_endpoint, { token: refresh_token }, basic("web"));
    return token(s, refreshing(refresh_token), basic("web"));
  },
  // Proofs.
  "proof of another type": (s) => proved(s, {}, { typ: "JWT" }),
  "proof of another method": (s) => proved(s, { htm: "GET" }),
  "proof of another URL": (s) => proved(s, { htu: "https://other.example/token" }),
  "proof that is old": (s) => proved(s, { iat: now() - 3600 }),
  "proof of the future": (s) => proved(s, { iat: now() + 3600 }),
  "proof without a time": (s) => proved(s, { iat: null }),
  "proof without jti": (s) => proved(s, { jti: null }),
  "proof without method": (s) => proved(s, { htm: null }),
  "proof with a private key": async (s) => proved(s, {}, { jwk: await jose.exportJWK(keys.privateKey) }),
  "proof with the key of another": async (s) => proved(s, {}, { jwk: await jose.exportJWK(otherKeys.publicKey) }),
  "proof without a key": (s) => proved(s, {}, { jwk: undefined }),
  "proof that is no token": (s) => token(s, grant, { ...basic("worker"), dpop: "x" }),
  "proof twice": async (s) => {
    const headers = { ...basic("worker"), ...(await proof(s)) };
    assert.equal((await token(s, grant, headers)).status, 200);
    return token(s, grant, headers);
  },
  "two proofs": async (s) => {
    const headers = new Headers(basic("worker"));
    for (let n = 0; n < 2; n++) headers.append("dpop", (await proof(s)).dpop);
    return token(s, grant, headers);
  },
  "no proof of a client that must": (s) => token(s, { ...grant, client_id: "bound", client_secret: given("bound").client_secret }),
  "refresh without the key": async (s) => {
    const { refresh_token } = await tokens(s, "app", await proof(s));
    return token(s, refreshing(refresh_token, { client_id: "app" }));
  },
  "refresh with another key": async (s) => {
    const { refresh_token } = await tokens(s, "app", await proof(s));
    return token(s, refreshing(refresh_token, { client_id: "app" }), await proof(s, {}, {}, otherKeys));
  },
  // The authorization endpoint.
  "authorize: no client": (s) => authorize(s, null),
  "authorize: unknown client": (s) => authorize(s, "nobody"),
  "authorize: client that may not": (s) => authorize(s, "worker"),
  "authorize: another redirect URI": (s) => authorize(s, "app", { redirect_uri: "https://other.example/" }),
  "authorize: redirect URI with more": (s) => authorize(s, "app", { redirect_uri: `${callback}/x` }),
  "authorize: no redirect URI": (s) => authorize(s, "app", { redirect_uri: null }),
  "authorize: client twice": (s) => authorize(s, ["app", "app"]),
  "authorize: state twice": (s) => authorize(s, "app", { state: ["s", "t"] }),
  "authorize: no response type": (s) => authorize(s, "app", { response_type: null }),
  "authorize: response type token": (s) => authorize(s, "app", { response_type: "token" }),
  "authorize: response type code id_token": (s) => authorize(s, "app", { response_type: "code id_token", nonce: "n" }),
  "authorize: no challenge": (s) => authorize(s, "app", { code_challenge: null, code_challenge_method: null }),
  "authorize: no method of the challenge": (s) => authorize(s, "app", { code_challenge_method: null }),
  "authorize: method without challenge": (s) => authorize(s, "app", { code_challenge: null }),
  "authorize: method plain": (s) => authorize(s, "app", { code_challenge: "x".repeat(43), code_challenge_method: "plain" }),
  "authorize: short challenge": (s) => authorize(s, "app", { code_challenge: "x" }),
  "authorize: unknown scope": (s) => authorize(s, "app", { scope: "openid unknown" }),
  "authorize: unknown resource": (s) => authorize(s, "app", { resource: "https://other.example/" }),
  "authorize: prompt none and login": (s) => authorize(s, "app", { prompt: "none login" }),
  "authorize: unknown prompt": (s) => authorize(s, "app", { prompt: "dance" }),
  "authorize: prompt none, nobody there": async (s) => {
    const answer = await authorize(s, "app", { prompt: "none" });
    const to = new URL(answer.headers.get("location"));
    return to.pathname.endsWith("/login") ? fetch(to, { redirect: "manual" }) : answer; // our pages say it
  },
  "authorize: max_age of words": (s) => authorize(s, "app", { max_age: "x" }),
  "authorize: max_age below zero": (s) => authorize(s, "app", { max_age: "-1" }),
  "authorize: hint that is no token": (s) => authorize(s, "app", { id_token_hint: "x.y.z" }),
  "authorize: response mode fragment": (s) => authorize(s, "app", { response_mode: "fragment" }),
  "authorize: unknown response mode": (s) => authorize(s, "app", { response_mode: "x" }),
  "authorize: request object": (s) => authorize(s, "app", { request: "e30.e30." }),
  "authorize: request by URL": (s) => authorize(s, "app", { request_uri: "https://app.example/request" }),
  "authorize: registration": (s) => authorize(s, "app", { registration: "{}" }),
  "authorize: malformed dpop_jkt": (s) => authorize(s, "app", { dpop_jkt: "x" }),
  "authorize: client that must push": (s) => authorize(s, "pushing"),
  "authorize: unknown parameter": (s) => authorize(s, "app", { unknown: "x" }),
  "authorize: by POST": (s) => post(s.as.authorization_endpoint, authorizing("app", { response_type: "token" })),
  // Pushed requests.
  "push: nobody": (s) => push(s, null),
  "push: wrong secret": (s) => push(s, "web", {}, basic("web", "x")),
  "push: another redirect URI": (s) => push(s, "app", { redirect_uri: "https://other.example/" }),
  "push: no redirect URI": (s) => push(s, "app", { redirect_uri: null }),
  "push: with request_uri": (s) => push(s, "app", { request_uri: "urn:ietf:params:oauth:request_uri:x" }),
  "push: no challenge": (s) => push(s, "app", { code_challenge: null, code_challenge_method: null }),
  "push: method plain": (s) => push(s, "app", { code_challenge: "x".repeat(43), code_challenge_method: "plain" }),
  "push: response type token": (s) => push(s, "app", { response_type: "token" }),
  "push: unknown resource": (s) => push(s, "app", { resource: "https://other.example/" }),
  "push: state twice": (s) => push(s, "app", { state: ["s", "t"] }),
  "push: dpop_jkt of another key": async (s) =>
    push(s, "app", { dpop_jkt: "x".repeat(42) + "A" }, await proof(s, { htu: s.as.pushed_authorization_request_endpoint })),
  "push: proof of another URL": async (s) => push(s, "app", {}, await proof(s)),
  "push: client that may not": (s) => push(s, null, {}, basic("worker")),
  "push: by GET": (s) => get(s.as.pushed_authorization_request_endpoint, authorizing("app")),
  "pushed: unknown": (s) => get(s.as.authorization_endpoint, { client_id: "app", request_uri: "urn:ietf:params:oauth:request_uri:x" }, html),
  "pushed: of another client": async (s) => {
    const { request_uri } = await (await push(s, "app")).json();
    return get(s.as.authorization_endpoint, { client_id: "other", request_uri }, html);
  },
  // Decoupled.
  "CIBA: nobody": (s) => ask(s, {}, {}),
  "CIBA: wrong secret": (s) => ask(s, {}, basic("sales", "x")),
  "CIBA: client that may not": (s) => ask(s, {}, basic("worker")),
  "CIBA: no hint": (s) => ask(s, { login_hint: null }),
  "CIBA: two hints": (s) => ask(s, { id_token_hint: "x.y.z" }),
  "CIBA: unknown person": (s) => ask(s, { login_hint: "nobody@example.com" }),
  "CIBA: hint that is no token": (s) => ask(s, { login_hint: null, id_token_hint: "x.y.z" }),
  "CIBA: no scope": (s) => ask(s, { scope: null }),
  "CIBA: scope without openid": (s) => ask(s, { scope: "profile" }),
  "CIBA: long binding message": (s) => ask(s, { binding_message: "x".repeat(129) }),
  "CIBA: expiry of words": (s) => ask(s, { requested_expiry: "x" }),
  "CIBA: expiry below zero": (s) => ask(s, { requested_expiry: "-1" }),
  "CIBA: unknown resource": (s) => ask(s, { resource: "https://other.example/" }),
  "CIBA: hint twice": (s) => ask(s, { login_hint: [user, user] }),
  "CIBA: by URL": (s) => ask(s, { request_uri: "https://app.example/request" }),
  "CIBA: nobody has decided": async (s) => {
    const { auth_req_id } = await (await ask(s, {})).json();
    return token(s, { grant_type: CIBA, auth_req_id }, basic("sales"));
  },
  "CIBA: no auth_req_id": (s) => token(s, { grant_type: CIBA }, basic("sales")),
  "CIBA: unknown auth_req_id": (s) => token(s, { grant_type: CIBA, auth_req_id: "x" }, basic("sales")),
  "CIBA: auth_req_id of another client": async (s) => {
    const { auth_req_id } = await (await ask(s, {})).json();
    return token(s, { grant_type: CIBA, auth_req_id, ...(await assertion(s)) });
  },
  "CIBA: grant of a client that may not": (s) => token(s, { grant_type: CIBA, auth_req_id: "x" }, basic("worker")),
  // Introspection, revocation, userinfo, the end.
  "introspection: nobody": (s) => post(s.as.introspection_endpoint, { token: "x" }),
  "introspection: wrong secret": (s) => post(s.as.introspection_endpoint, { token: "x" }, basic("api-server", "x")),
  "introspection: public client": (s) => post(s.as.introspection_endpoint, { token: "x", client_id: "app" }),
  "introspection: no token": (s) => post(s.as.introspection_endpoint, {}, basic("api-server")),
  "introspection: token twice": (s) => post(s.as.introspection_endpoint, { token: ["x", "y"] }, basic("api-server")),
  "introspection: unknown token": (s) => post(s.as.introspection_endpoint, { token: "x" }, basic("api-server")),
  "introspection: by GET": (s) => get(s.as.introspection_endpoint, { token: "x" }, basic("api-server")),
  "revocation: nobody": (s) => post(s.as.revocation_endpoint, { token: "x" }),
  "revocation: wrong secret": (s) => post(s.as.revocation_endpoint, { token: "x" }, basic("web", "x")),
  "revocation: no token": (s) => post(s.as.revocation_endpoint, {}, basic("web")),
  "revocation: unknown token": (s) => post(s.as.revocation_endpoint, { token: "x" }, basic("web")),
  "revocation: token of another client": async (s) => {
    const { refresh_token } = await tokens(s);
    await post(s.as.revocation_endpoint, { token: refresh_token, client_id: "app" });
    return token(s, refreshing(refresh_token), basic("web"));
  },
  "userinfo: no token": (s) => info(s),
  "userinfo: unknown token": (s) => info(s, { authorization: "Bearer x" }),
  "userinfo: another scheme": (s) => info(s, basic("web")),
  "userinfo: refresh token": async (s) => info(s, { authorization: `Bearer ${(await tokens(s)).refresh_token}` }),
  "userinfo: ID token": async (s) => info(s, { authorization: `Bearer ${(await tokens(s)).id_token}` }),
  "userinfo: token of a client alone": async (s) => {
    const { access_token } = await (await token(s, grant, basic("worker"))).json();
    return info(s, { authorization: `Bearer ${access_token}` });
  },
  "userinfo: token of another audience": async (s) => {
    const { access_token } = await (await token(s, { ...grant, resource: api, scope: "read" }, basic("worker"))).json();
    return info(s, { authorization: `Bearer ${access_token}` });
  },
  "userinfo: token in the query": async (s) => info(s, {}, { access_token: "x" }),
  "end: hint that is no token": (s) => get(s.as.end_session_endpoint, { id_token_hint: "x.y.z" }, html),
  "end: redirect URI that is not registered": async (s) => {
    const { id_token } = await tokens(s, "app", {});
    return get(s.as.end_session_endpoint, { id_token_hint: id_token, post_logout_redirect_uri: "https://other.example/" }, html);
  },
  "end: hint of another client": async (s) => {
    const { id_token } = await tokens(s, "app", {});
    return get(s.as.end_session_endpoint, { id_token_hint: id_token, client_id: "other" }, html);
  },
  "end: redirect URI alone": (s) => get(s.as.end_session_endpoint, { post_logout_redirect_uri: "http://127.0.0.1/bye" }, html),
};

/** What an answer says: its status, and its error; or that it goes on to a page of the server's own. */
async function said(answer) {
  const location = answer.headers.get("location");
  if (location) {
    const to = new URL(location, answer.url);
    const error = to.searchParams.get("error") ?? new URLSearchParams(to.hash.slice(1)).get("error");
    if (error) assert.ok(to.href.startsWith(callback), `an error goes to ${to}`);
    return `${answer.status} ${error ?? "goes on"}`;
  }
  const text = await answer.text();
  try {
    const body = JSON.parse(text);
    return `${answer.status} ${body.error ?? (body.active === false ? "inactive" : "done")}`;
  } catch {
    return `${answer.status} ${answer.status < 400 ? "done" : "page"}`;
  }
}

const only = process.argv[4];
const faults = [];
let equal = 0;
for (const [row, send] of Object.entries(ROWS).filter(([row]) => !only || row === only)) {
  const [ours, others] = await Promise.all(sides.map(async (side) => said(await send(side))));
  const [knownOurs, knownOthers, why] = DIFFERENCES[row] ?? [];
  if (ours === others) {
    equal++;
    if (why) faults.push(`${row}: both say ${ours} now; take it out of DIFFERENCES`);
  } else if (ours !== knownOurs || others !== knownOthers) {
    faults.push(`${row}: we say ${ours}, oidc-provider ${others}`);
  }
}
for (const row of Object.keys(DIFFERENCES)) if (!(row in ROWS)) faults.push(`${row}: no such row`);
server.close();
server.closeAllConnections();
assert.deepEqual(faults, []);
const differs = Object.keys(DIFFERENCES).length;
step(`oidc-provider says the same to ${equal} wrong requests; to ${differs} we answer otherwise, and say why`);
process.exit(0);
