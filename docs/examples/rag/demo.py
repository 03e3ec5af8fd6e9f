"""Three people ask the same question. Usage: python demo.py [http://127.0.0.1:8080]"""

import sys

from documents import QUESTION
from pipeline import Bailiwick, ask, load, prompt

ALICES_MEMBERSHIP = ("user:alice", "member", "division:a")


def show(bailiwick, user):
    found = ask(bailiwick, user, QUESTION)
    print(f"\n{user} may see {found['visible']} chunks; the nearest ({found['plan']['kind']}):")
    for hit in found["hits"]:
        print(f"  {hit['score']:6.3f}  {hit['object']:36} {hit['text'][:60]}...")
    return found


def main(url):
    bailiwick = Bailiwick(url)
    print(f"{load(bailiwick)['upserted']} chunks in store {bailiwick.store}")
    print(f"Question: {QUESTION}")
    found = {user: show(bailiwick, user) for user in ("user:alice", "user:bob", "user:cfo")}
    print("\nWhat a language model gets for Bob:\n")
    print(prompt(QUESTION, found["user:bob"]["hits"]))
    print("\nAlice leaves division A: one tuple is deleted, nothing is indexed again.")
    bailiwick.write(deletes=[ALICES_MEMBERSHIP])
    show(bailiwick, "user:alice")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
