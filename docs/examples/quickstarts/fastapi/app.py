"""An API: whoever calls shows a token, and gets what that person may see, and nothing else."""
from os import environ

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBearer

app, keys = FastAPI(), jwt.PyJWKClient(environ["ISSUER"] + "/jwks")


def person(shown=Depends(HTTPBearer())):
    try:
        key = keys.get_signing_key_from_jwt(shown.credentials)
        expected = {"audience": environ["API"], "issuer": environ["ISSUER"], "leeway": 1}
        token = jwt.decode_complete(shown.credentials, key, ["ES256"], **expected)
        assert token["header"]["typ"] == "at+jwt" and "deals:read" in token["payload"]["scope"].split()
        return "user:" + token["payload"]["sub"]
    except (jwt.PyJWTError, AssertionError, KeyError) as error:
        raise HTTPException(401, "a token for this API is needed", {"WWW-Authenticate": "Bearer"}) from error


@app.get("/deals")
def deals(user=Depends(person)):
    asked = {"user": user, "relation": "viewer", "type": "deal"}
    return httpx.post(f"{environ['STORE_URL']}/list-objects", json=asked).raise_for_status().json()["objects"]
