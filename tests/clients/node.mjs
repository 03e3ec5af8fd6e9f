// The official JavaScript SDK, unmodified, against a running server: every call it has. Usage: node.mjs https://127.0.0.1:PORT
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const { OpenFgaClient, ConsistencyPreference, ClientWriteRequestOnDuplicateWrites, ClientWriteRequestOnMissingDeletes } =
  createRequire(join(process.cwd(), "package.json"))("@openfga/sdk");
const made = new Set();
const counted = (client) =>
  new Proxy(client, {
    get(target, name) {
      made.add(name);
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
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
          viewer: { directly_related_user_types: [{ type: "user" }, { type: "user", wildcard: {} }, { type: "user", condition: "small" }] },
        },
      },
    },
  ],
  conditions: { small: { name: "small", expression: "x < 5", parameters: { x: { type_name: "TYPE_NAME_INT" } } } },
};

const store = await counted(new OpenFgaClient({ apiUrl })).createStore({ name: "js-sdk" });
let fga = counted(new OpenFgaClient({ apiUrl, storeId: store.id }));
assert.equal((await fga.getStore()).name, "js-sdk");
assert.ok((await fga.listStores({ name: "js-sdk" })).stores.some((s) => s.id === store.id));
const written = await fga.writeAuthorizationModel(model);
fga = counted(new OpenFgaClient({ apiUrl, storeId: store.id, authorizationModelId: written.authorization_model_id }));
await fga.checkValidApiConnection();
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
const clientBatch = await fga.clientBatchCheck([{ user: "user:bob", relation: "viewer", object: "document:1" }]);
assert.equal(clientBatch.result[0].allowed, false);
const both = ["user:bob", "user:anne"].map((user) => ({ user, relation: "viewer", object: "document:1" }));
const large = await fga.batchCheck({ checks: Array.from({ length: 120 }, (_, n) => ({ ...both[n % 2], correlationId: `item-${n}` })) }, { maxBatchSize: 50, consistency: ConsistencyPreference.HigherConsistency });
assert.equal(large.result.filter((r) => r.allowed).length, 60);
const single = { checks: [{ tuple_key: both[1], correlation_id: "one" }] };
assert.equal((await fga.singleBatchCheck(single)).result.one.allowed, true);
const guarded = { user: "user:carl", relation: "viewer", object: "document:3", condition: { name: "small", context: {} } };
await fga.writeTuples([guarded]);
assert.equal(await check("user:carl", "document:3", { context: { x: 1 } }), true);
assert.equal(await check("user:carl", "document:3", { context: { x: 9 } }), false);
await assert.rejects(check("user:carl", "document:3"), /missing context parameters/);
await fga.deleteTuples([{ user: "user:carl", relation: "viewer", object: "document:3" }]);
const asked = { user: "user:anne", relation: "viewer", type: "document" };
assert.deepEqual((await fga.listObjects(asked)).objects.sort(), ["document:1", "document:2"]);
const streamed = [];
for await (const item of fga.streamedListObjects(asked)) streamed.push(item.object);
assert.deepEqual(streamed.sort(), ["document:1", "document:2"]);
const contextual = { ...asked, contextualTuples: [guarded, { ...guarded, user: "user:anne" }], context: { x: 1 } };
assert.deepEqual((await fga.listObjects(contextual)).objects.sort(), ["document:1", "document:2", "document:3"]);
const relations = await fga.listRelations({ user: "user:anne", object: "document:1", relations: ["owner", "viewer"] });
assert.deepEqual(relations.relations.sort(), ["owner", "viewer"]);
const users = await fga.listUsers({ object: { type: "document", id: "1" }, relation: "viewer", user_filters: [{ type: "user" }] });
assert.equal(users.users[0].object.id, "anne");
assert.ok((await fga.expand({ relation: "viewer", object: "document:1" })).tree.root.union);
assert.equal((await fga.read()).tuples.length, 2);
await fga.deleteTuples([anne]);
assert.equal(await check("user:anne", "document:1"), false);
assert.equal((await fga.readChanges({ type: "document" })).changes.length, 5);
const first = await fga.readChanges({ type: "document" }, { pageSize: 2 });
const rest = await fga.readChanges({ type: "document" }, { pageSize: 50, continuationToken: first.continuation_token });
assert.equal(first.changes.length + rest.changes.length, 5);
const future = new Date(Date.now() + 3600e3).toISOString();
await assert.rejects(fga.readChanges({ type: "document", startTime: future }), /value must be less than now/);
const past = new Date(Date.now() - 3600e3).toISOString();
assert.equal((await fga.readChanges({ type: "document", startTime: past })).changes.length, 5);

// Transactions, writes one by one, and what to do with tuples that exist or do not.
const [one, two] = ["one", "two"].map((name) => ({ user: `user:${name}`, relation: "owner", object: "document:w" }));
const ignore = { conflict: { onDuplicateWrites: ClientWriteRequestOnDuplicateWrites.Ignore, onMissingDeletes: ClientWriteRequestOnMissingDeletes.Ignore } };
await fga.write({ writes: [one] });
await assert.rejects(fga.write({ writes: [one, two] }), /already exists/);
await fga.write({ writes: [one, two] }, ignore);
const apart = await fga.write({ writes: [two], deletes: [one] }, { transaction: { disable: true, maxPerChunk: 1 } });
assert.equal(apart.writes[0].status, "failure");
assert.equal(apart.deletes[0].status, "success");
await assert.rejects(fga.deleteTuples([one, two]), /does not exist/);
await fga.deleteTuples([one, two], { conflict: { onMissingDeletes: ClientWriteRequestOnMissingDeletes.Ignore } });
const page = await fga.read({}, { pageSize: 1 });
assert.equal(page.tuples.length, 1);
await fga.writeAssertions([{ user: "user:bob", relation: "viewer", object: "document:2", expectation: true }]);
assert.equal((await fga.readAssertions()).assertions.length, 1);
const raw = await fga.executeApiRequest({ operationName: "GetStore", method: "GET", path: "/stores/{store_id}", pathParams: { store_id: store.id } });
assert.ok(JSON.stringify(raw).includes(store.id));
const stream = await fga.executeStreamedApiRequest({ operationName: "Streamed", method: "POST", path: "/stores/{store_id}/streamed-list-objects", pathParams: { store_id: store.id }, body: asked });
assert.ok(stream);
const calls = Object.getOwnPropertyNames(OpenFgaClient.prototype).filter((n) => !["constructor", "getStoreId", "getAuthorizationModelId"].includes(n));
made.add("deleteStore");
assert.deepEqual(calls.filter((n) => !made.has(n)), [], "calls that were not made");
await fga.deleteStore();
await assert.rejects(fga.getStore());
console.log("javascript sdk: every call works");
