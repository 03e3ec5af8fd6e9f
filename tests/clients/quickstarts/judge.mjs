// Sarah uses the quickstarts: node judge.mjs ISSUER WORK APP FASTAPI AXUM
import assert from "node:assert/strict";
import { Person, client, issuer, step, words } from "../oauth/world.mjs";

const [app, fastapi, axum] = process.argv.slice(4);
const sarah = new Person();
await sarah.join();

/** Goes to a page of the app and wherever that sends, signing in when asked, until there is a page of the app, or what is waited for. */
async function visit(url, waited = () => false) {
  let at = await sarah.browse(url);
  for (let n = 0; n < 8 && !(at.page && at.url.origin === app) && !waited(at); n++) {
    const next = at.page ? await sarah.goOn(at) : await sarah.browse(at.url.href);
    assert.ok(next.page !== at.page || !at.page, `nothing to answer at ${at.url}: ${words(at.page)}`);
    at = next;
  }
  return at;
}

const home = await visit(`${app}/`);
assert.equal(home.url.origin, app, home.page);
const { name, deals } = JSON.parse(home.page);
assert.equal(name, "Sarah Chen");
assert.deepEqual(deals.sort(), ["deal:acme", "deal:globex"]);
step("Express: Sarah signs in, and sees by FastAPI the deals that are hers");

// A token lives for two seconds: the app goes on by new ones, for longer than two of them live.
const end = Date.now() + 5_000;
let visits = 0;
for (; Date.now() < end; visits++) {
  const again = await sarah.browse(`${app}/`);
  assert.deepEqual([again.status, JSON.parse(again.page).deals.length], [200, 2], again.page);
}
step(`Express: she stays signed in over ${visits} visits and two tokens' lives`);

const post = (form) => {
  const authorization = `Basic ${Buffer.from(`app:${client("app").client_secret}`).toString("base64")}`;
  return fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body: new URLSearchParams(form) });
};
/** A token of Sarah's, by hand. */
async function token(scope) {
  const verifier = "a-verifier-of-forty-three-characters-or-more-";
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const redirect_uri = `${app}/callback`;
  const query = new URLSearchParams({
    client_id: "app", response_type: "code", redirect_uri, scope, resource: process.env.API,
    code_challenge: Buffer.from(digest).toString("base64url"), code_challenge_method: "S256",
  });
  const at = await sarah.goOn(await sarah.browse(`${issuer}/authorize?${query}`));
  const code = at.url.searchParams.get("code");
  assert.ok(code, at.url.href);
  const answer = await post({ grant_type: "authorization_code", code, redirect_uri, code_verifier: verifier });
  return (await answer.json()).access_token;
}
const status = async (url, bearer) => (await fetch(url, bearer ? { headers: { authorization: `Bearer ${bearer}` } } : {})).status;
assert.equal(await status(`${axum}/deals/acme`, await token("deals:read")), 200);
assert.equal(await status(`${axum}/deals/initech`, await token("deals:read")), 403);
assert.ok([401, 403].includes(await status(`${axum}/deals/acme`, await token("openid"))), "a token without the scope");
const good = await token("deals:read");
const forged = `${good.slice(0, -4)}${good.at(-4) === "A" ? "B" : "A"}${good.slice(-3)}`;
for (const wrong of [undefined, forged]) {
  const told = await status(`${axum}/deals/acme`, wrong);
  assert.ok(told >= 400 && told < 500, `${told} for ${wrong}`);
}
step("axum: one deal is hers, another's is not; without a token there is nothing");
assert.equal(await status(`${fastapi}/deals`, await token("deals:read")), 200);
assert.ok([401, 403].includes(await status(`${fastapi}/deals`)), "nobody");
for (const wrong of ["x.y.z", forged, await token("openid")]) assert.equal(await status(`${fastapi}/deals`, wrong), 401);
step("FastAPI: the same");

// An exact redirect, and nothing else.
const query = new URLSearchParams({ client_id: "app", response_type: "code", redirect_uri: `${app}/callback/`, scope: "openid" });
const refused = await sarah.browse(`${issuer}/authorize?${query}`);
assert.deepEqual([refused.status, refused.url.origin], [400, new URL(issuer).origin], "no redirect to a URI that is not registered");
step("a callback that differs by a slash is refused on the issuer's own page");

// Signing out ends the app's session and the issuer's: the next visit is asked for a password.
const left = await sarah.browse(`${app}/logout`);
assert.equal(left.url.origin, app, `${left.url} ${words(left.page)}`);
const asked = await visit(`${app}/`, (at) => /name="password"/.test(at.page));
assert.equal(asked.url.origin, new URL(issuer).origin, words(asked.page));
step("Express: after signing out, the next visit must sign in");
