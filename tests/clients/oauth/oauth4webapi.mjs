// oauth4webapi, below openid-client, for what that does not reach: each answer is processed by itself, access tokens are judged
// as a resource server does (RFC 9068), answers are signed, and wrong messages are made by hand.
//
// node oauth4webapi.mjs ISSUER WORK, as `run` calls it
import assert from "node:assert/strict";
import { Person, api, callback, client as given, issuer, key, load, step } from "./world.mjs";

const oauth = await load("oauth4webapi");
const jose = await load("jose");
const url = new URL(issuer);
// Both places of metadata that the standards name.
let as;
for (const algorithm of ["oidc", "oauth2"]) {
  const answer = await oauth.discoveryRequest(url, { algorithm });
  as = await oauth.processDiscoveryResponse(url, answer);
}
const basic = (id) => [{ client_id: id }, oauth.ClientSecretBasic(given(id).client_secret)];
const refused = (promise, error) =>
  assert.rejects(promise, (e) => e.error === error || assert.fail(`${e.error ?? e} instead of ${error}`));
step("metadata in both places");

/** Judges an access token as a resource server does, with the request that shows it. */
async function judged(token, { scheme = "Bearer", dpop, audience = api } = {}) {
  const headers = { authorization: `${scheme} ${token}` };
  if (dpop) headers.dpop = dpop;
  return oauth.validateJwtAccessToken(as, new Request("https://api.example/", { headers }), audience);
}

const [worker, workerAuth] = basic("worker");
const credentials = async (client, auth, parameters, options) =>
  oauth.processClientCredentialsResponse(
    as,
    client,
    await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, options),
  );
const own = await credentials(worker, workerAuth, { scope: "read", resource: api });
const claims = await judged(own.access_token);
assert.deepEqual([claims.sub, claims.client_id, claims.scope], ["worker", "worker", "read"]);
await assert.rejects(judged(own.access_token, { audience: "https://other.example/" }));
step("access tokens as RFC 9068 has them");

const DPoP = oauth.DPoP(worker, await oauth.generateKeyPair("ES256"));
const bound = await credentials(worker, workerAuth, { scope: "read", resource: api }, { DPoP });
assert.equal(bound.token_type, "dpop");
await assert.rejects(judged(bound.access_token), /mismatch|scheme|DPoP/i);
step("a bound token is of no use as a bearer token");

const [server, serverAuth] = basic("api-server");
const introspect = async (client) =>
  oauth.introspectionRequest(as, client, serverAuth, bound.access_token, { requestJwtResponse: true });
const signing = { ...server, introspection_signed_response_alg: "ES256" };
const answer = await introspect(signing);
const told = await oauth.processIntrospectionResponse(as, signing, answer);
await oauth.validateApplicationLevelSignature(as, answer);
assert.deepEqual([told.active, told.client_id, told.token_type], [true, "worker", "DPoP"]);
step("introspection that is signed (RFC 9701)");

// ---- A code, with every parameter by hand.
const sarah = new Person();
const app = { client_id: "app" };
async function ask(parameters) {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const to = new URL(as.authorization_endpoint);
  const all = {
    client_id: "app",
    response_type: "code",
    redirect_uri: callback,
    scope: "openid profile read offline_access",
    resource: api,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...parameters,
  };
  for (const [name, value] of Object.entries(all)) if (value != null) to.searchParams.set(name, value);
  const at = await sarah.goOn(await sarah.browse(to));
  assert.ok(at.url.href.startsWith(callback), `${at.url} ${at.page}`);
  return { at: at.url, verifier, state, nonce };
}
const redeem = async ({ at, verifier, state, nonce }) => {
  const parameters = oauth.validateAuthResponse(as, app, at, state);
  const token = await oauth.authorizationCodeGrantRequest(as, app, oauth.None(), parameters, callback, verifier);
  const result = await oauth.processAuthorizationCodeResponse(as, app, token, { expectedNonce: nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(as, token);
  return result;
};
const tokens = await redeem(await ask({}));
const person = oauth.getValidatedIdTokenClaims(tokens).sub;
assert.equal((await judged(tokens.access_token)).sub, person);
const info = await oauth.userInfoRequest(as, app, tokens.access_token);
assert.equal((await oauth.processUserInfoResponse(as, app, person, info)).name, "Sarah Chen");
step("a code, an ID token with its hash, and userinfo");

for (const [parameters, error] of [
  [{ response_type: "token" }, "unsupported_response_type"],
  [{ response_type: null }, "invalid_request"],
  [{ code_challenge: null, code_challenge_method: null }, "invalid_request"],
  [{ code_challenge_method: "plain" }, "invalid_request"],
  [{ scope: "openid unknown" }, "invalid_scope"],
  [{ resource: "https://other.example/" }, "invalid_target"],
  [{ prompt: "none login" }, "invalid_request"],
  [{ request: "e30.e30." }, "request_not_supported"],
]) {
  const { at, state } = await ask(parameters);
  assert.throws(() => oauth.validateAuthResponse(as, app, at, state), (e) => e.error === error || assert.fail(`${e.error} instead of ${error}`));
}
step("wrong requests come back with the standard's codes, the state and the issuer");

const refresh = async (token, parameters) =>
  oauth.processRefreshTokenResponse(
    as,
    app,
    await oauth.refreshTokenGrantRequest(as, app, oauth.None(), token, { additionalParameters: parameters }),
  );
const next = await refresh(tokens.refresh_token, {});
await judged(next.access_token);
await refused(refresh(next.refresh_token, { resource: "https://other.example/" }), "invalid_target");
await oauth.processRevocationResponse(await oauth.revocationRequest(as, app, oauth.None(), next.refresh_token));
await refused(refresh(next.refresh_token, {}), "invalid_grant");
step("refresh and revocation");

// ---- Decoupled, with a request that is signed (CIBA 7.1.1).
const keyed = { client_id: "keyed" };
const signer = await crypto.subtle.importKey("jwk", key(), { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const keyedAuth = oauth.PrivateKeyJwt({ key: signer, kid: "k1" });
const object = (change) =>
  new jose.SignJWT({ scope: "openid read", resource: api, login_hint: "sarah@example.com", binding_message: "send 4714", ...change })
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .setIssuer("keyed")
    .setAudience(issuer)
    .setIssuedAt()
    .setNotBefore("0s")
    .setExpirationTime("5m")
    .setJti(crypto.randomUUID())
    .sign(signer);
const begin = async (request) =>
  oauth.processBackchannelAuthenticationResponse(
    as,
    keyed,
    await oauth.backchannelAuthenticationRequest(as, keyed, keyedAuth, { request }),
  );
const signed = await object({});
const begun = await begin(signed);
await refused(begin(signed), "invalid_request");
await refused(begin(await object({ id_token_hint: tokens.id_token })), "invalid_request");
const poll = async () =>
  oauth.processBackchannelAuthenticationGrantResponse(
    as,
    keyed,
    await oauth.backchannelAuthenticationGrantRequest(as, keyed, keyedAuth, begun.auth_req_id),
  );
await refused(poll(), "authorization_pending");
await refused(poll(), "slow_down");
await sarah.decide("send 4714", "approve");
const allowed = await poll();
assert.equal((await judged(allowed.access_token)).sub, person);
assert.equal(oauth.getValidatedIdTokenClaims(allowed).sub, person);
await refused(poll(), "invalid_grant");
step("CIBA with a signed request, used once");
