// The certified client library openid-client with certificates (RFC 8705), as it finds its way by metadata alone.
//
// node issuer.mjs ISSUER, in the directory with the certificates, as `run` calls it
import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const issuer = process.argv[2];
const require = createRequire(`${process.env.MODULES}/`);
const client = await import(pathToFileURL(require.resolve("openid-client")));
const { Agent, fetch } = require("undici");
const api = "https://api.example/";

const shows = (name) => {
  const pem = (end) => readFileSync(`${name}.${end}`);
  const connect = { ca: readFileSync("servers.pem"), ...(name && { cert: pem("pem"), key: pem("key") }) };
  const dispatcher = new Agent({ connect });
  return (url, options) => fetch(url, { ...options, dispatcher });
};
const discover = (id, certificate, aliases = true) =>
  client.discovery(new URL(issuer), id, { use_mtls_endpoint_aliases: aliases }, client.TlsClientAuth(), {
    [client.customFetch]: shows(certificate),
  });
const grant = async (...how) => client.clientCredentialsGrant(await discover(...how), { scope: "read", resource: api });
const refused = (promise) => assert.rejects(promise, (e) => (e.error === "invalid_client" && e.status === 401) || assert.fail(`${e}`));
const thumbprint = (name) => createHash("sha256").update(new X509Certificate(readFileSync(`${name}.pem`)).raw).digest("base64url");

const metadata = (await discover("sales", "sales")).serverMetadata();
for (const method of ["tls_client_auth", "self_signed_tls_client_auth"]) {
  assert(metadata.token_endpoint_auth_methods_supported.includes(method));
}
for (const [id, certificate] of [["sales", "sales"], ["own", "own"]]) {
  const { access_token } = await grant(id, certificate);
  const { cnf } = JSON.parse(Buffer.from(access_token.split(".")[1], "base64url"));
  assert.equal(cnf["x5t#S256"], thumbprint(certificate));
  const seen = await client.tokenIntrospection(await discover("own", "own"), access_token);
  assert.equal(seen.cnf["x5t#S256"], thumbprint(certificate));
}
await refused(grant("sales", "other")); // the authority is right and the subject another's
await refused(grant("sales", "own")); // nobody has signed it
await refused(grant("own", "sales")); // another's key
await refused(grant("sales", "sales", false)); // where no certificate is asked for
console.log("tls: openid-client is known by its certificate, and its tokens are bound to it");
