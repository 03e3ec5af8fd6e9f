// The official JavaScript SDK, unmodified, against a running server: every call it has. Usage: node.mjs http://127.0.0.1:PORT
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const { OpenFgaClient } = createRequire(join(process.cwd(), "package.json"))("@openfga/sdk");
const apiUrl = process.argv[2];
const model = {
  schema_version: "1.1",
  type_definitions: [
    { type: "user", relations: {} },
    {
      type: "document",
      relations: { owner: { this: {} }, viewer: { union: { child: [{ this: {} }, { computedUserset: { relation: "owner" } }] } } },
      metadata: {
        relations: {
          owner: { directly_related_user_types: [{ type: "user" }] },
          viewer: { directly_related_user_types: [{ type: "user" }, { type: "user", wildcard: {} }] },
        },
      },
    },
  ],
};

const store = await new OpenFgaClient({ apiUrl }).createStore({ name: "js-sdk" });
let fga = new OpenFgaClient({ apiUrl, storeId: store.id });
assert.equal((await fga.getStore()).name, "js-sdk");
assert.ok((await fga.listStores({ name: "js-sdk" })).stores.some((s) => s.id === store.id));
const written = await fga.writeAuthorizationModel(model);
fga = new OpenFgaClient({ apiUrl, storeId: store.id, authorizationModelId: written.authorization_model_id });
assert.equal((await fga.readAuthorizationModel()).authorization_model.type_definitions.length, 2);
assert.equal((await fga.readLatestAuthorizationModel()).authorization_model.id, written.authorization_model_id);
assert.equal((await fga.readAuthorizationModels()).authorization_models.length, 1);

const anne = { user: "user:anne", relation: "owner", object: "document:1" };
await fga.write({ writes: [anne, { user: "user:*", relation: "viewer", object: "document:2" }] });
await assert.rejects(fga.writeTuples([anne]), /already exists/);
const check = async (user, object, more = {}) => (await fga.check({ user, relation: "viewer", object, ...more })).allowed;
assert.equal(await check("user:anne", "document:1"), true);
assert.equal(await check("user:bob", "document:1"), false);
assert.equal(await check("user:bob", "document:2"), true);
const given = { contextualTuples: [{ user: "user:bob", relation: "owner", object: "document:1" }] };
assert.equal(await check("user:bob", "document:1", given), true);
const batch = await fga.batchCheck({ checks: [{ user: "user:anne", relation: "viewer", object: "document:1", correlationId: "a" }] });
assert.equal(batch.result[0].allowed, true);
const asked = { user: "user:anne", relation: "viewer", type: "document" };
assert.deepEqual((await fga.listObjects(asked)).objects.sort(), ["document:1", "document:2"]);
if (fga.streamedListObjects) {
  const streamed = [];
  for await (const item of fga.streamedListObjects(asked)) streamed.push(item.object);
  assert.deepEqual(streamed.sort(), ["document:1", "document:2"]);
}
const relations = await fga.listRelations({ user: "user:anne", object: "document:1", relations: ["owner", "viewer"] });
assert.deepEqual(relations.relations.sort(), ["owner", "viewer"]);
const users = await fga.listUsers({ object: { type: "document", id: "1" }, relation: "viewer", user_filters: [{ type: "user" }] });
assert.equal(users.users[0].object.id, "anne");
assert.ok((await fga.expand({ relation: "viewer", object: "document:1" })).tree.root.union);
assert.equal((await fga.read()).tuples.length, 2);
await fga.deleteTuples([anne]);
assert.equal(await check("user:anne", "document:1"), false);
assert.equal((await fga.readChanges({ type: "document" })).changes.length, 3);
await fga.writeAssertions([{ user: "user:bob", relation: "viewer", object: "document:2", expectation: true }]);
assert.equal((await fga.readAssertions()).assertions.length, 1);
await fga.deleteStore();
await assert.rejects(fga.getStore());
console.log("javascript sdk: every call works");
