// `@auth0/ai-vercel` against our issuer, our vault and our engine: tools as the AI SDK of Vercel calls them, for a model that wants
// one tool and then is content.
//
// node vercel.mjs ISSUER WORK, as `run` calls it; FGA is the URL of the engine
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Person, api, client, issuer, load, step, userId, work } from "../world.mjs";
import { documents, engine } from "./documents.mjs";

const { Auth0AI, getAccessTokenFromTokenVault, getAsyncAuthorizationCredentials, runWithAIContext } = await load("@auth0/ai-vercel");
const { generateText, stepCountIs, tool } = await load("ai");
const { MockLanguageModelV2 } = await load("ai/test");
const { z } = await load("zod");

const tokens = JSON.parse(readFileSync(join(work, "tokens.json"), "utf8")); // of vault.mjs
const auth0 = { domain: new URL(issuer).host, clientId: "sales", clientSecret: client("sales").client_secret };
const sarah = new Person();
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

/** What became of the one call of a tool: its output, or its error. */
async function called(tools, id, input = {}) {
  const [toolName] = Object.keys(tools);
  const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
  const content = [{ type: "tool-call", toolCallId: id, toolName, input: JSON.stringify(input) }];
  const model = new MockLanguageModelV2({ doGenerate: { content, finishReason: "tool-calls", usage, warnings: [] } });
  const ran = await runWithAIContext({ threadID: "t" }, () => generateText({ model, tools, prompt: "Go", stopWhen: stepCountIs(1) }));
  const part = ran.content.find(({ type }) => type === "tool-result" || type === "tool-error");
  assert.ok(part, JSON.stringify(ran.content));
  return part.type === "tool-result" ? { output: part.output } : { error: part.error };
}
const is = (error, name) => assert.equal(error?.constructor.name, name, `${error}`);

// A tool that needs a person's word.
const send = new Auth0AI({ auth0 }).withAsyncAuthorization(
  { scopes: ["read"], audience: api, userID: () => userId(), bindingMessage: ({ to }) => `send to ${to}` },
  tool({ description: "Sends", inputSchema: z.object({ to: z.string() }), execute: ({ to }) => ({ to, ...getAsyncAuthorizationCredentials() }) }),
);
is((await called({ send }, "one", { to: "vercel 1" })).error, "AuthorizationPendingInterrupt");
await sarah.decide("send to vercel 1", "approve");
const { output } = await called({ send }, "one", { to: "vercel 1" });
const { sub, act, scope } = claims(output.accessToken);
assert.deepEqual({ to: output.to, sub, act: act.sub, scope }, { to: "vercel 1", sub: userId(), act: "sales", scope: "openid read" });
is((await called({ send }, "two", { to: "vercel 2" })).error, "AuthorizationPendingInterrupt");
await sarah.decide("send to vercel 2", "deny");
is((await called({ send }, "two", { to: "vercel 2" })).output, "AccessDeniedInterrupt"); // it answers with it
step("@auth0/ai-vercel: a tool of the AI SDK waits for a person, who approves or denies");

// A tool that has the token of a connection.
const contacts = (connection, scopes = ["contacts.read"], refreshToken = tokens.refresh_token) =>
  new Auth0AI({ auth0 }).withTokenVault( // each with a store of its own, because the package keeps what it was given
    { connection, scopes, refreshToken: () => refreshToken },
    tool({ description: "Contacts", inputSchema: z.object({}), execute: () => getAccessTokenFromTokenVault() }),
  );
assert.deepEqual(await called({ contacts: contacts("crm") }, "three"), { output: "the-token-of-sarah-at-the-crm" });
const stolen = contacts("crm", ["contacts.read"], `${tokens.refresh_token}x`);
for (const wrong of [contacts("crm", ["contacts.write"]), contacts("kept"), contacts("unknown"), stolen])
  is((await called({ contacts: wrong }, "four")).error, "TokenVaultInterrupt");
step("@auth0/ai-vercel: a tool has the token of a connection, or is interrupted");

// A tool that asks the engine first, with a token that the SDK of OpenFGA gets from our issuer.
const fga = await engine();
const { store } = await documents(fga);
const read = new Auth0AI.FGA(fga.params(store)).withFGA(
  { buildQuery: ({ id }) => ({ user: "user:sarah", relation: "viewer", object: `document:${id}` }), onUnauthorized: () => "refused" },
  tool({ description: "Reads", inputSchema: z.object({ id: z.string() }), execute: ({ id }) => `the ${id}` }),
);
assert.deepEqual(await called({ read }, "six", { id: "plan" }), { output: "the plan" });
assert.deepEqual(await called({ read }, "seven", { id: "salaries" }), { output: "refused" });
step("@auth0/ai-vercel: a tool runs where the engine allows it");
