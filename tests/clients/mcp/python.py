"""The Python SDK of the Model Context Protocol against our MCP server and the gateway, in each version it speaks.

Usage: python.py WORLD, the JSON file that `run` makes.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

MODES = ["auto", "2026-07-28", "legacy"]


def connected(url, mode, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    http = httpx2.AsyncClient(headers=headers, timeout=30)
    return Client(streamable_http_client(url, http_client=http), mode=mode)


async def refused(awaitable, code):
    try:
        await awaitable
    except MCPError as error:
        assert error.error.code == code, error.error
        return error.error
    raise AssertionError(f"it was not refused with {code}")


async def own(url, mode, tokens):
    async with connected(url, mode, tokens["sarah_own"]) as client:
        tools = await client.list_tools()
        assert [tool.name for tool in tools.tools] == ["search", "check"], tools
        found = await client.call_tool("search", {"vector": [1, 0, 0], "k": 5})
        hits = [hit["object"] for hit in found.structured_content["hits"]]
        assert hits == ["document:plan", "document:handbook"], hits
        wrong = await client.call_tool("search", {"vector": [1]})
        assert wrong.is_error and "has 1 elements" in wrong.content[0].text, wrong
        listed = await client.list_resources()
        assert [str(resource.uri) for resource in listed.resources] == ["docs://handbook", "docs://plan"], listed
        read = await client.read_resource("docs://plan")
        assert read.contents[0].text == "The text of plan.", read
        denied = await refused(client.read_resource("docs://salaries"), -32001)
        assert denied.data["authorization"]["reason"] == "insufficient_authorization", denied
        templates = await client.list_resource_templates()
        assert templates.resource_templates[0].uri_template == "docs://{id}", templates
    async with connected(url, mode, tokens["bob_own"]) as client:
        found = await client.call_tool("search", {"vector": [1, 0, 0]})
        assert [hit["object"] for hit in found.structured_content["hits"]] == ["document:handbook"], found


async def gateway(url, mode, tokens):
    async with connected(url, mode, tokens["sarah_gateway"]) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "test_simple_text" in names and "hidden" not in names, names
        said = await client.call_tool("test_simple_text", {})
        assert said.content[0].text.startswith("This is a simple text"), said
        seen = []

        async def progress(progress, total, message):
            seen.append(progress)

        await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
        assert seen == [0, 50, 100], seen
        await refused(client.call_tool("hidden", {}), -32001)
        read = await client.read_resource("test://static-text")
        assert read.contents[0].text.startswith("This is the content"), read
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert prompt.messages[0].content.text == "Prompt with arguments: arg1='a', arg2='b'", prompt


async def challenges(urls, tokens):
    async with httpx2.AsyncClient(timeout=30) as http:
        for url in urls.values():
            answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            challenge = answer.headers["www-authenticate"]
            assert answer.status_code == 401 and challenge.startswith("Bearer "), challenge
            metadata = challenge.split('resource_metadata="')[1].split('"')[0]
            described = (await http.get(metadata)).json()
            assert described["resource"] == url, described
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "check", "arguments": {}}}
    poor = {"Authorization": f"Bearer {tokens['poor_own']}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(timeout=30, headers=poor) as http:
        answer = await http.post(urls["own"], json=call)
        challenge = answer.headers["www-authenticate"]
        assert answer.status_code == 403 and 'error="insufficient_scope"' in challenge, challenge
        assert 'scope="mcp:read mcp:check"' in challenge, challenge
        # A token for one of our servers opens no other.
        answer = await http.post(urls["gateway"], json=call)
        assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["www-authenticate"], answer


async def main(world):
    urls, tokens = world["urls"], world["tokens"]
    await challenges(urls, tokens)
    for mode in MODES:
        await own(urls["own"], mode, tokens)
        await gateway(urls["gateway"], mode, tokens)
        print(f"python: {mode}: our own server and the gateway")


with open(sys.argv[1]) as world:
    asyncio.run(main(json.load(world)))
