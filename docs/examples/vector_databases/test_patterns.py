"""What must hold, against a running server: exit code 0, or 1 with what was wrong. Usage: python test_patterns.py URL

The small company of ../rag in Qdrant and LanceDB, its permissions in Bailiwick; and Auth0's `FGARetriever` for LangChain as
it is published, around a retriever that knows no permissions.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "rag"))

from auth0_ai_langchain import FGARetriever  # noqa: E402
from databases import databases  # noqa: E402
from documents import QUESTION, sections  # noqa: E402
from embedding import embed  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from openfga_sdk import ClientConfiguration  # noqa: E402
from openfga_sdk.client.models import ClientBatchCheckItem  # noqa: E402
from patterns import after, before, within  # noqa: E402
from pipeline import COLLECTION, Bailiwick, load  # noqa: E402

USERS = ("user:alice", "user:bob", "user:cfo", "user:guest")
LEAVES = [("user:alice", "member", "division:a")]


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}:\n  got    {got}\n  wanted {wanted}")


class Unguarded(BaseRetriever):
    """A retriever of LangChain over a vector database, without any permission."""

    database: object

    def _get_relevant_documents(self, query, *, run_manager):
        found = self.database.nearest(embed([query])[0], 100)
        return [Document(id=chunk, page_content=chunk, metadata={"object": name}) for chunk, name in found]


def main(url):
    bailiwick = Bailiwick(url)
    load(bailiwick)
    texts = {f"section:{section}": text for section, _, _, text in sections()}
    vectors = embed(list(texts.values()))
    chunks = [{"id": n, "object": n, "vector": v} for n, v in zip(texts, vectors)]
    question = embed([QUESTION])[0]
    configuration = ClientConfiguration(api_url=url, store_id=bailiwick.store)

    def objects(found):
        return [name for _, name in found]

    for database in databases(len(question), tempfile.mkdtemp()):
        database.load(chunks)
        everything = objects(database.nearest(question, 100))
        same(set(everything), set(texts), f"what {database.name} holds")

        def compare(user):
            of_ours = objects(within(bailiwick, COLLECTION, user, "reader", question, 100))
            first = objects(before(bailiwick, database, user, "reader", "section", question, 100))
            later = objects(after(bailiwick, database, user, "reader", question, 100, 100))
            same(set(first), set(of_ours), f"{database.name}, permissions before the search, for {user}")
            same(later, first, f"{database.name}, permissions after the search, for {user}")
            few = objects(after(bailiwick, database, user, "reader", question, 100, 2))
            same(few, [name for name in everything[:2] if name in of_ours], "what fetching too little leaves")

            def check(document):
                return ClientBatchCheckItem(user=user, relation="reader", object=document.metadata["object"])

            retriever = FGARetriever(Unguarded(database=database), check, configuration)
            got = [document.metadata["object"] for document in retriever.invoke(QUESTION)]
            same(got, later, f"FGARetriever for {user}")
            return set(first)

        seen = {user: compare(user) for user in USERS}
        if not seen["user:guest"] < seen["user:alice"] < set(texts):
            raise AssertionError(f"Alice sees more than a guest, and not everything: {seen}")
        bailiwick.write(deletes=LEAVES)
        same(compare("user:alice"), seen["user:guest"], "what Alice finds after she left")
        bailiwick.write(writes=LEAVES)
    print("vector databases: permissions before, after and within the search agree")


if __name__ == "__main__":
    main(sys.argv[1])
