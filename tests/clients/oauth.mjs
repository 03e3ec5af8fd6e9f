// The certified client library openid-client, and jose, against our issuer: client credentials, code with PKCE, refresh,
// pushed requests, introspection, revocation, userinfo, DPoP. Nothing here knows our code: it starts from the issuer's URL.
//
// node oauth.mjs ISSUER RESOURCE < what `bailiwick client create --json` and `bailiwick user invite --json` said:
//   {"worker": {client_id, client_secret}, "app": {..}, "server": {..}, "link": an invitation}
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

// The modules are installed beside the target directory, from where this is started.
const require = createRequire(join(process.cwd(), "x.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const client = await load("openid-client");
const jose = await load("jose");

const [issuer, resource] = process.argv.slice(2);
const given = JSON.parse(readFileSync(0, "utf8"));
const callback = "http://127.0.0.1:1/cb"; // nobody listens: the browser below reads where it is sent
const options = { execute: [client.allowInsecureRequests] };
const discover = (who, auth) => client.discovery(new URL(issuer), who.id, {}, auth, options);
let done = 0;
const step = (text) => console.log(`ok ${++done} ${text}`);

// ---- For itself, with a secret in the header and in the body.
const worker = await discover(given.worker, client.ClientSecretBasic(given.worker.client_secret));
const own = await client.clientCredentialsGrant(worker, { scope: "read", resource });
const jwks = jose.createRemoteJWKSet(new URL(worker.serverMetadata().jwks_uri));
const verify = (token, audience, typ) => jose.jwtVerify(token, jwks, { issuer, audience, typ, algorithms: ["ES256"] });
const { payload: alone } = await verify(own.access_token, resource, "at+jwt");
assert.deepEqual([alone.sub, alone.client_id, alone.scope], [given.worker.id, given.worker.id, "read"]);
const posted = await discover(given.worker, client.ClientSecretPost(given.worker.client_secret));
await client.clientCredentialsGrant(posted, { scope: "read" });
step("client credentials, verified by the published keys");

const refused = (promise, error) =>
  assert.rejects(promise, (e) => e.error === error || assert.fail(`${e.error ?? e} instead of ${error}`));
await refused(client.clientCredentialsGrant(worker, { scope: "write" }), "invalid_scope");
await refused(client.clientCredentialsGrant(worker, { resource: "https://other.example/" }), "invalid_target");
const wrong = await discover(given.worker, client.ClientSecretBasic("wrong"));
await assert.rejects(client.clientCredentialsGrant(wrong), (e) => e.status === 401 || e.error === "invalid_client");
await refused(client.genericGrantRequest(worker, "urn:none", {}), "unsupported_grant_type");
step("refusals have the standard's codes");

// ---- What a resource server is told.
const server = await discover(given.server, client.ClientSecretBasic(given.server.client_secret));
const told = await client.tokenIntrospection(server, own.access_token);
assert.deepEqual([told.active, told.client_id, told.scope], [true, given.worker.id, "read"]);
assert.deepEqual(await client.tokenIntrospection(server, "x"), { active: false });
step("introspection");

// ---- DPoP.
const handle = client.getDPoPHandle(worker, await client.randomDPoPKeyPair("ES256"));
const bound = await client.clientCredentialsGrant(worker, { scope: "read", resource }, { DPoP: handle });
assert.equal(bound.token_type, "dpop");
const { payload: binding } = await verify(bound.access_token, resource, "at+jwt");
assert.equal(binding.cnf.jkt, await handle.calculateThumbprint());
assert.equal((await client.tokenIntrospection(server, bound.access_token)).token_type, "DPoP");
step("tokens bound to a key");

// ---- A browser, as far as forms and cookies go.
const jar = new Map();
async function browse(url, form) {
  const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
  const answer = await fetch(url, { method: form ? "POST" : "GET", body: form, headers, redirect: "manual" });
  for (const line of answer.headers.getSetCookie()) {
    const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
    if (/max-age=0/i.test(line)) jar.delete(name);
    else jar.set(name, value);
  }
  const to = answer.headers.get("location");
  if (!to) return { url, page: await answer.text(), status: answer.status };
  const next = new URL(to, url);
  return next.href.startsWith(callback) ? { url: next } : browse(next);
}
const plain = (text) => text.replaceAll("&quot;", '"').replaceAll("&#34;", '"').replaceAll("&#x2F;", "/").replaceAll("&amp;", "&");
function submit(at, wanted, values) {
  const forms = at.page.match(/<form[\s\S]*?<\/form>/g) ?? [];
  const form = forms.find((text) => wanted.test(text));
  assert.ok(form, `no form ${wanted} on ${at.url}:\n${at.page}`);
  const body = new URLSearchParams();
  for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
    const of = (name) => plain(tag.match(new RegExp(`${name}="([^"]*)"`))?.[1] ?? "");
    if (of("name")) body.set(of("name"), of("value"));
  }
  for (const [name, value] of Object.entries(values)) body.set(name, value);
  return browse(new URL(plain(form.match(/action="([^"]*)"/)[1]), at.url), body);
}

const app = await discover(given.app, client.None());
const metadata = app.serverMetadata();
const pages = await fetch(`${issuer.replace(/\/$/, "")}/login`, { redirect: "manual" });
if (pages.status === 404) {
  console.log("SKIPPED: no module serves /login, so that no person can sign in");
  process.exit(0);
}

// ---- A person sets a password, once.
const name = "sarah@example.com";
const password = "a password of many words";
let at = await browse(given.link);
at = await submit(at, /name="code"/, {}); // looking at an invitation changes nothing: a button follows
for (let n = 0; n < 4 && !/type="password"/.test(at.page); n++) at = await submit(at, /assword/, {});
at = await submit(at, /type="password"/, { password, again: password });
jar.clear();

async function code(parameters, push) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const asked = {
    redirect_uri: callback,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...parameters,
  };
  const url = push
    ? await client.buildAuthorizationUrlWithPAR(app, asked, push.DPoP ? { DPoP: push.DPoP } : undefined)
    : client.buildAuthorizationUrl(app, asked);
  let at = await browse(url);
  for (let n = 0; n < 4 && at.page; n++) {
    if (/name="password"/.test(at.page)) at = await submit(at, /name="password"/, { name, password });
    else at = await submit(at, /value="allow"/, { decision: "allow" });
  }
  assert.ok(!at.page, `no way back to the application: ${at.page}`);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce };
  return client.authorizationCodeGrant(app, at.url, checks, undefined, push);
}

const tokens = await code({ scope: "openid profile read offline_access", resource });
const { payload: access } = await verify(tokens.access_token, resource, "at+jwt");
assert.equal(access.sub, tokens.claims().sub);
await verify(tokens.id_token, given.app.id, "JWT");
const info = await client.fetchUserInfo(app, tokens.access_token, access.sub);
assert.equal(info.name, "Sarah Chen");
step("code with PKCE, ID token and userinfo");

const next = await client.refreshTokenGrant(app, tokens.refresh_token);
assert.notEqual(next.refresh_token, tokens.refresh_token);
const same = await client.refreshTokenGrant(app, tokens.refresh_token);
assert.equal(same.refresh_token, next.refresh_token, "twice at once: the same successor");
await refused(client.refreshTokenGrant(app, next.refresh_token, { scope: "write" }), "invalid_scope");
step("refresh");

await client.tokenRevocation(app, next.access_token);
assert.equal((await client.tokenIntrospection(server, next.access_token)).active, false);
await client.tokenRevocation(app, next.refresh_token);
await refused(client.refreshTokenGrant(app, next.refresh_token), "invalid_grant");
assert.equal((await client.tokenIntrospection(server, tokens.access_token)).active, false);
step("revocation, which takes along what hangs on a grant");

assert.ok(metadata.pushed_authorization_request_endpoint);
const proved = { DPoP: client.getDPoPHandle(app, await client.randomDPoPKeyPair("ES256")) };
const pushed = await code({ scope: "openid read offline_access" }, proved);
assert.equal(pushed.token_type, "dpop");
await client.fetchUserInfo(app, pushed.access_token, pushed.claims().sub, proved);
await refused(client.refreshTokenGrant(app, pushed.refresh_token), "invalid_grant");
await client.refreshTokenGrant(app, pushed.refresh_token, undefined, proved);
step("a pushed request, and a public client's tokens bound to its key");
