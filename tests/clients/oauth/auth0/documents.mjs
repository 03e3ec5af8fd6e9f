// Documents that somebody may see, and how the packages of Auth0 ask the engine for them: as the SDK of OpenFGA does, with a token
// for the credentials of a client.
import { client, issuer, load } from "../world.mjs";

const apiUrl = process.env.FGA;

/** The engine, and `params` of a store in it for a package of Auth0; `secret` is the client's. */
export async function engine(secret = client("retriever").client_secret) {
  const { CredentialsMethod, OpenFgaClient } = await load("@openfga/sdk");
  const config = { apiTokenIssuer: new URL(issuer).host, apiAudience: "https://api.example/", clientId: "retriever", clientSecret: secret };
  const params = (storeId) => ({ apiUrl, storeId, credentials: { method: CredentialsMethod.ClientCredentials, config } });
  return { OpenFgaClient, params };
}

/** A store in which Sarah sees the plan and the notes, and not the salaries. */
export async function documents({ OpenFgaClient, params }) {
  const { id: store } = await new OpenFgaClient({ apiUrl }).createStore({ name: "retrieved" });
  const fga = new OpenFgaClient(params(store));
  await fga.writeAuthorizationModel({
    schema_version: "1.1",
    type_definitions: [
      { type: "user" },
      {
        type: "document",
        relations: { viewer: { this: {} } },
        metadata: { relations: { viewer: { directly_related_user_types: [{ type: "user" }] } } },
      },
    ],
  });
  const tuple = (who, what) => ({ user: `user:${who}`, relation: "viewer", object: `document:${what}` });
  await fga.write({ writes: [tuple("sarah", "plan"), tuple("sarah", "notes"), tuple("bob", "salaries")] });
  return { store, fga };
}
