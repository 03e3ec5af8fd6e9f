"""authlib against our issuer: as a client for every flow that it has, and as a resource server (RFC 9068).

authlib_client.py ISSUER WORK, as `run` calls it
"""

import base64
import hashlib
import json
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import ResourceProtector, rfc8414, rfc9207
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

issuer, work = sys.argv[1], Path(sys.argv[2])
API, CALLBACK = "https://api.example/", "http://127.0.0.1:1/cb"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CIBA = "urn:openid:params:grant-type:ciba"
done = 0


def step(text):
    global done
    done += 1
    print(f"ok {done} {text}")


def given(client):
    return json.loads((work / f"client.{client}.json").read_text())


def refused(error, what, *args, **more):
    try:
        answer = what(*args, **more)
    except OAuthError as fault:
        assert fault.error == error, f"{fault.error} instead of {error}: {fault.description}"
    else:
        raise AssertionError(f"{answer} instead of {error}")


metadata = requests.get(issuer + "/.well-known/oauth-authorization-server").json()
assert metadata["issuer"] == issuer
rfc8414.AuthorizationServerMetadata(metadata).validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
step("metadata is that of RFC 8414 and 9207")


def session(client, method=None, **more):
    secret = given(client).get("client_secret")
    method = method or ("client_secret_basic" if secret else "none")
    return OAuth2Session(
        client,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        token_endpoint=metadata["token_endpoint"],
        **more,
    )


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return keys


resource = Validator(issuer, API)
protector = ResourceProtector()


def judged(token):
    claims = resource.authenticate_token(token)
    resource.validate_token(claims, ["read"], None)
    return claims


for method in ["client_secret_basic", "client_secret_post"]:
    own = session("worker", method).fetch_token(grant_type="client_credentials", scope="read", resource=API)
    assert judged(own["access_token"])["sub"] == "worker"
keyed = session("keyed", "private_key_jwt")
key = ECKey.import_key(json.loads((work / "keyed.key").read_text()))
# By itself authlib names the token endpoint, for an hour; the issuer is what RFC 7523bis wants.
for claims in [None, {"aud": issuer}]:
    keyed.client_secret = key
    keyed.register_client_auth_method(PrivateKeyJWT(metadata["token_endpoint"], claims=claims, alg="ES256"))
    assert judged(keyed.fetch_token(grant_type="client_credentials", scope="read")["access_token"])
refused("invalid_scope", session("worker").fetch_token, grant_type="client_credentials", scope="write")
refused("unsupported_grant_type", session("worker").fetch_token, grant_type="password", username="x", password="x")
wrong = session("worker")
wrong.client_secret = "wrong"
refused("invalid_client", wrong.fetch_token, grant_type="client_credentials")
step("client credentials in three ways, judged as a resource server does (RFC 9068)")


def certified(certificate, endpoints):
    """A token for who shows a certificate, which authlib leaves to requests."""
    own = OAuth2Session("certified", token_endpoint_auth_method="none", token_endpoint=endpoints["token_endpoint"])
    own.cert = certificate and tuple(str(work / f"{certificate}.{end}") for end in ["pem", "key"])
    return own.fetch_token(grant_type="client_credentials", scope="read", resource=API)


aliases = metadata["mtls_endpoint_aliases"]
der = ssl.PEM_cert_to_DER_cert((work / "sales.pem").read_text())
thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
assert judged(certified("sales", aliases)["access_token"])["cnf"] == {"x5t#S256": thumbprint}
for certificate, endpoints in [("other", aliases), (None, aliases), ("sales", metadata)]:
    refused("invalid_client", certified, certificate, endpoints)
step("a certificate where the metadata says, and tokens that are bound to it (RFC 8705)")


def code(client, scope="openid profile read offline_access", **more):
    """A session with the tokens of a person, and what they said of the ID token."""
    app = session(client, scope=scope, redirect_uri=CALLBACK, code_challenge_method="S256")
    verifier, nonce = generate_token(48), generate_token(16)
    url, state = app.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, resource=API, **more
    )
    person = Path(__file__).with_name("person.mjs")
    sent = subprocess.run(["node", person, issuer, work, url], check=True, stdout=subprocess.PIPE, text=True).stdout
    to = sent.strip()
    query = parse_qs(urlsplit(to).query)
    assert to.startswith(CALLBACK) and query["iss"] == [issuer], to
    tokens = app.fetch_token(authorization_response=to, state=state, code_verifier=verifier)
    decoded = jwt.decode(tokens["id_token"], keys, algorithms=["ES256"])
    params = {"client_id": client, "nonce": nonce, "access_token": tokens["access_token"]}
    options = {"iss": {"value": issuer}, "aud": {"value": client}}
    id_token = CodeIDToken(decoded.claims, decoded.header, options, params)
    id_token.validate(leeway=10)
    return app, tokens, id_token, (to, state, verifier)


app, tokens, id_token, again = code("app")
assert judged(tokens["access_token"])["sub"] == id_token["sub"]
try:
    judged(tokens["id_token"])
except InvalidTokenError:
    pass
else:
    raise AssertionError("an ID token was taken for an access token")
info = app.get(metadata["userinfo_endpoint"]).json()
assert (info["sub"], info["name"]) == (id_token["sub"], "Sarah Chen"), info
to, state, verifier = again
refused("invalid_grant", app.fetch_token, authorization_response=to, state=state, code_verifier=verifier)
assert app.get(metadata["userinfo_endpoint"]).status_code == 401, "what a code gave that was used twice"
step("code with PKCE, ID token and userinfo; a code is used once")

web, tokens, _, _ = code("web")
first = tokens["refresh_token"]
second = web.refresh_token(refresh_token=first)["refresh_token"]
assert second != first
third = web.refresh_token(refresh_token=second)["refresh_token"]
refused("invalid_grant", web.refresh_token, refresh_token=first)
refused("invalid_grant", web.refresh_token, refresh_token=third)
step("refresh tokens rotate, and the reuse of an old one takes back all")

web, tokens, id_token, _ = code("web")
server = session("api-server")
told = server.introspect_token(metadata["introspection_endpoint"], token=tokens["access_token"]).json()
assert (told["active"], told["sub"], told["client_id"]) == (True, id_token["sub"], "web"), told
assert web.revoke_token(metadata["revocation_endpoint"], token=tokens["refresh_token"]).status_code == 200
told = server.introspect_token(metadata["introspection_endpoint"], token=tokens["access_token"]).json()
assert told == {"active": False}, told
step("introspection and revocation")

_, tokens, id_token, _ = code("app")
access = "urn:ietf:params:oauth:token-type:access_token"
subject = {"subject_token": tokens["access_token"], "subject_token_type": access, "resource": API}
sales = session("sales")
passed = sales.fetch_token(grant_type=EXCHANGE, scope="read", **subject)
claims = judged(passed["access_token"])
assert (claims["sub"], claims["act"]["sub"]) == (id_token["sub"], "sales"), claims
refused("invalid_scope", sales.fetch_token, grant_type=EXCHANGE, scope="write", **subject)
refused("invalid_grant", sales.fetch_token, grant_type=CIBA, auth_req_id="unknown")
step("token exchange, judged as a resource server does")
