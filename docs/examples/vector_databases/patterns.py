"""Two ways to keep a vector database to what a person may see, with OpenFGA's own calls; and the third, which needs neither.

Before the search (`before`): ask ListObjects for everything that the person may see, and let the database look among that.
After the search (`after`): fetch more than is needed, ask BatchCheck about each, and keep what is allowed.
"""

CHECKS_PER_REQUEST_MAX = 50  # OpenFGA's default


def before(bailiwick, database, user, relation, object_type, vector, k):
    """The k nearest of what ListObjects names. Exact, as long as the list is whole and the database takes it."""
    body = {"user": user, "relation": relation, "type": object_type, "consistency": "HIGHER_CONSISTENCY"}
    listed = bailiwick.post(f"/stores/{bailiwick.store}/list-objects", body)["objects"]
    return database.nearest(vector, k, only=set(listed)) if listed else []


def after(bailiwick, database, user, relation, vector, k, fetched):
    """Of the `fetched` nearest of all, the first k that Check allows: fewer than k when those stand deeper."""
    found = database.nearest(vector, fetched)
    objects = sorted({name for _, name in found})
    allowed = set()
    for at in range(0, len(objects), CHECKS_PER_REQUEST_MAX):
        part = objects[at : at + CHECKS_PER_REQUEST_MAX]
        checks = [
            {"tuple_key": {"user": user, "relation": relation, "object": name}, "correlation_id": str(n)}
            for n, name in enumerate(part)
        ]
        body = {"checks": checks, "consistency": "HIGHER_CONSISTENCY"}
        result = bailiwick.post(f"/stores/{bailiwick.store}/batch-check", body)["result"]
        for n, name in enumerate(part):
            answer = result[str(n)]
            if "error" in answer:
                raise RuntimeError(f"no answer about {name}: {answer['error']}")
            if answer["allowed"]:
                allowed.add(name)
    return [(chunk, name) for chunk, name in found if name in allowed][:k]


def within(bailiwick, collection, user, relation, vector, k):
    """The k nearest of what may be seen, in one call."""
    hits = bailiwick.search(collection, user, vector, k, relation=relation, **{"with": []})["hits"]
    return [(hit["id"], hit["object"]) for hit in hits]
