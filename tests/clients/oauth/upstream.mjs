// oidc-provider as another provider of our issuer: people sign in there, and so here, on the pages that it
// brings along.
//
// node upstream.mjs ISSUER WORK, as `run` calls it; OTHER_PORT says where oidc-provider is
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { shown } from "../served.mjs";
import { Person, callback, issuer, load, step, words, work } from "./world.mjs";

process.removeAllListeners("warning");
console.info = console.warn = () => {}; // what it says of its defaults
const { default: Provider } = await load("oidc-provider");
const jose = await load("jose");

const other = `https://127.0.0.1:${process.env.OTHER_PORT}`;
const registered = (client_id, more) => ({
  client_id,
  client_secret: "our-secret-at-the-other-provider-is-long",
  redirect_uris: [`${issuer}/login/upstream/callback`],
  ...more,
});
const provider = new Provider(other, {
  clients: [
    registered("work"),
    registered("symmetric", { id_token_signed_response_alg: "HS256" }),
    registered("wrong", { client_secret: "another" }),
  ],
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "HS256"] },
  cookies: { keys: ["x"] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, email: "ulla@example.com", email_verified: true }) }),
});
let asked; // the last request for somebody to sign in
provider.use(async (ctx, next) => {
  if (ctx.path === "/auth") asked = ctx.query;
  await next();
});
const server = createServer(shown(), provider.callback()).listen(process.env.OTHER_PORT, "127.0.0.1");
await new Promise((ready) => server.on("listening", ready));

/** Somebody at the other provider: from where we send a browser to where it is sent back, without going there. */
async function elsewhere(at, subject, there = new Person()) {
  there.home = other;
  assert.equal(`${at.url.origin}${at.url.pathname}`, `${other}/auth`, words(at.page));
  let on = await there.browse(at.url);
  let shown = false;
  for (let n = 0; n < 4 && on.page; n++) {
    if (!subject) on = await there.browse(new URL(on.page.match(/href="([^"]*\/abort)"/)[1], on.url));
    else if (!/name="login"/.test(on.page)) on = await there.submit(on, /name="prompt"/, {});
    else on = await there.submit(on, (shown = /name="login"/), { login: subject, password: "any" });
  }
  assert.ok(on.url.href.startsWith(`${issuer}/login/upstream/callback?`), `${on.url} ${words(on.page)}`);
  return { back: on.url, shown: Boolean(shown), there };
}
const via = (id) => new RegExp(`action="[^"]*/upstream"[\\s\\S]*value="${id}"`);
/** A person at our page of sign-in who takes the other provider; and what they see then. */
async function signIn(person, subject, id = "work", at = undefined) {
  const left = await person.submit(at ?? (await person.browse(`${issuer}/login`)), via(id), {});
  const { back } = await elsewhere(left, subject);
  return { back, at: await person.browse(back) };
}
const log = () => readFileSync(join(work, "log"), "utf8");
const account = async (person) => /Sign out everywhere/.test((await person.browse(`${issuer}/account`)).page);

// The same address as an account here has is not that account.
const stranger = new Person();
const { at: unknown } = await signIn(stranger, "ulla there");
assert.match(words(unknown.page), /No account here is linked with that account/);
assert.equal(await account(stranger), false);
step("oidc-provider: who is linked with nobody here signs in to nothing");

// Ulla links hers, and signs in by it from then on.
const ulla = new Person();
ulla.name = "ulla@example.com";
await ulla.join("ulla.link.json");
await ulla.goOn(await ulla.browse(`${issuer}/login`));
const { back } = await elsewhere(await ulla.submit(await ulla.browse(`${issuer}/account`), via("work"), {}), "ulla there");
assert.match(words((await ulla.browse(back)).page), /It was added/);

const verifier = randomUUID() + randomUUID();
const request = (more) =>
  `${issuer}/authorize?${new URLSearchParams({
    client_id: "app",
    response_type: "code",
    redirect_uri: callback,
    scope: "openid",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...more,
  })}`;
const again = new Person();
let at = await again.browse(request({}));
({ at } = await signIn(again, "ulla there", "work", at));
at = await again.goOn(at); // what the app may do
const form = { grant_type: "authorization_code", client_id: "app", redirect_uri: callback, code_verifier: verifier };
const answer = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams({ ...form, code: at.url.searchParams.get("code") }) });
const keys = jose.createRemoteJWKSet(new URL(`${issuer}/jwks`));
const { payload } = await jose.jwtVerify((await answer.json()).id_token, keys, { issuer, audience: "app" });
const { id } = JSON.parse(readFileSync(join(work, "ulla.json"), "utf8"));
assert.deepEqual({ sub: payload.sub, acr: payload.acr }, { sub: id, acr: "aal1" });
assert.deepEqual([asked.scope, asked.code_challenge_method, asked.max_age], ["openid", "S256", undefined]);
step("oidc-provider: an account is linked, and an application has a token of who signed in there");

// Who must show anew who they are is asked there too, although they are signed in there.
const late = new Person();
const leave = async (person) => person.submit(await person.browse(`${issuer}/login`), via("work"), {});
const first = await elsewhere(await leave(late), "ulla there");
await late.browse(first.back);
assert.equal((await elsewhere(await leave(new Person()), "ulla there", first.there)).shown, false);
await new Promise((later) => setTimeout(later, 1000 - (Date.now() % 1000))); // times are whole seconds: who signed in within this one has just done it
at = await late.browse(request({ prompt: "login" }));
const anew = await elsewhere(await late.submit(at, via("work"), {}), "ulla there", first.there);
assert.deepEqual([anew.shown, asked.max_age], [true, "0"]);
at = await late.goOn(await late.browse(anew.back));
assert.ok(at.url.searchParams.get("code"), words(at.page));
step("oidc-provider: who must show anew who they are does so there");

// What is not right: nobody is signed in by it.
const rows = {
  "upstream.status": (person) => signIn(person, "ulla there", "wrong"), // a secret that is not ours there
  "upstream.signature": (person) => signIn(person, "ulla there", "symmetric"),
  "upstream.refused": (person) => signIn(person, null), // who turned back
  "upstream.step": async (person) => ({ at: await person.browse((await signIn(new Person(), "ulla there")).back) }), // of another browser
  "upstream.iss": async (person) => {
    const { back } = await elsewhere(await leave(person), "ulla there");
    back.searchParams.set("iss", "http://127.0.0.1:1");
    return { at: await person.browse(back) };
  },
};
for (const [rule, wrong] of Object.entries(rows)) {
  const [person, before] = [new Person(), log().length];
  const { at } = await wrong(person);
  assert.match(words(at.page), /did not say who you are|began in another browser/, rule);
  const refused = [...log().slice(before).matchAll(/rule="(upstream\.[a-z_]*)"/g)].map(([, rule]) => rule);
  assert.deepEqual(refused, [rule]);
  assert.equal(await account(person), false, rule);
}
step("oidc-provider: nobody is signed in by an answer that is not right");
server.close();
server.closeAllConnections();
process.exit(0);
