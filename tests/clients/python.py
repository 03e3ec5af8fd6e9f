"""The official Python SDK, unmodified, against a running server: every call it has, with the options that change what is
sent. A call that the SDK gains and this file does not make is an error. Usage: python.py https://127.0.0.1:PORT"""

import asyncio
import inspect
import sys

from openfga_sdk import ClientConfiguration, OpenFgaClient
from openfga_sdk.client.models import (
    ClientAssertion,
    ClientBatchCheckItem,
    ClientBatchCheckRequest,
    ClientCheckRequest,
    ClientExpandRequest,
    ClientListObjectsRequest,
    ClientListRelationsRequest,
    ClientReadChangesRequest,
    ClientTuple,
    ClientWriteRequest,
    ClientWriteRequestOnDuplicateWrites,
    ClientWriteRequestOnMissingDeletes,
    ConflictOptions,
    WriteTransactionOpts,
)
from openfga_sdk.client.models.list_users_request import ClientListUsersRequest
from openfga_sdk.exceptions import ApiException
from openfga_sdk.models import ConsistencyPreference, FgaObject, ReadRequestTupleKey, RelationshipCondition, UserTypeFilter
from openfga_sdk.models.create_store_request import CreateStoreRequest
from openfga_sdk.models.write_authorization_model_request import WriteAuthorizationModelRequest


def relation(*types):
    return {"directly_related_user_types": list(types)}


MODEL = {
    "schema_version": "1.1",
    "type_definitions": [
        {"type": "user", "relations": {}},
        {
            "type": "group",
            "relations": {"member": {"this": {}}},
            "metadata": {"relations": {"member": relation({"type": "user"})}},
        },
        {
            "type": "document",
            "relations": {
                "editor": {"this": {}},
                "viewer": {"union": {"child": [{"this": {}}, {"computedUserset": {"relation": "editor"}}]}},
            },
            "metadata": {
                "relations": {
                    "editor": relation({"type": "user"}),
                    "viewer": relation(
                        {"type": "user"},
                        {"type": "user", "wildcard": {}},
                        {"type": "group", "relation": "member"},
                        {"type": "user", "condition": "small"},
                    ),
                }
            },
        },
    ],
    "conditions": {
        "small": {"name": "small", "expression": "x < 10", "parameters": {"x": {"type_name": "TYPE_NAME_INT"}}}
    },
}


class Counted:
    """Passes calls on, and remembers which were made."""

    def __init__(self, client):
        self.client, self.made = client, set()

    def __getattr__(self, name):
        self.made.add(name)
        return getattr(self.client, name)

    def check_complete(self):
        calls = {n for n, _ in inspect.getmembers(OpenFgaClient, inspect.isfunction) if not n.startswith("_")}
        left = calls - self.made - {"close"}
        assert not left, f"calls that were not made: {sorted(left)}"


async def refused(call, text):
    try:
        await call
    except ApiException as error:
        assert error.status == 400 and text in str(error), error
    else:
        raise AssertionError(f"was taken, and should say: {text}")


async def writes(fga):
    """Transactions, writes one by one, and what to do with tuples that exist or do not."""
    one, two = [ClientTuple(user=f"user:{n}", relation="editor", object="document:w") for n in ("one", "two")]
    ignore = ConflictOptions(
        on_duplicate_writes=ClientWriteRequestOnDuplicateWrites.IGNORE,
        on_missing_deletes=ClientWriteRequestOnMissingDeletes.IGNORE,
    )
    await fga.write(ClientWriteRequest(writes=[one]))
    await refused(fga.write(ClientWriteRequest(writes=[one, two])), "already exists")
    await refused(fga.write(ClientWriteRequest(deletes=[one, two])), "does not exist")
    await fga.write(ClientWriteRequest(writes=[one, two]), {"conflict": ignore})
    apart = {"transaction": WriteTransactionOpts(disabled=True, max_per_chunk=1, max_parallel_requests=2)}
    three = ClientTuple(user="user:three", relation="editor", object="document:w")
    response = await fga.write(ClientWriteRequest(writes=[two, three], deletes=[one]), apart)
    assert [w.success for w in response.writes] == [False, True], response.writes
    assert [d.success for d in response.deletes] == [True], response.deletes
    await fga.write(ClientWriteRequest(deletes=[one, two, three]), {"conflict": ignore})
    await fga.write_tuples([one], {"conflict": ignore})
    await fga.delete_tuples([one, two], {"conflict": ignore})
    await refused(fga.delete_tuples([one]), "does not exist")


async def changes(fga):
    """Pages of changes, by type and from a time."""
    from datetime import datetime, timedelta, timezone

    body, token, seen = ClientReadChangesRequest(type="document"), None, []
    for _ in range(50):
        options = {"page_size": 3} | ({"continuation_token": token} if token else {})
        page = await fga.read_changes(body, options)
        seen += page.changes
        if not page.changes:
            break
        token = page.continuation_token
    whole = (await fga.read_changes(body, {"page_size": 100})).changes
    assert [(c.tuple_key.object, c.operation) for c in seen] == [(c.tuple_key.object, c.operation) for c in whole]
    now = datetime.now(timezone.utc)
    early = (now - timedelta(hours=1)).isoformat()
    assert len((await fga.read_changes(ClientReadChangesRequest("document", early), {"page_size": 100})).changes) == len(whole)
    late = (now + timedelta(hours=1)).isoformat()
    await refused(fga.read_changes(ClientReadChangesRequest("document", late)), "value must be less than now")


async def main(url):
    async with OpenFgaClient(ClientConfiguration(api_url=url)) as client:
        fga = Counted(client)
        store = await fga.create_store(CreateStoreRequest(name="python-sdk"))
        fga.set_store_id(store.id)
        assert fga.get_store_id() == store.id
        assert (await fga.get_store()).name == "python-sdk"
        assert store.id in [s.id for s in (await fga.list_stores({"page_size": 50})).stores]
        model = await fga.write_authorization_model(WriteAuthorizationModelRequest(**MODEL))
        fga.set_authorization_model_id(model.authorization_model_id)
        assert fga.get_authorization_model_id() == model.authorization_model_id
        read = (await fga.read_authorization_model()).authorization_model
        assert [t.type for t in read.type_definitions] == ["user", "group", "document"], read
        assert (await fga.read_latest_authorization_model()).authorization_model.id == model.authorization_model_id
        assert len((await fga.read_authorization_models()).authorization_models) == 1

        small = RelationshipCondition(name="small", context={})
        tuples = [
            ClientTuple(user="user:anne", relation="editor", object="document:1"),
            ClientTuple(user="group:eng#member", relation="viewer", object="document:2"),
            ClientTuple(user="user:bob", relation="member", object="group:eng"),
            ClientTuple(user="user:*", relation="viewer", object="document:3"),
            ClientTuple(user="user:carl", relation="viewer", object="document:4", condition=small),
        ]
        await fga.write(ClientWriteRequest(writes=tuples))
        try:
            await fga.write_tuples(tuples[:1])
            raise AssertionError("a duplicate was taken")
        except ApiException as error:
            assert error.status == 400 and "already exists" in str(error), error

        async def check(user, obj, **more):
            return (await fga.check(ClientCheckRequest(user=user, relation="viewer", object=obj, **more))).allowed

        assert await check("user:anne", "document:1")
        assert await check("user:bob", "document:2")
        assert not await check("user:anne", "document:2")
        assert await check("user:anyone", "document:3")
        assert await check("user:carl", "document:4", context={"x": 5})
        assert not await check("user:carl", "document:4", context={"x": 50})
        extra = [ClientTuple(user="user:anne", relation="member", object="group:eng")]
        assert await check("user:anne", "document:2", contextual_tuples=extra)
        try:
            await check("user:carl", "document:4")
            raise AssertionError("a missing parameter was taken for an answer")
        except ApiException as error:
            assert "missing context parameters" in str(error), error

        items = [
            ClientBatchCheckItem(user=u, relation="viewer", object="document:1", correlation_id=u[5:])
            for u in ("user:anne", "user:bob")
        ]
        batch = await fga.batch_check(ClientBatchCheckRequest(checks=items))
        assert {r.correlation_id: r.allowed for r in batch.result} == {"anne": True, "bob": False}
        each = [ClientCheckRequest(user=u, relation="viewer", object="document:1") for u in ("user:anne", "user:bob")]
        apart = await fga.client_batch_check(each, {"max_parallel_requests": 2})
        assert sorted(r.allowed for r in apart) == [False, True], apart
        many = [
            ClientBatchCheckItem(user=f"user:{n}", relation="viewer", object="document:1", contextual_tuples=t)
            for n in range(70)
            for t in ([], [ClientTuple(user=f"user:{n}", relation="editor", object="document:1")])
        ]
        batch = await fga.batch_check(ClientBatchCheckRequest(checks=many), {"max_batch_size": 40})
        assert [r.allowed for r in batch.result].count(True) == 70 and len(batch.result) == 140
        newest = {"consistency": ConsistencyPreference.HIGHER_CONSISTENCY}
        assert (await fga.check(ClientCheckRequest(user="user:anne", relation="viewer", object="document:1"), newest)).allowed

        listed = ClientListObjectsRequest(user="user:bob", relation="viewer", type="document")
        given = ClientListObjectsRequest(
            user="user:dora",
            relation="viewer",
            type="document",
            context={"x": 1},
            contextual_tuples=[
                ClientTuple(user="user:dora", relation="viewer", object="document:9", condition=small),
                ClientTuple(user="user:dora", relation="member", object="group:eng"),
            ],
        )
        for objects in (await fga.list_objects(given, newest)).objects, [r.object async for r in fga.streamed_list_objects(given)]:
            assert sorted(objects) == ["document:2", "document:3", "document:9"], objects
        assert sorted((await fga.list_objects(listed)).objects) == ["document:2", "document:3"]
        streamed = [r.object async for r in fga.streamed_list_objects(listed)]
        assert sorted(streamed) == ["document:2", "document:3"], streamed
        relations = ClientListRelationsRequest(user="user:anne", relations=["viewer", "editor"], object="document:1")
        assert sorted(await fga.list_relations(relations)) == ["editor", "viewer"]
        users = await fga.list_users(
            ClientListUsersRequest(
                object=FgaObject(type="document", id="2"), relation="viewer", user_filters=[UserTypeFilter(type="user")]
            )
        )
        assert [u.object.id for u in users.users] == ["bob"], users
        wanted = {"relation": "viewer", "context": {"x": 1}}
        for number, kind, expected in (("2", "group#member", "userset"), ("3", "user", "wildcard"), ("4", "user", "object")):
            kind, _, of = kind.partition("#")
            filters = [UserTypeFilter(type=kind, relation=of or None)]
            asked = ClientListUsersRequest(object=FgaObject(type="document", id=number), user_filters=filters, **wanted)
            users = await fga.list_users(asked)
            assert len(users.users) == 1 and getattr(users.users[0], expected), users
        tree = await fga.expand(ClientExpandRequest(relation="viewer", object="document:1"))
        assert tree.tree.root.union is not None, tree

        page = await fga.read(ReadRequestTupleKey(), {"page_size": 2})
        seen = list(page.tuples)
        while page.continuation_token:
            options = {"page_size": 2, "continuation_token": page.continuation_token}
            page = await fga.read(ReadRequestTupleKey(), options)
            seen += page.tuples
        assert [t.key.object for t in seen] == [t.object for t in tuples], seen
        assert len((await fga.read(ReadRequestTupleKey(object="document:2"))).tuples) == 1
        for key, count in (({"object": "document:", "user": "user:*"}, 1), ({"object": "document:4", "relation": "viewer"}, 1)):
            assert len((await fga.read(ReadRequestTupleKey(**key))).tuples) == count, key
        await fga.delete_tuples([tuples[0]])
        assert not await check("user:anne", "document:1")
        made = (await fga.read_changes(ClientReadChangesRequest(type="document"))).changes
        assert [c.operation for c in made][-1] == "TUPLE_OPERATION_DELETE" and len(made) == 5, made
        await writes(fga)
        await changes(fga)

        assertion = ClientAssertion(user="user:bob", relation="viewer", object="document:2", expectation=True)
        await fga.write_assertions([assertion])
        assert (await fga.read_assertions()).assertions[0].expectation
        path = {"path_params": {"store_id": store.id}}
        raw = await fga.execute_api_request(operation_name="GetStore", method="GET", path="/stores/{store_id}", **path)
        assert raw.json()["id"] == store.id, raw
        body = {"type": "document", "relation": "viewer", "user": "user:bob"}
        path |= {"path": "/stores/{store_id}/streamed-list-objects", "method": "POST", "body": body}
        lines = [line async for line in fga.execute_streamed_api_request(operation_name="Streamed", **path)]
        assert len(lines) == 2, lines
        await fga.delete_store()
        try:
            await fga.get_store()
            raise AssertionError("the store is still there")
        except ApiException as error:
            assert error.status == 404, error
        fga.check_complete()
    print("python sdk: every call works")


asyncio.run(main(sys.argv[1]))
