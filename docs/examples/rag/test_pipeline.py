"""What must hold, against a running server: exit code 0, or 1 with what was wrong. Usage: python test_pipeline.py URL"""

import sys

from documents import QUESTION, sections
from embedding import embed, is_stand_in
from pipeline import COLLECTION, Bailiwick, Refused, ask, load, prompt
from retriever import PermittedRetriever

PUBLIC = {"section:quarterly-report.summary", "section:handbook.travel"}
OF_A = {"section:quarterly-report.division-a", "section:turbine-project.schedule"}
OF_B = {"section:quarterly-report.division-b", "section:service-contracts.prices"}
REPORT = {f"section:quarterly-report.{part}" for part in ("summary", "division-a", "division-b", "outlook")}
MAY_SEE = {"user:alice": PUBLIC | OF_A, "user:bob": PUBLIC | OF_B, "user:cfo": PUBLIC | REPORT, "user:guest": PUBLIC}
NEAREST = {"user:alice": "section:quarterly-report.division-a", "user:bob": "section:quarterly-report.division-b"}
TEXTS = {f"section:{section}": text for section, _, _, text in sections()}


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}:\n  got    {got}\n  wanted {wanted}")


def objects(found):
    return [hit["object"] for hit in found["hits"]]


def searched(bailiwick, may_see):
    """Plain HTTP: everybody gets exactly what they may see, and of few hits the nearest."""
    for user, wanted in may_see.items():
        whole = ask(bailiwick, user, QUESTION, k=100)
        same(set(objects(whole)), wanted, f"what {user} finds")
        same((len(whole["hits"]), whole["visible"]), (len(wanted), len(wanted)), f"how many {user} finds, and may see")
        scores = [hit["score"] for hit in whole["hits"]]
        same(scores, sorted(scores, reverse=True), f"the order for {user}")
        for hit in whole["hits"]:
            same(hit["text"], TEXTS[hit["object"]], f"the text of {hit['object']}")
            same(f"section:{hit['payload']['document']}", hit["object"].split(".")[0], f"the payload of {hit['object']}")
        few = ask(bailiwick, user, QUESTION, k=2)
        same(objects(few), objects(whole)[:2], f"the nearest two for {user}")
        if not whole["token"]:
            raise AssertionError("a search answers without a token")


def retrieved(bailiwick, may_see):
    """LangChain: the same, as documents."""
    for user, wanted in may_see.items():
        retriever = PermittedRetriever(bailiwick=bailiwick, collection=COLLECTION, user=user, embed=embed, k=100)
        documents = retriever.invoke(QUESTION)
        same({document.metadata["object"] for document in documents}, wanted, f"what the retriever gives {user}")
        plain = ask(bailiwick, user, QUESTION, k=100)["hits"]
        same(
            [(d.metadata["chunk"], d.metadata["score"], d.page_content) for d in documents],
            [(hit["id"], hit["score"], hit["text"]) for hit in plain],
            f"what the retriever gives {user}, against plain HTTP",
        )


def main(url):
    bailiwick = Bailiwick(url)
    same(load(bailiwick)["upserted"], len(TEXTS), "chunks written")
    searched(bailiwick, MAY_SEE)
    retrieved(bailiwick, MAY_SEE)
    for user, nearest in NEAREST.items() if is_stand_in() else ():
        same(objects(ask(bailiwick, user, QUESTION, k=1)), [nearest], f"the nearest for {user}")

    # An agent that works for somebody gets only what both may see.
    both = ask(bailiwick, "user:cfo", QUESTION, k=100, agent="user:alice")
    same(set(objects(both)), MAY_SEE["user:cfo"] & MAY_SEE["user:alice"], "what Alice's agent finds for the CFO")

    # What one may not see is in no prompt.
    for user, may_see in MAY_SEE.items():
        text = prompt(QUESTION, ask(bailiwick, user, QUESTION, k=100)["hits"])
        leaked = [o for o, secret in TEXTS.items() if o not in may_see and secret in text]
        same(leaked, [], f"secrets in the prompt of {user}")

    # The very next search honours what was taken away, and what was given back.
    for _ in range(20):
        bailiwick.write(deletes=[("user:alice", "member", "division:a")])
        same(set(objects(ask(bailiwick, "user:alice", QUESTION, k=100))), PUBLIC, "what Alice finds after she left")
        bailiwick.write(writes=[("user:alice", "member", "division:a")])
        same(set(objects(ask(bailiwick, "user:alice", QUESTION, k=100))), PUBLIC | OF_A, "what Alice finds when back")
    bailiwick.write(deletes=[("user:alice", "member", "division:a")])
    searched(bailiwick, MAY_SEE | {"user:alice": PUBLIC})
    retrieved(bailiwick, MAY_SEE | {"user:alice": PUBLIC})

    # A wrong request is refused in words, not answered with nothing.
    try:
        bailiwick.search(COLLECTION, "user:alice", [1.0, 0.0, 0.0], 3)
    except Refused as error:
        same(error.status, 400, "the status of a vector of another dimension")
    else:
        raise AssertionError("a vector of another dimension was taken")
    print("rag: the example gives everybody what they may see, and no more")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (AssertionError, Refused) as error:
        sys.exit(f"rag: {error}")
