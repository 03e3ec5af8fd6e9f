"""An MCP server with an authorization server of its own, both the SDK of the Model Context Protocol for Python, in a domain that is
not ours: it redeems the identity assertions (ID-JAG) that our issuer makes, as `auth-md` verifies them, and the client is the SDK's.

foreign.py ISSUER WORK, as `run` calls it; FOREIGN is the issuer there, to which the managed connection `abroad` leads
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import uvicorn
from auth_md import AgentAuthError, MemoryJtiStore, verify_id_jag
from mcp import Client
from mcp.client.auth import OAuthTokenError
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, OAuthAuthorizationServerProvider, TokenError
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import JWT_BEARER_GRANT_TYPE, OAuthClientInformationFull, OAuthToken

issuer, work, foreign = sys.argv[1], Path(sys.argv[2]), os.environ["FOREIGN"]
resource = f"{foreign}/mcp"
person = Path(__file__).parent / "person.mjs"
CALLBACK, VERIFIER = "http://127.0.0.1:1/cb", secrets.token_urlsafe(48)
SECRETS = {"acme-sales": (work / "abroad.secret").read_text().strip(), "other-sales": secrets.token_urlsafe(32)}
roaming = json.loads((work / "client.roaming.json").read_text())["client_secret"]
ulla = json.loads((work / "ulla.json").read_text())["id"]


class Abroad(OAuthAuthorizationServerProvider):
    """What the SDK leaves to a server: who its clients are, and what it makes of an assertion."""

    def __init__(self):
        self.tokens, self.seen, self.told = {}, MemoryJtiStore(), []

    async def get_client(self, client_id):
        if client_id in SECRETS:
            return OAuthClientInformationFull(
                client_id=client_id,
                client_secret=SECRETS[client_id],
                redirect_uris=None,
                grant_types=[JWT_BEARER_GRANT_TYPE],
                token_endpoint_auth_method="client_secret_post",
            )

    async def load_access_token(self, token):
        return self.tokens.get(token)

    async def exchange_identity_assertion(self, client, params):
        trusted = {issuer: {"jwks_uri": f"{issuer}/jwks"}}
        try:
            told = verify_id_jag(params.assertion, trusted_issuers=trusted, audience=foreign, jti_store=self.seen)
        except AgentAuthError as error:
            raise TokenError("invalid_grant", error.code) from error
        claims = told["claims"]
        if claims["client_id"] != client.client_id:
            raise TokenError("invalid_grant", "another client")
        if claims["resource"] != params.resource:
            raise TokenError("invalid_target", "another resource")
        self.told.append(claims)
        scopes = [scope for scope in claims["scope"].split() if scope in (params.scopes or [])]
        token = secrets.token_urlsafe(32)
        self.tokens[token] = AccessToken(
            token=token,
            client_id=client.client_id,
            scopes=scopes,
            expires_at=int(time.time()) + 60,
            resource=claims["resource"],
            subject=claims["sub"],
        )
        return OAuthToken(access_token=token, expires_in=60, scope=" ".join(scopes))


class Storage:
    tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens


abroad = Abroad()
auth = AuthSettings(
    issuer_url=foreign,
    resource_server_url=resource,
    required_scopes=["tools.read"],
    validate_token_resource=True,
    identity_assertion_enabled=True,
)
served = MCPServer("abroad", auth_server_provider=abroad, auth=auth, log_level="ERROR")


@served.tool()
def whoami() -> str:
    """Who asks."""
    return get_access_token().subject


async def sign_in(http, **more):
    """Tokens of Ulla's for our agent, by our pages."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
    asked = {"client_id": "roaming", "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid"}
    url = f"{issuer}/authorize?{urlencode(asked | {'code_challenge': challenge, 'code_challenge_method': 'S256'} | more)}"
    went = subprocess.run(
        ["node", person, issuer, work, url],
        env=os.environ | {"PERSON": "ulla@example.com"},
        check=True,
        capture_output=True,
        text=True,
    )
    code = parse_qs(urlsplit(went.stdout.strip()).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    answer = await http.post(f"{issuer}/token", data=form, auth=("roaming", roaming))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def asked(http, id_token, **change):
    """The first leg, which the SDK leaves to the client: what our token endpoint answers."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
        "subject_token": id_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "audience": foreign,
        "resource": resource,
        "scope": "read",
    }
    return await http.post(f"{issuer}/token", data=form | change, auth=("roaming", roaming))


async def call(assertion, client="acme-sales", secret=None):
    """The second leg and what it is for: a tool of the server abroad."""

    async def given(audience, wanted):
        assert (audience, wanted) == (foreign, resource)
        return assertion

    provider = IdentityAssertionOAuthProvider(
        server_url=resource,
        storage=Storage(),
        client_id=client,
        client_secret=secret or SECRETS[client],
        issuer=foreign,
        assertion_provider=given,
        scope="tools.read",
    )
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(resource, http_client=http)) as connected:
            return (await connected.call_tool("whoami", {})).content[0].text


async def through(token):
    """The same tool, through our gateway, which sees to both legs."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        async with Client(streamable_http_client(f"{issuer}/mcp/abroad", http_client=http)) as connected:
            return (await connected.call_tool("whoami", {})).content[0].text


def causes(error):
    return [error] if not isinstance(error, BaseExceptionGroup) else [one for each in error.exceptions for one in causes(each)]


async def refused(words, *redeemed, **change):
    try:
        answer = await call(*redeemed, **change)
    except Exception as error:
        found = causes(error)
        assert any(isinstance(one, OAuthTokenError) and words in str(one) for one in found), f"{words}: {found}"
    else:
        raise AssertionError(f"{words}: {answer}")


async def main():
    async with httpx2.AsyncClient() as http:
        tokens = await sign_in(http)

        async def assertion(**change):
            answer = await asked(http, tokens["id_token"], **change)
            assert answer.status_code == 200, answer.text
            return answer.json()["access_token"]

        first = await assertion()
        assert await call(first) == ulla
        told = abroad.told[-1]
        assert told["exp"] - told["iat"] <= 300 and told["scope"] == "tools.read", told
        assert (told["sub"], told["email"], told["act"]["sub"]) == (ulla, "ulla@example.com", "roaming"), told
        print("ok 1 mcp for Python: a server abroad redeems an assertion of ours for its tools")

        await refused("replay_detected", first)
        head, body, signature = (await assertion()).split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        forged = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "boss"}).encode()).decode().rstrip("=")
        await refused("invalid_signature", f"{head}.{forged}.{signature}")
        for other in [tokens["id_token"], tokens["access_token"]]:
            await refused("invalid_signature", other)  # by their `typ`
        await refused("invalid_audience", await assertion(audience="https://127.0.0.1:1", resource="https://127.0.0.1:1/mcp"))
        await refused("another resource", await assertion(resource=f"{foreign}/other"))
        await refused("another client", await assertion(), client="other-sales")
        await refused("invalid_client", await assertion(), secret="wrong")
        print("ok 2 mcp for Python: and refuses one that was used, changed, or is for somebody or something else")

        for error, change in [
            ("invalid_scope", {"scope": "write"}),
            ("invalid_target", {"audience": "https://127.0.0.1:2"}),
            ("invalid_target", {"resource": "https://other.example/"}),
        ]:
            answer = await asked(http, tokens["id_token"], **change)
            assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
        print("ok 3 and our issuer makes none for what the connection does not have")

        scope, count = "openid mcp:abroad", len(abroad.told)
        there = await sign_in(http, scope=scope, resource=f"{issuer}/mcp/abroad")
        assert await through(there["access_token"]) == ulla and await through(there["access_token"]) == ulla
        told = abroad.told[-1]
        assert (told["sub"], told["act"]["sub"], told["scope"]) == (ulla, "roaming", "tools.read"), told
        assert len(abroad.told) == count + 1, "one assertion for all the calls of a sign-in"
        assert there["access_token"] not in abroad.tokens
        print("ok 4 mcp for Python: through our gateway, which redeems an assertion about the person and the agent there")


shown = {"ssl_certfile": os.environ["AUTHORITY"] + "/server.pem", "ssl_keyfile": os.environ["AUTHORITY"] + "/server.key"}
config = uvicorn.Config(served.streamable_http_app(), host="127.0.0.1", port=urlsplit(foreign).port, log_level="error", **shown)
server = uvicorn.Server(config)
thread = threading.Thread(target=server.run)
thread.start()
try:
    while not server.started:
        time.sleep(0.05)
    asyncio.run(main())
finally:
    server.should_exit = True
    thread.join()
