// The cross-app access provider of the MCP SDK for TypeScript: from an ID token of one domain to a resource of another.
// A resource server stands here, which knows nothing but the metadata of RFC 9728 and how to introspect.
// Usage: node.mjs WORLD, in the directory where it is installed; WORLD is the JSON file that `run` makes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { shown } from "../served.mjs";

const require = createRequire(`${process.cwd()}/`);
const sdk = await import(pathToFileURL(require.resolve("@modelcontextprotocol/client")).href);
const { CrossAppAccessProvider, discoverAndRequestJwtAuthGrant, withOAuth } = sdk;

const world = JSON.parse(readFileSync(process.argv[2]));
const resource = world.prices;
const basic = (id, secret) => `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
const seen = [];
const server = https.createServer(shown(), async (request, response) => {
  const base = `https://${request.headers.host}`;
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
await new Promise((ready) => server.listen(new URL(resource).port, "127.0.0.1", ready));

try {
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
  assert.equal(seen.at(-1).acr, "aal2");

  // The same assertion again; a scope that is never had; a resource that the connection does not name.
  await assert.rejects(call(async () => grants[0]), /used before/);
  await assert.rejects(call(grant({ scope: "pricing:write" })), /none of these scopes/);
  await assert.rejects(call(grant({ resource: "https://other.example/" })), /no connection/);
  await assert.rejects(call(grant({ clientSecret: "wrong" })), /invalid_client/);
  console.log("the TypeScript SDK went from one domain to the other, and was refused where it should be");
} finally {
  server.close();
  server.closeAllConnections();
}
