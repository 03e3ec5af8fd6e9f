"""The Token Vault of `auth0-ai` for Python against our vault, with the tokens that vault.mjs got.

vault.py ISSUER WORK, as `run` calls it
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from auth0_ai.authorizers.token_vault_authorizer import (
    TokenVaultAuthorizerBase,
    TokenVaultAuthorizerParams,
    get_access_token_from_token_vault,
)
from auth0_ai.interrupts.token_vault_interrupt import TokenVaultInterrupt

issuer, work = sys.argv[1], Path(sys.argv[2])
tokens = json.loads((work / "tokens.json").read_text())
auth0 = {
    "domain": urlsplit(issuer).netloc,
    "client_id": "sales",
    "client_secret": json.loads((work / "client.sales.json").read_text())["client_secret"],
}


def tool(connection, scopes=("contacts.read",), **source):
    params = TokenVaultAuthorizerParams(list(scopes), connection, **source)

    async def contacts():
        return get_access_token_from_token_vault()

    context = {"thread_id": "t", "tool_call_id": "c", "tool_name": "contacts"}
    return TokenVaultAuthorizerBase(params, auth0).protect(lambda: context, contacts)


async def interrupted(call):
    try:
        answer = await call()
    except TokenVaultInterrupt:
        return
    raise AssertionError(answer)


async def main():
    refresh, access = {"refresh_token": tokens["refresh_token"]}, {"access_token": tokens["access_token"]}
    for source in [refresh, access]:
        assert await tool("crm", **source)() == "the-token-of-sarah-at-the-crm"
    await interrupted(tool("crm", ["contacts.write"], **refresh))
    for connection in ["kept", "unknown"]:
        await interrupted(tool(connection, **refresh))
    print("ok 1 auth0-ai: a tool has the token of a connection, or is interrupted")


asyncio.run(main())
