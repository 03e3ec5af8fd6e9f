"""`auth0-ai` for Python against our issuer, as it is: an agent's tool that must be allowed by a person (CIBA).

auth0_client.py ISSUER WORK, as `run` calls it
"""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from auth0_ai.authorizers.async_authorization.async_authorizer_base import (
    AsyncAuthorizerBase,
    get_async_authorization_credentials,
)
from auth0_ai.interrupts.async_authorization_interrupts import (
    AccessDeniedInterrupt,
    AuthorizationPendingInterrupt,
    AuthorizationPollingInterrupt,
)

issuer, work = sys.argv[1], Path(sys.argv[2])
API = "https://api.example/"
person = Path(__file__).parent.parent / "person.mjs"
sarah = json.loads((work / "user.json").read_text())["id"]
auth0 = {
    "domain": urlsplit(issuer).netloc,
    "client_id": "sales",
    "client_secret": json.loads((work / "client.sales.json").read_text())["client_secret"],
}


def decide(what, decision):
    subprocess.run(["node", person, issuer, work, decision, what], check=True)


def tool(message):
    authorizer = AsyncAuthorizerBase(
        {"scopes": ["read"], "audience": API, "requested_expiry": 60, "user_id": sarah, "binding_message": message},
        auth0,
    )

    async def send(to):
        return to, get_async_authorization_credentials()

    return authorizer.protect(lambda to: {"thread_id": "t", "tool_call_id": message, "tool_name": "send"}, send)


async def interrupted(call, kind):
    try:
        answer = await call
    except kind as interrupt:
        return interrupt
    raise AssertionError(f"{answer} instead of {kind}")


async def main():
    send, never = tool("send 4721"), tool("send 4722")
    await interrupted(send("acme"), AuthorizationPendingInterrupt)
    await interrupted(send("acme"), AuthorizationPollingInterrupt)
    await interrupted(never("acme"), AuthorizationPendingInterrupt)
    decide("send 4721", "approve")
    decide("send 4722", "deny")
    to, token = await send("acme")
    payload = token["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (to, claims["sub"], claims["act"]["sub"]) == ("acme", sarah, "sales"), claims
    print("ok 1 auth0-ai: a tool waits for a person, who approves")
    await interrupted(never("acme"), AccessDeniedInterrupt)
    print("ok 2 auth0-ai: a person denies")


asyncio.run(main())
