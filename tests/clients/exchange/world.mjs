// Sarah signs in for her agent, with two factors, and what the judges need to know is printed as JSON.
//
// node world.mjs ISSUER WORK, as `run` calls it; RAS is the issuer of the other domain, PRICES the resource there
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { Person, callback, client, issuer } from "../oauth/world.mjs";

const sarah = new Person();
await sarah.join();
await sarah.addFactor();
const verifier = randomUUID() + randomUUID();
const asked = {
  client_id: "sales",
  response_type: "code",
  redirect_uri: callback,
  scope: "openid",
  acr_values: "aal2",
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
};
const { url, page } = await sarah.goOn(await sarah.browse(`${issuer}/authorize?${new URLSearchParams(asked)}`));
const code = url.searchParams.get("code");
assert.ok(code, `${url} ${page}`);
const sales = client("sales").client_secret;
const answer = await fetch(`${issuer}/token`, {
  method: "POST",
  headers: { authorization: `Basic ${btoa(`sales:${sales}`)}` },
  body: new URLSearchParams({ grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: callback }),
});
assert.equal(answer.status, 200, await answer.clone().text());
const { id_token } = await answer.json();
const [acme_sales, price_server] = ["acme-sales", "price-server"].map((id) => client(id).client_secret);
const { RAS: ras, PRICES: prices } = process.env;
console.log(JSON.stringify({ idp: issuer, ras, prices, id_token, sales, acme_sales, price_server }));
