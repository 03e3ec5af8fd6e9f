"""The official Python SDK, unmodified, against an engine that asks for a certificate. Usage: engine.py https://127.0.0.1:PORT,
in the directory with the certificates."""

import asyncio
import sys

from openfga_sdk import ClientConfiguration, OpenFgaClient
from openfga_sdk.credentials import CredentialConfiguration, Credentials
from openfga_sdk.exceptions import ApiException
from openfga_sdk.models.create_store_request import CreateStoreRequest


KEY = "the-key-of-today"


async def stores(certificate, key=KEY):
    configuration = ClientConfiguration(api_url=sys.argv[1])
    if key:
        configuration.credentials = Credentials(method="api_token", configuration=CredentialConfiguration(api_token=key))
    configuration.ssl_ca_cert = "servers.pem"
    if certificate:
        configuration.cert_file, configuration.key_file = f"{certificate}.pem", f"{certificate}.key"
    async with OpenFgaClient(configuration) as client:
        await client.create_store(CreateStoreRequest(name="over TLS"))
        return [store.name for store in (await client.list_stores()).stores]


async def refused(certificate):
    try:
        await stores(certificate)
    except Exception as error:  # each version of the SDK has its own for a connection that fails
        assert "ssl" in repr(error).lower() or "disconnected" in repr(error).lower() or "reset" in repr(error).lower(), repr(error)
    else:
        raise AssertionError(f"{certificate} was let in")


async def main():
    assert await stores("api") == ["over TLS"]
    assert await stores("api", "an-older-key-of-ours") == ["over TLS", "over TLS"]
    for key, code in [(None, "bearer_token_missing"), ("another-key-of-nobody", "unauthenticated")]:
        try:
            await stores("api", key)
        except ApiException as error:
            assert error.status == 401 and code in str(error), error
        else:
            raise AssertionError(f"{key} was let in")
    await refused(None)
    await refused("sales")  # by an authority that opens the issuers' doors
    print("tls: the SDK is let in with a certificate of the engine's callers and a key, and with no other")


asyncio.run(main())
