// Global Token Revocation with jose at the other end: an issuer whose JWT we take, and a place that verifies what we send.
//
// REVOKED_PORT=PORT node revocation.mjs ISSUER WORK, as `run` calls it
import assert from "node:assert/strict";
import { createServer } from "node:https";
import { shown } from "../served.mjs";
import { Person, api, callback, issuer, key, load, step, userId } from "./world.mjs";

const jose = await load("jose");
const oauth = await load("oauth4webapi");
const as = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer)));
const idp = "https://idp.example";
const port = process.env.REVOKED_PORT;
const endpoint = `https://127.0.0.1:${port}/revoke`;

// The place: what it is sent.
let came;
const arrived = new Promise((resolve) => (came = resolve));
const place = createServer(shown(), async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  response.writeHead(204).end();
  came({ method: request.method, url: request.url, headers: request.headers, body });
});
await new Promise((resolve) => place.listen(port, "127.0.0.1", resolve));

const app = { client_id: "app", token_endpoint_auth_method: "none" };
async function signIn() {
  const verifier = oauth.generateRandomCodeVerifier();
  const to = new URL(as.authorization_endpoint);
  to.search = new URLSearchParams({
    client_id: "app",
    response_type: "code",
    redirect_uri: callback,
    scope: "openid read offline_access",
    resource: api,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    prompt: "login consent",
  });
  const person = new Person();
  const back = (await person.goOn(await person.browse(to))).url;
  const parameters = oauth.validateAuthResponse(as, app, back, oauth.expectNoState);
  const answer = await oauth.authorizationCodeGrantRequest(as, app, oauth.None(), parameters, callback, verifier);
  return oauth.processAuthorizationCodeResponse(as, app, answer);
}

const signing = await jose.importJWK(key(), "ES256");
const token = (claims = {}, typ = "global-token-revocation+jwt") =>
  new jose.SignJWT({ jti: crypto.randomUUID(), iss: idp, aud: as.global_token_revocation_endpoint, ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k1", typ })
    .setIssuedAt()
    .setNotBefore("0s")
    .setExpirationTime("5m")
    .sign(signing);
const ask = async (shownToken, subId) =>
  (
    await fetch(as.global_token_revocation_endpoint, {
      method: "POST",
      headers: { authorization: `Bearer ${shownToken}`, "content-type": "application/json" },
      body: JSON.stringify({ sub_id: subId }),
    })
  ).status;
const sarah = { format: "iss_sub", iss: idp, sub: userId() };

assert.deepEqual(as.global_token_revocation_endpoint_auth_methods_supported, ["global-token-revocation+jwt", "Bearer", "DPoP"]);
const given = await signIn();
const refresh = async () => {
  const answer = await oauth.refreshTokenGrantRequest(as, app, oauth.None(), given.refresh_token);
  return oauth.processRefreshTokenResponse(as, app, answer);
};
assert.equal(await ask(await token({}, "JWT"), sarah), 401);
assert.equal(await ask(await token({ aud: issuer }), sarah), 401);
assert.equal(await ask(await token({ iss: issuer }), sarah), 401);
assert.equal(await ask(await token(), { ...sarah, iss: "https://other.example" }), 403);
assert.equal(await ask(await token(), { ...sarah, sub: "nobody" }), 404);
assert.equal(await ask(await token(), { format: "email", email: "sarah@example.com" }), 422);
assert.equal(await ask(await token(), { format: "uri", uri: "https://example.com/sarah" }), 400);
step("what an issuer may not say changes nothing");

const once = await token();
assert.equal(await ask(once, sarah), 204);
await assert.rejects(refresh(), (e) => e.error === "invalid_grant");
assert.equal((await oauth.userInfoRequest(as, app, given.access_token)).status, 401);
assert.equal(await ask(once, sarah), 401);
step("a JWT by jose ends all that a person has, once");

const { method, url, headers, body } = await arrived;
assert.deepEqual([method, url, headers["content-type"]], ["POST", "/revoke", "application/json"]);
assert.deepEqual(JSON.parse(body), { sub_id: { format: "iss_sub", iss: issuer, sub: userId() } });
const keys = jose.createLocalJWKSet(await (await fetch(as.jwks_uri)).json());
const { payload, protectedHeader } = await jose.jwtVerify(headers.authorization.replace(/^Bearer /, ""), keys, {
  typ: "global-token-revocation+jwt",
  issuer,
  audience: endpoint,
  subject: "acme-there",
  algorithms: ["RS256"],
  maxTokenAge: "5m",
  requiredClaims: ["jti", "nbf", "exp"],
});
assert.ok(payload.exp - payload.iat <= 300 && protectedHeader.kid);
step("what we send verifies, for that place alone");
place.close();
