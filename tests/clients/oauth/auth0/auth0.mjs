// `@auth0/ai` against our issuer, as it is: an agent's tool that must be allowed by a person (CIBA).
//
// node auth0.mjs ISSUER WORK, as `run` calls it
import assert from "node:assert/strict";
import { Person, api, client, issuer, load, step, userId } from "../world.mjs";

const { AsyncAuthorizerBase, getAsyncAuthorizationCredentials } = await load("@auth0/ai/AsyncAuthorization");
const { AccessDeniedInterrupt, AuthorizationPendingInterrupt, AuthorizationPollingInterrupt } = await load("@auth0/ai/interrupts");
const { MemoryStore } = await load("@auth0/ai/stores");

const auth0 = { domain: new URL(issuer).host, clientId: "sales", clientSecret: client("sales").client_secret };
const sarah = new Person();
await sarah.join();
await sarah.addFactor();

/** A tool that needs a person's word, and answers with what it was given. */
function tool(bindingMessage, more) {
  const authorizer = new AsyncAuthorizerBase(auth0, {
    store: new MemoryStore(),
    scopes: ["read"],
    audience: api,
    userID: () => userId(),
    bindingMessage,
    ...more,
  });
  const context = () => ({ threadID: "t", toolCallID: bindingMessage, toolName: "send" });
  return authorizer.protect(context, async (to) => ({ to, token: getAsyncAuthorizationCredentials() }));
}
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

// It is interrupted until somebody has decided, and goes on then.
const send = tool("send 4711");
await assert.rejects(send("acme"), AuthorizationPendingInterrupt);
await assert.rejects(send("acme"), (e) => e instanceof AuthorizationPollingInterrupt && e.nextRetryInterval() === 10);
await sarah.decide("send 4711", "approve");
const sent = await send("acme");
assert.equal(sent.to, "acme");
const { sub, act, aud, scope } = claims(sent.token.accessToken);
assert.deepEqual({ sub, act: act.sub, scope }, { sub: userId(), act: "sales", scope: "openid read" });
assert.ok([aud].flat().includes(api));
step("@auth0/ai: a tool waits for a person, who approves");

// Who denies ends it.
const never = tool("send 4712");
await assert.rejects(never("acme"), AuthorizationPendingInterrupt);
await sarah.decide("send 4712", "deny");
assert.ok((await never("acme")) instanceof AccessDeniedInterrupt);
step("@auth0/ai: a person denies");

// It waits by itself, and meanwhile the person decides.
const waits = tool("send 4713", { onAuthorizationRequest: () => sarah.decide("send 4713", "approve") });
assert.equal((await waits("acme")).to, "acme");
step("@auth0/ai: a tool that asks until it is answered");

const details = [{ type: "proposal", amount: "450000.00" }];
const exact = tool("send 4714", { authorizationDetails: details });
await assert.rejects(exact("acme"), AuthorizationPendingInterrupt);
await sarah.decide("Send the proposal for 450000.00", "approve");
assert.deepEqual(claims((await exact("acme")).token.accessToken).authorization_details, details);
step("@auth0/ai: exactly what was approved is in the token");
