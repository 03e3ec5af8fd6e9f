"""Texts to vectors: a stand-in that needs nothing, or any endpoint that speaks OpenAI's embeddings API.

The stand-in hashes words into 64 numbers. It finds texts that share words with the question and knows nothing of meaning;
it is here so that the example runs anywhere and gives the same answers everywhere. For real use set
EMBEDDING_URL (say https://api.openai.com/v1), EMBEDDING_MODEL, and EMBEDDING_API_KEY where one is needed.
"""

import hashlib
import json
import math
import os
import re
import time
import urllib.error
import urllib.request

DIMENSION = 64
TEXTS_PER_REQUEST_MAX = 64
ANSWER_BYTES_MAX = 64 << 20
TRIES_MAX = 4
TIMEOUT_SECONDS = 30


def hashed(text):
    """The stand-in: each word adds one to, or takes one from, the place that its hash names; of length one."""
    vector = [0.0] * DIMENSION
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % DIMENSION] += 1.0 if digest[4] & 1 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0.0:
        raise ValueError("a text without words has no direction to search in; ask with words")
    return [x / length for x in vector]


def asked(texts, url, model, key):
    """The vectors that an endpoint gives; tried again, a few times, when it is busy. The key is in no message."""
    body = json.dumps({"model": model, "input": texts}).encode()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"{url.rstrip('/')}/embeddings", body, headers)
    for attempt in range(1, TRIES_MAX + 1):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                answer = response.read(ANSWER_BYTES_MAX + 1)
            break
        except urllib.error.HTTPError as error:
            if attempt == TRIES_MAX or (error.code != 429 and error.code < 500):
                raise RuntimeError(f"the embedding endpoint {url} answers {error.code} {error.reason}") from None
        except (urllib.error.URLError, TimeoutError) as error:
            if attempt == TRIES_MAX:
                raise RuntimeError(f"the embedding endpoint {url} cannot be reached: {error}") from None
        time.sleep(2**attempt / 4)
    if len(answer) > ANSWER_BYTES_MAX:
        raise RuntimeError(f"the embedding endpoint {url} answers with more than {ANSWER_BYTES_MAX} bytes")
    rows = sorted(json.loads(answer)["data"], key=lambda row: row["index"])
    if len(rows) != len(texts):
        raise RuntimeError(f"the embedding endpoint {url} gives {len(rows)} vectors for {len(texts)} texts")
    return [row["embedding"] for row in rows]


def is_stand_in():
    """Whether no endpoint is configured."""
    return not os.environ.get("EMBEDDING_URL")


def embed(texts):
    """A vector for each text."""
    if is_stand_in():
        return [hashed(text) for text in texts]
    url, key = os.environ["EMBEDDING_URL"], os.environ.get("EMBEDDING_API_KEY")
    model = os.environ.get("EMBEDDING_MODEL", "text-embedding-3-small")
    parts = [texts[at : at + TEXTS_PER_REQUEST_MAX] for at in range(0, len(texts), TEXTS_PER_REQUEST_MAX)]
    return [vector for part in parts for vector in asked(part, url, model, key)]
