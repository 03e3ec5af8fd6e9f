// `@auth0/ai-langchain` against our issuer, our vault and our engine: tools in a graph of LangGraph, which is interrupted and goes
// on, and a retriever of LangChain that finds what somebody may see.
//
// node langchain.mjs ISSUER WORK, as `run` calls it; FGA is the URL of the engine
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Person, api, client, issuer, load, step, userId, work } from "../world.mjs";
import { documents, engine } from "./documents.mjs";

const { Auth0AI, getAccessTokenForConnection, getCIBACredentials } = await load("@auth0/ai-langchain");
const { FGARetriever } = await load("@auth0/ai-langchain/RAG");
const { Document } = await load("@langchain/core/documents");
const { AIMessage } = await load("@langchain/core/messages");
const { BaseRetriever } = await load("@langchain/core/retrievers");
const { tool } = await load("@langchain/core/tools");
const { MemorySaver, MessagesAnnotation, StateGraph } = await load("@langchain/langgraph");
const { ToolNode } = await load("@langchain/langgraph/prebuilt");
const { z } = await load("zod");

const tokens = JSON.parse(readFileSync(join(work, "tokens.json"), "utf8")); // of vault.mjs
const auth0 = { domain: new URL(issuer).host, clientId: "sales", clientSecret: client("sales").client_secret };
const ai = new Auth0AI({ auth0 });
const sarah = new Person();
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

let threads = 0;
/** A thread of a graph that has one tool: `begin` has it called, `goOn` goes on; each says the answer, or what interrupted it. */
function thread(one, credentials) {
  const node = new ToolNode([one], { handleToolErrors: false });
  const graph = new StateGraph(MessagesAnnotation).addNode("tools", node).addEdge("__start__", "tools").compile({ checkpointer: new MemorySaver() });
  const config = { configurable: { thread_id: `thread ${++threads}`, _credentials: credentials } };
  const run = async (input) => {
    const { messages } = await graph.invoke(input, config);
    const { tasks } = await graph.getState(config);
    const [interrupt] = tasks.flatMap(({ interrupts }) => interrupts);
    return interrupt ? { interrupt: interrupt.value.code } : { answer: messages.at(-1).content };
  };
  const begin = (args) => run({ messages: [new AIMessage({ content: "", tool_calls: [{ name: one.name, args, id: "call", type: "tool_call" }] })] });
  return { begin, goOn: () => run(null) };
}

// A tool that needs a person's word.
const send = ai.withAsyncUserConfirmation(
  { scopes: ["read"], audience: api, userID: () => userId(), bindingMessage: async ({ args, to }) => `send to ${to ?? args.to}` },
  tool(({ to }) => JSON.stringify({ to, ...getCIBACredentials() }), { name: "send", description: "Sends", schema: z.object({ to: z.string() }) }),
);
const approved = thread(send);
assert.deepEqual(await approved.begin({ to: "graph 1" }), { interrupt: "CIBA_AUTHORIZATION_PENDING" });
await sarah.decide("send to graph 1", "approve");
const { answer } = await approved.goOn();
const { to, accessToken } = JSON.parse(answer);
const { sub, act, scope } = claims(accessToken);
assert.deepEqual({ to, sub, act: act.sub, scope }, { to: "graph 1", sub: userId(), act: "sales", scope: "openid read" });
const denied = thread(send);
assert.deepEqual(await denied.begin({ to: "graph 2" }), { interrupt: "CIBA_AUTHORIZATION_PENDING" });
await sarah.decide("send to graph 2", "deny");
assert.match((await denied.goOn()).answer, /ACCESS_DENIED/);
step("@auth0/ai-langchain: a graph waits for a person, who approves or denies");

// A tool that has the token of a connection, by the refresh token in the graph's configuration.
const contacts = (connection, scopes = ["contacts.read"]) =>
  ai.withTokenForConnection(
    { connection, scopes },
    tool(() => getAccessTokenForConnection(), { name: "contacts", description: "Contacts", schema: z.object({}) }),
  );
const credentials = { refreshToken: tokens.refresh_token };
assert.deepEqual(await thread(contacts("crm"), credentials).begin({}), { answer: "the-token-of-sarah-at-the-crm" });
const interrupted = { interrupt: "FEDERATED_CONNECTION_ERROR" };
for (const wrong of [contacts("crm", ["contacts.write"]), contacts("kept"), contacts("unknown")])
  assert.deepEqual(await thread(wrong, credentials).begin({}), interrupted);
assert.deepEqual(await thread(contacts("crm"), { refreshToken: `${tokens.refresh_token}x` }).begin({}), interrupted);
step("@auth0/ai-langchain: a graph has the token of a connection, or is interrupted");

// A retriever that finds all there is, and what is left of that.
class All extends BaseRetriever {
  lc_namespace = ["all"];
  async _getRelevantDocuments() {
    return ["plan", "salaries", "notes", "plan"].map((id) => new Document({ pageContent: `the ${id}`, metadata: { id } }));
  }
}
const fga = await engine();
const { store, fga: writing } = await documents(fga);
const retriever = (user, params = fga.params(store)) => {
  const buildQuery = ({ metadata }) => ({ user: `user:${user}`, relation: "viewer", object: `document:${metadata.id}` });
  return FGARetriever.create({ retriever: new All(), buildQuery }, params);
};
const found = async (user) => (await retriever(user).invoke("what is there?")).map(({ metadata }) => metadata.id);
assert.deepEqual(await found("sarah"), ["plan", "notes", "plan"]);
assert.deepEqual(await found("bob"), ["salaries"]);
assert.deepEqual(await found("eve"), []);
assert.equal(await retriever("bob").asJoinedStringTool().invoke({ query: "what is there?" }), "the salaries");
await writing.write({ deletes: [{ user: "user:sarah", relation: "viewer", object: "document:plan" }] });
assert.deepEqual(await found("sarah"), ["notes"]); // at once
await assert.rejects(retriever("sarah", (await engine("wrong")).params(store)).invoke("what is there?"), /401|auth/i);
step("@auth0/ai-langchain: a retriever finds what somebody may see, and no longer what they may not");
