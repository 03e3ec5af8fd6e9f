// The server that the conformance suite of the Model Context Protocol asks for, without an SDK: what stands behind the gateway
// when the suite judges it. Speaks 2026-07-28 without sessions, and the versions before it as far as those need no session.
import { createHmac, randomUUID } from "node:crypto";
import { createServer } from "node:https";
import { shown } from "../served.mjs";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const MODERN = "2026-07-28";
const VERSIONS = [MODERN, "2025-11-25", "2025-06-18"];
const text = (text) => ({ type: "text", text });
const said = (...content) => ({ content });
const elicit = (message, properties) => ({
  method: "elicitation/create",
  params: { mode: "form", message, requestedSchema: { type: "object", properties, required: Object.keys(properties) } },
});
const sample = (question, maxTokens) => ({
  method: "sampling/createMessage",
  params: { messages: [{ role: "user", content: text(question) }], maxTokens },
});
const roots = { method: "roots/list", params: {} };
const wants = (inputRequests, requestState) => ({ resultType: "input_required", inputRequests, ...(requestState && { requestState }) });
const NAME = { name: { type: "string" } };
const sealed = (state) => `${state}.${createHmac("sha256", "fixture").update(state).digest("hex")}`;
const opened = (state) => {
  const [inner] = `${state}`.split(".");
  if (sealed(inner) !== state) throw { code: -32602, message: "requestState was changed" };
  return inner;
};
const accepted = (response) => response?.action === "accept" && typeof response.content === "object";

const completed = ({ action, content }) => said(text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`));
// Who waits for the answers of clients.
const waiting = new Map();

const tools = {
  test_simple_text: () => said(text("This is a simple text response for testing.")),
  test_image_content: () => said({ type: "image", data: PNG, mimeType: "image/png" }),
  test_audio_content: () => said({ type: "audio", data: WAV, mimeType: "audio/wav" }),
  test_embedded_resource: () =>
    said({ type: "resource", resource: { uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource content." } }),
  test_multiple_content_types: () =>
    said(text("Multiple content types test:"), { type: "image", data: PNG, mimeType: "image/png" }, {
      type: "resource",
      resource: { uri: "test://mixed-content-resource", mimeType: "application/json", text: '{"test":"data","value":123}' },
    }),
  test_error_handling: () => ({ isError: true, ...said(text("This tool intentionally returns an error for testing")) }),
  test_tool_with_logging: async (_, stream) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      stream.notify("notifications/message", { level: "info", logger: "fixture", data });
      await new Promise((done) => setTimeout(done, 20));
    }
    return said(text("logged"));
  },
  test_tool_with_progress: async (params, stream) => {
    const progressToken = params._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) stream.notify("notifications/progress", { progressToken, progress, total: 100 });
      await new Promise((done) => setTimeout(done, 20));
    }
    return said(text("done"));
  },
  // In versions with sessions a server asks its client on the stream of the call.
  test_sampling: async ({ arguments: { prompt } }, stream) => {
    const { method, params } = sample(prompt, 100);
    return said(text(`LLM response: ${(await stream.ask(method, params)).content?.text}`));
  },
  test_elicitation: async ({ arguments: { message } }, stream) => {
    const { method, params } = elicit(message, { username: { type: "string" }, email: { type: "string" } });
    return said(text(`User response: ${JSON.stringify(await stream.ask(method, params))}`));
  },
  test_elicitation_sep1034_defaults: async (_, stream) =>
    completed(await stream.ask("elicitation/create", elicit("Who are you?", {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    }).params)),
  test_elicitation_sep1330_enums: async (_, stream) => {
    const plain = ["option1", "option2", "option3"];
    const titled = ["value1", "value2", "value3"].map((value, at) => ({ const: value, title: `${["First", "Second", "Third"][at]} Option` }));
    return completed(await stream.ask("elicitation/create", elicit("Which?", {
      untitledSingle: { type: "string", enum: plain },
      titledSingle: { type: "string", oneOf: titled },
      legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
      untitledMulti: { type: "array", items: { type: "string", enum: plain } },
      titledMulti: { type: "array", items: { anyOf: titled } },
    }).params));
  },
  test_logging_tool: ({ _meta }, stream) => {
    if (_meta?.["io.modelcontextprotocol/logLevel"]) stream.notify("notifications/message", { level: "info", data: "called" });
    return said(text("called"));
  },
  test_streaming_elicitation: ({ inputResponses }) =>
    inputResponses ? said(text("answered")) : wants({ name: elicit("What is your name?", NAME) }),
  test_missing_capability: ({ _meta }) => {
    if (_meta?.["io.modelcontextprotocol/clientCapabilities"]?.sampling) return said(text("it can"));
    throw { status: 400, code: -32021, message: "sampling is needed", data: { requiredCapabilities: { sampling: {} } } };
  },
  test_input_required_result_elicitation: ({ inputResponses }) =>
    accepted(inputResponses?.user_name) && typeof inputResponses.user_name.content.name === "string"
      ? said(text(`Hello, ${inputResponses.user_name.content.name}!`))
      : wants({ user_name: elicit("What is your name?", NAME) }),
  test_input_required_result_sampling: ({ inputResponses }) =>
    inputResponses?.capital_question
      ? said(text(JSON.stringify(inputResponses.capital_question.content)))
      : wants({ capital_question: sample("What is the capital of France?", 100) }),
  test_input_required_result_list_roots: ({ inputResponses }) =>
    inputResponses?.client_roots ? said(text(JSON.stringify(inputResponses.client_roots.roots))) : wants({ client_roots: roots }),
  test_input_required_result_request_state: ({ inputResponses, requestState }) => {
    if (inputResponses?.confirm && requestState) return opened(requestState), said(text("state-ok"));
    return wants({ confirm: elicit("Please confirm", { ok: { type: "boolean" } }) }, sealed("confirm"));
  },
  test_input_required_result_multiple_inputs: ({ inputResponses, requestState }) => {
    const all = { user_name: elicit("What is your name?", NAME), greeting: sample("Generate a greeting", 50), client_roots: roots };
    if (requestState && Object.keys(all).every((key) => inputResponses?.[key])) return opened(requestState), said(text("all there"));
    return wants(all, sealed("several"));
  },
  test_input_required_result_multi_round: ({ inputResponses, requestState }) => {
    const state = requestState && opened(requestState);
    if (state === "two" && inputResponses?.step2) return said(text("both there"));
    if (state === "one" && inputResponses?.step1) {
      return wants({ step2: elicit("Step 2: What is your favorite color?", { color: { type: "string" } }) }, sealed("two"));
    }
    return wants({ step1: elicit("Step 1: What is your name?", NAME) }, sealed("one"));
  },
  test_input_required_result_tampered_state: ({ inputResponses, requestState }) => {
    if (requestState) return opened(requestState), said(text(inputResponses ? "whole" : "no answer"));
    return wants({ confirm: elicit("Please confirm", { ok: { type: "boolean" } }) }, sealed("whole"));
  },
  test_input_required_result_capabilities: ({ _meta, inputResponses }) => {
    if (inputResponses) return said(text("answered"));
    const can = _meta?.["io.modelcontextprotocol/clientCapabilities"] ?? {};
    const asks = {};
    if (can.sampling) asks.question = sample("Anything?", 10);
    if (can.elicitation) asks.name = elicit("What is your name?", NAME);
    return Object.keys(asks).length ? wants(asks) : said(text("nothing to ask"));
  },
  // Nobody's agent may call this one: the gateway leaves it out.
  hidden: () => said(text("this must not be seen")),
};

const resources = {
  "test://static-text": { mimeType: "text/plain", text: "This is the content of the static text resource." },
  "test://static-binary": { mimeType: "image/png", blob: PNG },
  "test://watched-resource": { mimeType: "text/plain", text: "Watched resource content" },
};
const prompt = (content) => ({ messages: content.map((content) => ({ role: "user", content })) });
const prompts = {
  test_simple_prompt: [[], () => prompt([text("This is a simple prompt for testing.")])],
  test_prompt_with_arguments: [
    ["arg1", "arg2"],
    ({ arguments: a }) => prompt([text(`Prompt with arguments: arg1='${a.arg1}', arg2='${a.arg2}'`)]),
  ],
  test_prompt_with_embedded_resource: [
    ["resourceUri"],
    ({ arguments: a }) =>
      prompt([
        { type: "resource", resource: { uri: a.resourceUri, mimeType: "text/plain", text: "Embedded resource content for testing." } },
        text("Please process the embedded resource above."),
      ]),
  ],
  test_prompt_with_image: [[], () => prompt([{ type: "image", data: PNG, mimeType: "image/png" }, text("Please analyze the image above.")])],
  test_input_required_result_prompt: [
    [],
    ({ inputResponses }) =>
      inputResponses?.user_context
        ? prompt([text(`Context: ${inputResponses.user_context.content?.context}`)])
        : wants({ user_context: elicit("What context should the prompt use?", { context: { type: "string" } }) }),
  ],
};
const capabilities = { tools: {}, resources: {}, prompts: {}, completions: {}, logging: {} };
const serverInfo = { name: "everything", version: "1.0.0" };
const cached = (result) => ({ ttlMs: 1000, cacheScope: "public", ...result });

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion: VERSIONS.slice(1).includes(protocolVersion) ? protocolVersion : VERSIONS[1],
    capabilities,
    serverInfo,
  }),
  "server/discover": () => cached({ supportedVersions: VERSIONS, capabilities, serverInfo }),
  ping: () => ({}),
  "logging/setLevel": () => ({}),
  "completion/complete": () => ({ completion: { values: ["paris", "park", "party"], total: 3, hasMore: false } }),
  "tools/list": () =>
    cached({ tools: Object.keys(tools).map((name) => ({ name, description: `The tool ${name}.`, inputSchema: { type: "object" } })) }),
  "tools/call": (params, stream) => {
    if (!tools[params.name]) throw { code: -32602, message: "Unknown tool" };
    return tools[params.name](params, stream);
  },
  "resources/list": () =>
    cached({
      resources: Object.entries(resources).map(([uri, { mimeType }]) => ({ uri, name: uri.slice(7), description: `The resource ${uri}.`, mimeType })),
    }),
  "resources/templates/list": () =>
    cached({ resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "template", description: "By id.", mimeType: "application/json" }] }),
  "resources/read": ({ uri }) => {
    const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
    const made = id && { mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) };
    const content = resources[uri] ?? made;
    if (!content) throw { code: -32602, message: "Resource not found", data: { uri } };
    return cached({ contents: [{ uri, ...content }] });
  },
  "resources/subscribe": () => ({}),
  "resources/unsubscribe": () => ({}),
  "prompts/list": () =>
    cached({
      prompts: Object.entries(prompts).map(([name, [args]]) => ({
        name,
        description: `The prompt ${name}.`,
        arguments: args.map((name) => ({ name, description: name, required: true })),
      })),
    }),
  "prompts/get": (params) => {
    if (!prompts[params.name]) throw { code: -32602, message: "Unknown prompt" };
    return prompts[params.name][1](params);
  },
};
const GONE = ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

const failed = (response, status, id, error) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ jsonrpc: "2.0", ...(id !== undefined && { id }), error }));

async function answer(request, response) {
  if (request.method !== "POST") return response.writeHead(405).end();
  // The gateway lets no caller's token through.
  if (request.headers.authorization) return response.writeHead(401).end();
  let body = "";
  for await (const part of request) body += part;
  const { id, method, params = {}, result: answered } = JSON.parse(body);
  if (method === undefined) waiting.get(id)?.(answered);
  if (id === undefined || method === undefined) return response.writeHead(202).end();
  const version = params._meta?.["io.modelcontextprotocol/protocolVersion"];
  const modern = version !== undefined || request.headers["mcp-protocol-version"] === MODERN;
  if (modern) {
    const needed = ["protocolVersion", "clientCapabilities"].filter((key) => params._meta?.[`io.modelcontextprotocol/${key}`] === undefined);
    if (needed.length) return failed(response, 400, id, { code: -32602, message: `_meta lacks ${needed}` });
    if (version !== MODERN) return failed(response, 400, id, { code: -32022, message: "Unsupported", data: { supported: VERSIONS, requested: version } });
  }
  if (!methods[method] || (modern && GONE.includes(method))) return failed(response, modern ? 404 : 200, id, { code: -32601, message: "Method not found" });
  const stream = {
    begun: false,
    send(message) {
      if (!this.begun) response.writeHead(200, { "content-type": "text/event-stream" });
      this.begun = true;
      response.write(`data: ${JSON.stringify(message)}\n\n`);
    },
    notify(method, params) {
      this.send({ jsonrpc: "2.0", method, params });
    },
    ask(method, params) {
      const id = randomUUID();
      this.send({ jsonrpc: "2.0", id, method, params });
      return new Promise((done) => waiting.set(id, done)).finally(() => waiting.delete(id));
    },
  };
  try {
    let result = await methods[method](params, stream);
    if (modern) result = { resultType: "complete", _meta: { "io.modelcontextprotocol/serverInfo": serverInfo }, ...result };
    else for (const key of ["ttlMs", "cacheScope"]) delete result[key];
    const message = { jsonrpc: "2.0", id, result };
    if (stream.begun) return stream.send(message), response.end();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(message));
  } catch (error) {
    failed(response, error.status ?? 200, id, { code: error.code ?? -32603, message: error.message, ...(error.data && { data: error.data }) });
  }
}

const server = createServer(shown(), (request, response) => answer(request, response).catch((error) => response.destroy(error)));
server.listen(0, "127.0.0.1", () => console.log(`https://127.0.0.1:${server.address().port}/mcp`));
process.stdin.on("end", () => process.exit(0)).resume();
