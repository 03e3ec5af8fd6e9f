// The Token Vault of `@auth0/ai` against our vault: an agent's tool is handed the token of a connection, by a refresh token and
// by an access token of the person; and it is interrupted where there is none.
//
// node vault.mjs ISSUER WORK, as `run` calls it; CRM_PORT says where the connection's provider is thought to be
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { shown } from "../../served.mjs";
import { Person, callback, client, issuer, load, step, work } from "../world.mjs";

const { TokenVaultAuthorizerBase, getAccessTokenFromTokenVault, getCredentialsFromTokenVault } = await load("@auth0/ai/TokenVault");
const { TokenVaultInterrupt } = await load("@auth0/ai/interrupts");
const { MemoryStore } = await load("@auth0/ai/stores");

const auth0 = { domain: new URL(issuer).host, clientId: "sales", clientSecret: client("sales").client_secret };

// The provider of the connection, which knows one refresh token.
const crm = createServer(shown(), async (asked, answered) => {
  const form = new URLSearchParams(await new Response(asked).text());
  const good = form.get("grant_type") === "refresh_token" && form.get("refresh_token") === "the-refresh-token-of-sarah";
  const fresh = { access_token: "the-token-of-sarah-at-the-crm", token_type: "Bearer", expires_in: 3600, scope: "contacts.read" };
  answered.writeHead(good ? 200 : 400, { "content-type": "application/json" });
  answered.end(JSON.stringify(good ? fresh : { error: "invalid_grant" }));
}).listen(process.env.CRM_PORT, "127.0.0.1");

// Sarah lets the agent act for her.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const asked = new URLSearchParams({
  client_id: "sales",
  response_type: "code",
  redirect_uri: callback,
  scope: "openid offline_access contacts.read",
  audience: `${issuer}proxy`,
  code_challenge: Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(verifier))).toString("base64url"),
  code_challenge_method: "S256",
});
const sarah = new Person();
const at = await sarah.goOn(await sarah.browse(`${issuer}authorize?${asked}`));
const code = at.url.searchParams.get("code");
const body = JSON.stringify({
  grant_type: "authorization_code",
  client_id: "sales",
  client_secret: auth0.clientSecret,
  redirect_uri: callback,
  code_verifier: verifier,
  code,
});
const answer = await fetch(`${issuer}oauth/token`, { method: "POST", body, headers: { "content-type": "application/json" } });
assert.equal(answer.status, 200, await answer.clone().text());
const tokens = await answer.json();
writeFileSync(join(work, "tokens.json"), JSON.stringify(tokens)); // for vault.py

function tool(connection, source, scopes = ["contacts.read"]) {
  const authorizer = new TokenVaultAuthorizerBase(auth0, { store: new MemoryStore(), connection, scopes, ...source });
  const context = () => ({ threadID: "t", toolCallID: "c", toolName: "contacts" });
  return authorizer.protect(context, async () => [getAccessTokenFromTokenVault(), getCredentialsFromTokenVault()]);
}
const byRefresh = { refreshToken: () => tokens.refresh_token };
const byAccess = { accessToken: () => tokens.access_token, subjectTokenType: "urn:ietf:params:oauth:token-type:access_token" };
for (const source of [byRefresh, byAccess]) {
  const [token, credentials] = await tool("crm", source)();
  assert.equal(token, "the-token-of-sarah-at-the-crm");
  assert.deepEqual(credentials.scopes, ["contacts.read"]);
}
step("@auth0/ai: a tool has the token of a connection");
await assert.rejects(tool("crm", byRefresh, ["contacts.write"])(), TokenVaultInterrupt);
for (const connection of ["kept", "unknown"]) await assert.rejects(tool(connection, byRefresh)(), TokenVaultInterrupt);
const stolen = { refreshToken: () => `${tokens.refresh_token}x` };
await assert.rejects(tool("crm", stolen)(), TokenVaultInterrupt);
step("@auth0/ai: and is interrupted for more scopes, and for connections that hand out nothing");
crm.close();
