// The cross-app access provider of the MCP SDK for TypeScript: from an ID token of one domain to a resource of another.
// A resource server stands here, which knows nothing but the metadata of RFC 9728 and how to introspect.
import { spawn } from "node:child_process";
import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const sdk = await import(pathToFileURL(require.resolve("@modelcontextprotocol/client")).href);
const { CrossAppAccessProvider, discoverAndRequestJwtAuthGrant, withOAuth } = sdk;

let world;
const basic = (id, secret) => `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
const seen = [];
const server = http.createServer(async (request, response) => {
  const base = `http://${request.headers.host}`;
  const json = (status, body, headers = {}) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
  if (request.url === "/.well-known/oauth-protected-resource/mcp") {
    return json(200, { resource: `${base}/mcp`, authorization_servers: [world.ras], scopes_supported: ["pricing:read"] });
  }
  const challenge = {
    "www-authenticate": `Bearer resource_metadata="${base}/.well-known/oauth-protected-resource/mcp", scope="pricing:read"`,
  };
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Bearer") return json(401, {}, challenge);
  const answer = await fetch(`${world.ras}introspect`, {
    method: "POST",
    headers: { authorization: basic("price-server", world.price_server) },
    body: new URLSearchParams({ token }),
  });
  const told = await answer.json();
  seen.push(told);
  const good = told.active && [told.aud].flat().includes(`${base}/mcp`) && told.scope.split(" ").includes("pricing:read");
  return good ? json(200, { sub: told.sub, act: told.act }) : json(401, {}, challenge);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const resource = `http://127.0.0.1:${server.address().port}/mcp`;

const child = spawn(process.argv[2], ["--exact", "exchange_served::serves_for_the_clients", "--nocapture"], {
  env: { ...process.env, BAILIWICK_EXCHANGE_SERVE: resource },
  stdio: ["pipe", "pipe", "inherit"],
});
try {
  world = await new Promise((found, failed) => {
    createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("{") && found(JSON.parse(line)));
    child.on("exit", (code) => failed(new Error(`the server ended: ${code}`)));
  });
  const grants = [];
  const grant = (change = {}) => async (ctx) => {
    const { jwtAuthGrant } = await discoverAndRequestJwtAuthGrant({
      idpUrl: world.idp,
      audience: ctx.authorizationServerUrl,
      resource: ctx.resourceUrl,
      idToken: world.id_token,
      clientId: "sales",
      clientSecret: world.sales,
      scope: ctx.scope,
      fetchFn: ctx.fetchFn,
      ...change,
    });
    grants.push(jwtAuthGrant);
    return jwtAuthGrant;
  };
  const provider = (assertion) =>
    new CrossAppAccessProvider({
      assertion,
      clientId: "acme-sales",
      clientSecret: world.acme_sales,
      expectedIssuer: world.ras,
    });
  const call = (assertion) => withOAuth(provider(assertion), resource)(fetch)(resource);

  const answer = await call(grant());
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { sub: "s-chen", act: { sub: "acme-sales", act: { sub: "sales", iss: world.idp } } });
  assert.equal(seen.at(-1).client_id, "acme-sales");
  assert.equal(seen.at(-1).acr, "phr");

  // The same assertion again; a scope that is never had; a resource that the connection does not name.
  await assert.rejects(call(async () => grants[0]), /used before/);
  await assert.rejects(call(grant({ scope: "pricing:write" })), /none of these scopes/);
  await assert.rejects(call(grant({ resource: "https://other.example/" })), /no connection/);
  await assert.rejects(call(grant({ clientSecret: "wrong" })), /invalid_client/);
  console.log("the TypeScript SDK went from one domain to the other, and was refused where it should be");
} finally {
  child.stdin.end();
  server.close();
}
