"""The official Python SDK, unmodified, against a running server: every call it has. Usage: python.py http://127.0.0.1:PORT"""

import asyncio
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
)
from openfga_sdk.client.models.list_users_request import ClientListUsersRequest
from openfga_sdk.exceptions import ApiException
from openfga_sdk.models import FgaObject, ReadRequestTupleKey, RelationshipCondition, UserTypeFilter
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


async def main(url):
    async with OpenFgaClient(ClientConfiguration(api_url=url)) as fga:
        store = await fga.create_store(CreateStoreRequest(name="python-sdk"))
        fga.set_store_id(store.id)
        assert (await fga.get_store()).name == "python-sdk"
        assert store.id in [s.id for s in (await fga.list_stores({"page_size": 50})).stores]
        model = await fga.write_authorization_model(WriteAuthorizationModelRequest(**MODEL))
        fga.set_authorization_model_id(model.authorization_model_id)
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
        await fga.client_batch_check([ClientCheckRequest(user="user:anne", relation="viewer", object="document:1")])

        listed = ClientListObjectsRequest(user="user:bob", relation="viewer", type="document")
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
        await fga.delete_tuples([tuples[0]])
        assert not await check("user:anne", "document:1")
        changes = (await fga.read_changes(ClientReadChangesRequest(type="document"))).changes
        assert [c.operation for c in changes][-1] == "TUPLE_OPERATION_DELETE" and len(changes) == 5, changes

        assertion = ClientAssertion(user="user:bob", relation="viewer", object="document:2", expectation=True)
        await fga.write_assertions([assertion])
        assert (await fga.read_assertions()).assertions[0].expectation
        await fga.delete_store()
        try:
            await fga.get_store()
            raise AssertionError("the store is still there")
        except ApiException as error:
            assert error.status == 404, error
    print("python sdk: every call works")


asyncio.run(main(sys.argv[1]))
