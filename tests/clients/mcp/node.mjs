// The TypeScript SDKs of the Model Context Protocol, both lines of them, against our MCP server and the gateway.
// Usage: node.mjs WORLD, in the directory where they are installed; WORLD is the JSON file that `run` makes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { urls, tokens } = JSON.parse(readFileSync(process.argv[2]));
const require = createRequire(`${process.cwd()}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const two = await load("@modelcontextprotocol/client");
const one = { ...(await load("@modelcontextprotocol/sdk/client/index.js")), ...(await load("@modelcontextprotocol/sdk/client/streamableHttp.js")) };

async function connected(sdk, server, token, options) {
  const client = new sdk.Client({ name: "test", version: "1.0.0" }, options);
  const requestInit = { headers: token ? { authorization: `Bearer ${token}` } : {} };
  await client.connect(new sdk.StreamableHTTPClientTransport(new URL(urls[server]), { requestInit }));
  return client;
}

const code = async (promise) => promise.then(() => 0, (error) => error.code);

async function own(sdk, options) {
  const client = await connected(sdk, "own", tokens.sarah_own, options);
  assert.deepEqual((await client.listTools()).tools.map((tool) => tool.name), ["search", "check"]);
  const found = await client.callTool({ name: "search", arguments: { vector: [1, 0, 0], k: 5 } });
  assert.deepEqual(found.structuredContent.hits.map((hit) => hit.object), ["document:plan", "document:handbook"]);
  assert.deepEqual((await client.listResources()).resources.map((item) => item.uri), ["docs://handbook", "docs://plan"]);
  assert.equal((await client.readResource({ uri: "docs://plan" })).contents[0].text, "The text of plan.");
  assert.equal(await code(client.readResource({ uri: "docs://salaries" })), -32001);
  await client.close();
}

async function gateway(sdk, options) {
  const client = await connected(sdk, "gateway", tokens.sarah_gateway, options);
  const names = (await client.listTools()).tools.map((tool) => tool.name);
  assert(names.includes("test_simple_text") && !names.includes("hidden"), names);
  const said = await client.callTool({ name: "test_multiple_content_types", arguments: {} });
  assert.deepEqual(said.content.map((part) => part.type), ["text", "image", "resource"]);
  assert.equal(await code(client.callTool({ name: "hidden", arguments: {} })), -32001);
  assert((await client.readResource({ uri: "test://static-text" })).contents[0].text.startsWith("This is the content"));
  await client.close();
}

for (const [name, sdk, options] of [
  ["1.x", one, {}],
  ["2.x", two, {}],
  ["2.x, 2026-07-28", two, { versionNegotiation: { mode: "auto" } }],
]) {
  await assert.rejects(connected(sdk, "own", null, options), `${name}: without a token`);
  await own(sdk, options);
  await gateway(sdk, options);
  console.log(`typescript: ${name}: our own server and the gateway`);
}
