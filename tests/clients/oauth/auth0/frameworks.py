"""`auth0-ai-langchain` and `auth0-ai-llamaindex` against our issuer, our vault and our engine: tools in a graph of LangGraph and
tools of LlamaIndex, and retrievers of both.

frameworks.py ISSUER WORK, as `run` calls it; FGA is the URL of the engine
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.parse import urlsplit

warnings.showwarning = lambda *_, **__: None  # LangGraph warns of itself, over every filter
import auth0_ai_langchain.async_authorization as langchain_async
import auth0_ai_langchain.auth0_ai as langchain
import auth0_ai_langchain.token_vault as langchain_vault
import auth0_ai_llamaindex.async_authorization as llamaindex_async
import auth0_ai_llamaindex.auth0_ai as llamaindex
import auth0_ai_llamaindex.token_vault as llamaindex_vault
from auth0_ai.interrupts.async_authorization_interrupts import AccessDeniedInterrupt
from auth0_ai_langchain import FGARetriever as DocumentRetriever
from auth0_ai_llamaindex import FGARetriever as FGANodeRetriever
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from llama_index.core.retrievers import BaseRetriever as NodeRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from openfga_sdk import ClientConfiguration
from openfga_sdk.client.models import ClientBatchCheckItem, ClientTuple, ClientWriteRequest
from openfga_sdk.credentials import CredentialConfiguration, Credentials
from openfga_sdk.models import CreateStoreRequest, WriteAuthorizationModelRequest
from openfga_sdk.sync import OpenFgaClient

issuer, work = sys.argv[1], Path(sys.argv[2])
API = "https://api.example/"
person = Path(__file__).parent.parent / "person.mjs"
sarah = json.loads((work / "user.json").read_text())["id"]
tokens = json.loads((work / "tokens.json").read_text())  # of vault.mjs


def secret(client):
    return json.loads((work / f"client.{client}.json").read_text())["client_secret"]


auth0 = {"domain": urlsplit(issuer).netloc, "client_id": "sales", "client_secret": secret("sales")}
asked = {"audience": API, "requested_expiry": 60, "user_id": sarah}


def decide(*decisions):
    """`approve` or `deny`, and what."""
    subprocess.run(["node", person, issuer, work, *decisions], check=True)


def claims(token):
    payload = token.split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return told["sub"], told["act"]["sub"], told["scope"]


class Thread:
    """One of a graph that has one tool: says the answer, or the code of what interrupted it."""

    def __init__(self, number, one, **credentials):
        graph = StateGraph(MessagesState).add_node("tools", ToolNode([one], handle_tool_errors=False))
        self.graph = graph.add_edge("__start__", "tools").compile(checkpointer=MemorySaver())
        self.name = one.name
        self.config = {"configurable": {"thread_id": f"thread {number}", "_credentials": credentials}}

    async def begin(self, **args):
        call = {"name": self.name, "args": args, "id": "call", "type": "tool_call"}
        return await self.go_on({"messages": [AIMessage(content="", tool_calls=[call])]})

    async def go_on(self, values=None):
        answer = await self.graph.ainvoke(values, self.config)
        interrupts = [i for task in (await self.graph.aget_state(self.config)).tasks for i in task.interrupts]
        return interrupts[0].value["code"] if interrupts else answer["messages"][-1].content


async def with_langchain():
    ai = langchain.Auth0AI(auth0)

    @ai.with_async_authorization(scopes=["read"], binding_message=lambda to: f"send to {to}", **asked)
    @tool
    def send(to: str) -> str:
        """Sends."""
        return json.dumps([to, langchain_async.get_async_authorization_credentials()["access_token"]])

    approved, denied = Thread(1, send), Thread(2, send)
    for thread, to in [(approved, "pygraph 1"), (denied, "pygraph 2")]:
        assert await thread.begin(to=to) == "ASYNC_AUTHORIZATION_PENDING"
    decide("approve", "send to pygraph 1", "deny", "send to pygraph 2")
    to, token = json.loads(await approved.go_on())
    assert (to, *claims(token)) == ("pygraph 1", sarah, "sales", "openid read"), token
    try:
        raise AssertionError(await denied.go_on())
    except AccessDeniedInterrupt:
        print("ok 1 auth0-ai-langchain: a graph waits for a person, who approves or denies")

    def contacts(connection="crm", scopes=("contacts.read",)):
        @ai.with_token_vault(connection=connection, scopes=list(scopes))
        @tool
        def contacts() -> str:
            """Contacts."""
            return langchain_vault.get_access_token_from_token_vault()

        return contacts

    refresh = tokens["refresh_token"]
    assert await Thread(3, contacts(), refresh_token=refresh).begin() == "the-token-of-sarah-at-the-crm"
    wrong = [(contacts(scopes=["contacts.write"]), refresh), (contacts("kept"), refresh), (contacts("unknown"), refresh)]
    for number, (one, token) in enumerate([*wrong, (contacts(), f"{refresh}x")], 4):
        assert await Thread(number, one, refresh_token=token).begin() == "TOKEN_VAULT_ERROR"
    print("ok 2 auth0-ai-langchain: a graph has the token of a connection, or is interrupted")


async def with_llamaindex():
    ai = llamaindex.Auth0AI(auth0)
    llamaindex.set_ai_context("thread")

    def send(to: str) -> list:
        return [to, llamaindex_async.get_async_authorization_credentials()["access_token"]]

    # A call of LlamaIndex cannot go on after an interrupt, because the package names each anew: it blocks.
    sends = ai.with_async_authorization(
        scopes=["read"], binding_message=lambda to: f"send to {to}", on_authorization_request="block", **asked
    )(FunctionTool.from_defaults(name="send", description="Sends", fn=send))
    approved, denied = [asyncio.create_task(sends.acall(to=f"llama {n}")) for n in [1, 2]]
    await asyncio.sleep(0)  # to their first sleep: each has asked, and was told to wait
    decide("approve", "send to llama 1", "deny", "send to llama 2")
    to, token = (await approved).raw_output.raw_output  # the package's tool, around ours
    assert (to, *claims(token)) == ("llama 1", sarah, "sales", "openid read"), token
    try:
        raise AssertionError(await denied)
    except AccessDeniedInterrupt:
        print("ok 3 auth0-ai-llamaindex: a tool waits for a person, who approves or denies")

    async def contacts(connection="crm", scopes=("contacts.read",), refresh_token=tokens["refresh_token"]):
        vault = ai.with_token_vault(connection=connection, scopes=list(scopes), refresh_token=lambda: refresh_token)
        one = FunctionTool.from_defaults(name="contacts", description="Contacts", fn=llamaindex_vault.get_access_token_from_token_vault)
        return (await vault(one).acall()).raw_output.raw_output

    assert (found := (await contacts())) == "the-token-of-sarah-at-the-crm", found
    wrong = [{"scopes": ["contacts.write"]}, {"connection": "kept"}, {"connection": "unknown"}]
    for change in [*wrong, {"refresh_token": tokens["refresh_token"] + "x"}]:
        try:
            raise AssertionError(await contacts(**change))
        except llamaindex_vault.TokenVaultInterrupt:
            pass
    print("ok 4 auth0-ai-llamaindex: a tool has the token of a connection, or is interrupted")


ALL = ["plan", "salaries", "notes"]


class Documents(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(id=name, page_content=f"the {name}") for name in ALL]


class Nodes(NodeRetriever):
    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(id_=name, text=f"the {name}"), score=1.0) for name in ALL]


def name_of(one):
    return one.id if isinstance(one, Document) else one.id_


def engine(store_id=None, client_secret=None):
    """As the SDK of OpenFGA asks, with a token for the credentials of a client."""
    found = CredentialConfiguration(
        api_issuer=issuer.rstrip("/"), api_audience=API, client_id="retriever", client_secret=client_secret or secret("retriever")
    )
    credentials = Credentials(method="client_credentials", configuration=found)
    authority = os.environ["SSL_CERT_FILE"]
    return ClientConfiguration(api_url=os.environ["FGA"], store_id=store_id, credentials=credentials, ssl_ca_cert=authority)


def retrieve():
    with OpenFgaClient(engine()) as fga:
        store = fga.create_store(CreateStoreRequest(name="retrieved by Python")).id
    direct = {"relations": {"viewer": {"directly_related_user_types": [{"type": "user"}]}}}
    document = {"type": "document", "relations": {"viewer": {"this": {}}}, "metadata": direct}
    plan, notes, salaries = [
        ClientTuple(user=f"user:{who}", relation="viewer", object=f"document:{what}")
        for who, what in [("sarah", "plan"), ("sarah", "notes"), ("bob", "salaries")]
    ]
    with OpenFgaClient(engine(store)) as fga:
        fga.write_authorization_model(
            WriteAuthorizationModelRequest(schema_version="1.1", type_definitions=[{"type": "user"}, document])
        )
        fga.write(ClientWriteRequest(writes=[plan, notes, salaries]))

    def found(who, client_secret=None):
        def query(one):
            return ClientBatchCheckItem(user=f"user:{who}", relation="viewer", object=f"document:{name_of(one)}")

        config = engine(store, client_secret)
        documents = DocumentRetriever(Documents(), query, config).invoke("what is there?")
        nodes = FGANodeRetriever(Nodes(), query, config).retrieve("what is there?")
        return [name_of(one) for one in documents], [name_of(one) for one in nodes]

    for who, seen in [("sarah", ["plan", "notes"]), ("bob", ["salaries"]), ("eve", [])]:
        assert found(who) == (seen, seen), found(who)
    with OpenFgaClient(engine(store)) as fga:
        fga.write(ClientWriteRequest(deletes=[plan]))
    assert found("sarah") == (["notes"], ["notes"]), found("sarah")  # at once
    try:
        raise AssertionError(found("sarah", client_secret="wrong"))
    except AssertionError:
        raise
    except Exception as error:
        assert "401" in str(error) or "auth" in str(error).lower(), error
    print("ok 5 auth0-ai-langchain, auth0-ai-llamaindex: retrievers find what somebody may see, and no longer what they may not")


asyncio.run(with_langchain())
asyncio.run(with_llamaindex())
retrieve()
