"""The identity assertion provider of the MCP SDK for Python: from an ID token of one domain to a resource of another.

A resource server stands here, which knows nothing but how to introspect.

Usage: python.py WORLD, the JSON file that `run` makes.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from mcp.client.auth import OAuthTokenError
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider

with open(sys.argv[1]) as file:
    world = json.load(file)
resource = world["prices"]
seen = []


def basic(client, secret):
    return "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()


class Resource(BaseHTTPRequestHandler):
    def do_GET(self):
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        told = {"active": False}
        if scheme == "Bearer":
            body = urllib.parse.urlencode({"token": token}).encode()
            headers = {"authorization": basic("price-server", world["price_server"])}
            request = urllib.request.Request(world["ras"] + "introspect", body, headers)
            told = json.load(urllib.request.urlopen(request))
            seen.append(told)
        good = told["active"] and resource in told["aud"] and "pricing:read" in told["scope"].split()
        self.send_response(200 if good else 401)
        if not good:
            self.send_header("www-authenticate", 'Bearer scope="pricing:read"')
        self.end_headers()
        self.wfile.write(json.dumps({"sub": told.get("sub"), "act": told.get("act")}).encode())

    def log_message(self, *_):
        pass


class Storage:
    tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens


shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
shown.load_cert_chain(os.environ["AUTHORITY"] + "/server.pem", os.environ["AUTHORITY"] + "/server.key")
server = ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(resource).port), Resource)
server.socket = shown.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def grant(audience, wanted, **change):
    """Leg 1: the SDK leaves it to the client."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
        "subject_token": world["id_token"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "audience": audience,
        "resource": wanted,
        "scope": "pricing:read",
    }
    async with httpx2.AsyncClient() as client:
        auth = {"authorization": basic("sales", world["sales"])}
        answer = await client.post(world["idp"] + "/token", data=form | change, headers=auth)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["token_type"] == "N_A" and "refresh_token" not in told, told
    return told["access_token"]


async def call(assertion, secret=None, scope="pricing:read"):
    provider = IdentityAssertionOAuthProvider(
        server_url=resource,
        storage=Storage(),
        client_id="acme-sales",
        client_secret=secret or world["acme_sales"],
        issuer=world["ras"],
        assertion_provider=assertion,
        scope=scope,
    )
    async with httpx2.AsyncClient(auth=provider) as client:
        return await client.get(resource)


async def refused(what, words):
    try:
        answer = await what
    except OAuthTokenError as error:
        assert words in str(error), f"{words}: {error}"
    else:
        raise AssertionError(f"{words}: {answer.status_code} {answer.text}")


async def main():
    grants = []

    async def fresh(audience, wanted):
        grants.append(await grant(audience, wanted))
        return grants[-1]

    async def again(*_):
        return grants[0]

    answer = await call(fresh)
    assert answer.status_code == 200, answer.text
    act = {"sub": "acme-sales", "act": {"sub": "sales", "iss": world["idp"]}}
    assert answer.json() == {"sub": "s-chen", "act": act}, answer.text
    assert (seen[-1]["acr"], seen[-1]["amr"], seen[-1]["scope"]) == ("aal2", ["pwd", "otp", "mfa"], "pricing:read"), seen[-1]
    await refused(call(again), "used before")
    await refused(call(fresh, secret="wrong"), "invalid_client")
    await refused(call(fresh, scope="pricing:write"), "invalid_scope")
    print("the Python SDK went from one domain to the other, and was refused where it should be")


asyncio.run(main())
