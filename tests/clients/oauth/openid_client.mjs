// The certified client library openid-client, and jose, against our issuer: every flow that both have. Nothing here knows our
// code: it starts from the issuer's URL.
//
// node openid_client.mjs ISSUER WORK, as `run` calls it
import assert from "node:assert/strict";
import { Person, api, callback, client as given, issuer, key, load, step } from "./world.mjs";

const client = await load("openid-client");
const jose = await load("jose");
const discover = (id, auth) => client.discovery(new URL(issuer), id, {}, auth);
const basic = (id) => discover(id, client.ClientSecretBasic(given(id).client_secret));
const refused = (promise, error, status = 400) =>
  assert.rejects(promise, (e) => (e.error === error && e.status === status) || assert.fail(`${e.error} ${e.status}: ${e}`));

// ---- For itself, in every way to show who it is.
const worker = await basic("worker");
const metadata = worker.serverMetadata();
const jwks = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
const verify = (token, audience, typ) => jose.jwtVerify(token, jwks, { issuer, audience, typ, algorithms: ["ES256"] });
const own = await client.clientCredentialsGrant(worker, { scope: "read", resource: api });
const { payload: alone } = await verify(own.access_token, api, "at+jwt");
assert.deepEqual([alone.sub, alone.client_id, alone.scope], ["worker", "worker", "read"]);
const posted = await discover("worker", client.ClientSecretPost(given("worker").client_secret));
await client.clientCredentialsGrant(posted, { scope: "read" });
const secret = { key: await crypto.subtle.importKey("jwk", key(), { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]), kid: "k1" };
const keyed = await discover("keyed", client.PrivateKeyJwt(secret));
await client.clientCredentialsGrant(keyed, { scope: "read" });
step("client credentials by secret in header and body, and by a signature; verified by the published keys");

await refused(client.clientCredentialsGrant(worker, { scope: "write" }), "invalid_scope");
await refused(client.clientCredentialsGrant(worker, { resource: "https://other.example/" }), "invalid_target");
const wrong = await discover("worker", client.ClientSecretPost("wrong"));
await refused(client.clientCredentialsGrant(wrong), "invalid_client", 401);
const challenged = client.clientCredentialsGrant(await discover("worker", client.ClientSecretBasic("wrong")));
await assert.rejects(challenged, (e) => e.code === "OAUTH_WWW_AUTHENTICATE_CHALLENGE" && e.cause[0].scheme === "basic");
const other = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const forged = await discover("keyed", client.PrivateKeyJwt({ key: other.privateKey, kid: "k1" }));
await refused(client.clientCredentialsGrant(forged), "invalid_client", 401);
await refused(client.genericGrantRequest(worker, "urn:none", {}), "unsupported_grant_type");
await refused(client.genericGrantRequest(worker, "authorization_code", { code: "x" }), "unauthorized_client");
step("refusals have the standard's codes");

// ---- What a resource server is told.
const server = await basic("api-server");
const told = await client.tokenIntrospection(server, own.access_token);
assert.deepEqual([told.active, told.client_id, told.scope], [true, "worker", "read"]);
assert.deepEqual(await client.tokenIntrospection(server, "x"), { active: false });
await client.tokenRevocation(worker, own.access_token);
assert.deepEqual(await client.tokenIntrospection(server, own.access_token), { active: false });
step("introspection and revocation");

// ---- DPoP for a client itself.
const handle = client.getDPoPHandle(worker, await client.randomDPoPKeyPair("ES256"));
const proved = await client.clientCredentialsGrant(worker, { scope: "read", resource: api }, { DPoP: handle });
assert.equal(proved.token_type, "dpop");
const { payload: binding } = await verify(proved.access_token, api, "at+jwt");
assert.equal(binding.cnf.jkt, await handle.calculateThumbprint());
assert.equal((await client.tokenIntrospection(server, proved.access_token)).token_type, "DPoP");
const bound = await discover("bound", client.ClientSecretPost(given("bound").client_secret));
await refused(client.clientCredentialsGrant(bound, { scope: "read" }), "invalid_dpop_proof");
for (const alg of ["ES256", "ES384", "PS256", "RS256"]) {
  const DPoP = client.getDPoPHandle(bound, await client.randomDPoPKeyPair(alg));
  const done = await client.clientCredentialsGrant(bound, { scope: "read" }, { DPoP });
  assert.equal(done.token_type, "dpop", alg);
}
step("tokens bound to a key of every kind");

// ---- A person.
const sarah = new Person();
await sarah.join();
const app = await discover("app", client.None());
const web = await basic("web");

/** Asks for a code with a browser. Answers where the browser was sent, and how that is judged. */
async function ask(config, parameters, { pushed, DPoP, decision } = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  const challenge = await client.calculatePKCECodeChallenge(verifier);
  const asked = { redirect_uri: callback, code_challenge: challenge, code_challenge_method: "S256", state, nonce, ...parameters };
  const url = pushed
    ? await client.buildAuthorizationUrlWithPAR(config, asked, { DPoP })
    : client.buildAuthorizationUrl(config, asked);
  const at = await sarah.goOn(await sarah.browse(url), decision);
  assert.ok(at.url.href.startsWith(asked.redirect_uri), `no way back to the application: ${at.url} ${at.page}`);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce };
  return { url: at.url, checks };
}
async function code(config, parameters, how) {
  const { url, checks } = await ask(config, parameters, how);
  if (parameters.max_age) checks.maxAge = Number(parameters.max_age);
  return client.authorizationCodeGrant(config, url, checks, undefined, { DPoP: how?.DPoP });
}

const tokens = await code(app, { scope: "openid profile read offline_access", resource: api });
const { payload: access } = await verify(tokens.access_token, api, "at+jwt");
assert.equal(access.sub, tokens.claims().sub);
await verify(tokens.id_token, "app", "JWT");
await assert.rejects(verify(tokens.id_token, "app", "at+jwt"));
const info = await client.fetchUserInfo(app, tokens.access_token, access.sub);
assert.equal(info.name, "Sarah Chen");
const ofWeb = await code(web, { scope: "openid profile", redirect_uri: "https://app.example/cb" });
assert.equal(ofWeb.claims().sub, access.sub);
step("code with PKCE of a public and of a confidential client, ID token and userinfo");

const said = await ask(app, { scope: "openid write" }, { decision: "refuse" });
await assert.rejects(client.authorizationCodeGrant(app, said.url, said.checks), (e) => e.error === "access_denied");
const mixed = await ask(app, { scope: "openid profile" });
for (const iss of ["https://other.example", null]) {
  const url = new URL(mixed.url);
  if (iss) url.searchParams.set("iss", iss);
  else url.searchParams.delete("iss");
  await assert.rejects(client.authorizationCodeGrant(app, url, mixed.checks), (e) => e.code === "OAUTH_INVALID_RESPONSE");
}
await client.authorizationCodeGrant(app, mixed.url, mixed.checks);
step("a person who says no; an answer of another issuer, or of none it names (RFC 9207)");

const twice = await ask(app, { scope: "openid read offline_access" });
const first = await client.authorizationCodeGrant(app, twice.url, twice.checks);
await refused(client.authorizationCodeGrant(app, twice.url, twice.checks), "invalid_grant");
await refused(client.refreshTokenGrant(app, first.refresh_token), "invalid_grant");
const guessed = await ask(app, { scope: "openid" });
const guess = { ...guessed.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
await refused(client.authorizationCodeGrant(app, guessed.url, guess), "invalid_grant");
step("a code is used once, with its verifier; twice takes back what it gave");

const next = await client.refreshTokenGrant(app, tokens.refresh_token);
assert.notEqual(next.refresh_token, tokens.refresh_token);
const same = await client.refreshTokenGrant(app, tokens.refresh_token);
assert.equal(same.refresh_token, next.refresh_token, "twice at once: the same successor");
await refused(client.refreshTokenGrant(app, next.refresh_token, { scope: "write" }), "invalid_scope");
const narrow = await client.refreshTokenGrant(app, next.refresh_token, { scope: "openid" });
assert.equal(narrow.scope, "openid");
await refused(client.refreshTokenGrant(web, narrow.refresh_token), "invalid_grant");
await refused(client.refreshTokenGrant(app, tokens.refresh_token), "invalid_grant");
await refused(client.refreshTokenGrant(app, narrow.refresh_token), "invalid_grant");
step("refresh tokens rotate, and the reuse of an old one takes back all");

const ending = await code(app, { scope: "openid profile read offline_access", resource: api });
await client.tokenRevocation(app, ending.access_token);
assert.equal((await client.tokenIntrospection(server, ending.access_token)).active, false);
const going = await client.refreshTokenGrant(app, ending.refresh_token);
await client.tokenRevocation(app, going.refresh_token);
await refused(client.refreshTokenGrant(app, going.refresh_token), "invalid_grant");
assert.equal((await client.tokenIntrospection(server, going.access_token)).active, false);
step("revocation, which takes along what hangs on a grant");

// ---- Pushed requests, and a public client's tokens bound to its key.
const pushing = await discover("pushing", client.None());
const direct = await ask(pushing, { scope: "openid" });
await assert.rejects(client.authorizationCodeGrant(pushing, direct.url, direct.checks), (e) => e.error === "invalid_request");
const keyOf = async (config) => client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const DPoP = await keyOf(pushing);
const pushed = await code(pushing, { scope: "openid read offline_access" }, { pushed: true, DPoP });
assert.equal(pushed.token_type, "dpop");
await client.fetchUserInfo(pushing, pushed.access_token, pushed.claims().sub, { DPoP });
await assert.rejects(client.fetchUserInfo(pushing, pushed.access_token, pushed.claims().sub, { DPoP: await keyOf(pushing) }));
await refused(client.refreshTokenGrant(pushing, pushed.refresh_token), "invalid_grant");
await refused(client.refreshTokenGrant(pushing, pushed.refresh_token, {}, { DPoP: await keyOf(pushing) }), "invalid_grant");
assert.equal((await client.refreshTokenGrant(pushing, pushed.refresh_token, {}, { DPoP })).token_type, "dpop");
const stolen = await ask(pushing, { scope: "openid" }, { pushed: true, DPoP });
const thief = { DPoP: await keyOf(pushing) };
await refused(client.authorizationCodeGrant(pushing, stolen.url, stolen.checks, undefined, thief), "invalid_grant");
await code(web, { scope: "openid" }, { pushed: true });
step("pushed requests; code, tokens and refresh bound to a key");

// ---- More than a password.
const silent = await ask(app, { scope: "openid", prompt: "none", acr_values: "aal2" });
await assert.rejects(client.authorizationCodeGrant(app, silent.url, silent.checks), (e) => e.error === "interaction_required");
await sarah.addFactor();
sarah.jar.clear();
const strong = await code(app, { scope: "openid", acr_values: "aal2" });
assert.deepEqual([strong.claims().acr, strong.claims().amr], ["aal2", ["pwd", "otp", "mfa"]]);
const before = strong.claims().auth_time;
await new Promise((later) => setTimeout(later, 2100));
const aged = await code(app, { scope: "openid", max_age: "1" });
assert.ok(aged.claims().auth_time > before);
const none = await ask(app, { scope: "openid", prompt: "none", max_age: "3600" });
await client.authorizationCodeGrant(app, none.url, { ...none.checks, maxAge: 3600 });
const cookies = sarah.jar;
sarah.jar = new Map();
const nobody = await ask(app, { scope: "openid", prompt: "none" });
await assert.rejects(client.authorizationCodeGrant(app, nobody.url, nobody.checks), (e) => e.error === "login_required");
sarah.jar = cookies;
step("step-up: acr_values, max_age, prompt=none");

// ---- An agent goes on with the person's token.
const sales = await basic("sales");
const lent = await code(app, { scope: "openid read write", resource: api });
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS = "urn:ietf:params:oauth:token-type:access_token";
const subject = { subject_token: lent.access_token, subject_token_type: ACCESS };
const passed = await client.genericGrantRequest(sales, EXCHANGE, { ...subject, resource: api, scope: "read" });
assert.equal(passed.issued_token_type, ACCESS);
const { payload: acting } = await verify(passed.access_token, api, "at+jwt");
assert.deepEqual([acting.sub, acting.act.sub, acting.scope], [access.sub, "sales", "read"]);
await refused(client.genericGrantRequest(sales, EXCHANGE, { ...subject, resource: api, scope: "write" }), "invalid_scope");
await refused(client.genericGrantRequest(sales, EXCHANGE, { ...subject, resource: "https://other.example/" }), "invalid_target");
const machine = { subject_token: own.access_token, subject_token_type: ACCESS };
await refused(client.genericGrantRequest(sales, EXCHANGE, machine), "invalid_request");
step("token exchange, which says who acts and never widens");

// ---- Decoupled: three at once, because a client waits five seconds between two questions.
const login_hint = "sarah@example.com";
const begin = async (binding_message, config = sales) =>
  client.initiateBackchannelAuthentication(config, { scope: "openid read", resource: api, login_hint, binding_message });
const [yes, no, signed] = [await begin("send 4711"), await begin("send 4712"), await begin("send 4713", keyed)];
const poll = (config, begun) => client.pollBackchannelAuthenticationGrant(config, begun);
await refused(client.genericGrantRequest(sales, "urn:openid:params:grant-type:ciba", { auth_req_id: yes.auth_req_id }), "authorization_pending");
await sarah.decide("send 4711", "approve");
await sarah.decide("send 4712", "deny");
await sarah.decide("send 4713", "approve");
const [allowed] = await Promise.all([poll(sales, yes), refused(poll(sales, no), "access_denied"), poll(keyed, signed)]);
assert.equal(allowed.claims().sub, access.sub);
const { payload: approved } = await verify(allowed.access_token, api, "at+jwt");
assert.deepEqual([approved.sub, approved.act.sub, approved.scope], [access.sub, "sales", "openid read"]);
const again = client.genericGrantRequest(sales, "urn:openid:params:grant-type:ciba", { auth_req_id: yes.auth_req_id });
await refused(again, "invalid_grant");
await refused(client.initiateBackchannelAuthentication(sales, { scope: "openid", login_hint: "nobody@example.com" }), "unknown_user_id");
step("CIBA: approved, denied, by a client with a key, and once");

// ---- A client that registers itself, with a way to show who it is and without.
const ways = { client_secret_basic: client.ClientSecretBasic(), client_secret_post: client.ClientSecretPost(), none: client.None() };
for (const [token_endpoint_auth_method, auth] of Object.entries(ways)) {
  const grant_types = ["authorization_code", "refresh_token"];
  const wanted = { client_name: "A tool", redirect_uris: [callback], grant_types, scope: "openid read write", token_endpoint_auth_method };
  const tool = await client.dynamicClientRegistration(new URL(issuer), wanted, auth);
  assert.equal(tool.clientMetadata().scope, "openid read");
  const asked = await ask(tool, { scope: "openid read", resource: api });
  const had = await client.authorizationCodeGrant(tool, asked.url, asked.checks);
  assert.equal((await verify(had.access_token, api, "at+jwt")).payload.client_id, tool.clientMetadata().client_id);
}
for (const redirect_uris of [[], [`${callback}#x`]]) // oidcc-redirect-uri-regfrag
  await refused(client.dynamicClientRegistration(new URL(issuer), { redirect_uris }), "invalid_redirect_uri");
const worker_like = { redirect_uris: [callback], grant_types: ["client_credentials"] };
await refused(client.dynamicClientRegistration(new URL(issuer), worker_like), "invalid_client_metadata");
step("a client that registers itself, within what the tenant lets it");

// ---- The end.
const url = client.buildEndSessionUrl(app, { id_token_hint: lent.id_token, post_logout_redirect_uri: "http://127.0.0.1/bye", state: "s" });
assert.equal((await sarah.browse(url)).url.href, "http://127.0.0.1/bye?state=s");
const gone = await ask(app, { scope: "openid", prompt: "none" });
await assert.rejects(client.authorizationCodeGrant(app, gone.url, gone.checks), (e) => e.error === "login_required");
assert.equal((await client.tokenIntrospection(server, lent.access_token)).active, false);
step("signing out, which ends what hangs on the session");
