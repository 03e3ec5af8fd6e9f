"""Retrieval that gives each person only what they may read: documents in, question, permitted context out.

Plain HTTP and the standard library. `retriever.py` has the same for LangChain.
"""

import json
import urllib.error
import urllib.request
from urllib.parse import quote

from documents import MODEL, sections, tuples
from embedding import embed

COLLECTION = "company"
TIMEOUT_SECONDS = 30


class Refused(Exception):
    """The server said no: its status, its code, and its words."""

    def __init__(self, status, code, message):
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code = status, code


class Bailiwick:
    """One store of a server, over HTTP."""

    def __init__(self, url, store=None):
        self.url, self.store = url.rstrip("/"), store

    def post(self, path, body):
        """One request. What is not a success is an exception, never an empty answer."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                said = json.loads(text)
                code, message = said["code"], said["message"]
            except (ValueError, KeyError, TypeError):
                code, message = "no_code", text[:500]
            raise Refused(error.code, code, message) from None

    def create_store(self, name):
        self.store = self.post("/stores", {"name": name})["id"]

    def write_model(self, model):
        return self.post(f"/stores/{self.store}/authorization-models", model)["authorization_model_id"]

    def write(self, writes=(), deletes=()):
        """Changes permissions: (user, relation, object)s to write and to delete, all or nothing."""
        parts = {"writes": writes, "deletes": deletes}
        keys = {part: [dict(zip(("user", "relation", "object"), key)) for key in of] for part, of in parts.items()}
        body = {part: {"tuple_keys": of} for part, of in keys.items() if of}
        return self.post(f"/stores/{self.store}/write", body)

    def create_collection(self, name, dimension, object_type, relation, metric="cosine", element="f16"):
        """A collection whose chunks belong to objects of a type, and are seen by those with the relation."""
        guard = {"type": object_type, "relation": relation}
        body = {"name": name, "dimension": dimension, "metric": metric, "element": element, "guard": guard}
        return self.post(f"/stores/{self.store}/collections", body)

    def upsert(self, collection, chunks):
        """Writes chunks, all or nothing."""
        return self.post(f"/stores/{self.store}/collections/{quote(collection, safe='')}/chunks", {"chunks": chunks})

    def search(self, collection, user, vector, k, **more):
        """The k nearest chunks that the user may see. `more`: agent, relation, filter, exact, context, ..."""
        body = {"user": user, "vector": vector, "k": k, "with": ["text", "payload"]} | more
        return self.post(f"/stores/{self.store}/collections/{quote(collection, safe='')}/search", body)


def load(bailiwick):
    """Documents in: a store, its model, the permissions, and a chunk for each section."""
    bailiwick.create_store("rag-example")
    bailiwick.write_model(MODEL)
    bailiwick.write(writes=list(tuples()))
    found = list(sections())
    vectors = embed([text for _, _, _, text in found])
    bailiwick.create_collection(COLLECTION, len(vectors[0]), object_type="section", relation="reader")
    chunks = [
        {"id": f"{section}.0", "object": f"section:{section}", "vector": vector, "text": text, "payload": {"document": document}}
        for (section, document, _, text), vector in zip(found, vectors)
    ]
    return bailiwick.upsert(COLLECTION, chunks)


def ask(bailiwick, user, question, k=3, **more):
    """The nearest chunks to a question among those that the user may see, and what the server says about them."""
    [vector] = embed([question])
    return bailiwick.search(COLLECTION, user, vector, k, **more)


def prompt(question, hits):
    """Permitted context out: what a language model is to be given, each piece with its source."""
    pieces = [f"[{n}] ({hit['object']}) {hit['text']}" for n, hit in enumerate(hits, 1)]
    context = "\n".join(pieces) or "(nothing that you may read)"
    return f"Answer from the context only, and name the pieces you use.\n\nContext:\n{context}\n\nQuestion: {question}"
