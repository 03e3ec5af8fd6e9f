"""A LangChain retriever over Bailiwick: drop it in wherever a chain takes one."""

from typing import Any, Callable

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from pipeline import Bailiwick


class PermittedRetriever(BaseRetriever):
    """Gives the nearest chunks that a user may see. Make one for each request, with the user who is logged in: whom a
    retriever answers for is fixed when it is made, so that no text of a prompt can change it."""

    bailiwick: Any
    """The `Bailiwick` to ask."""
    collection: str
    user: str
    agent: str | None = None
    """Who asks on the user's behalf: then only what both may see."""
    embed: Callable[[list[str]], list[list[float]]]
    k: int = 4
    filter: dict | None = None
    """Only chunks whose payload it admits."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        client: Bailiwick = self.bailiwick
        [vector] = self.embed([query])
        more = {name: value for name in ("agent", "filter") if (value := getattr(self, name)) is not None}
        found = client.search(self.collection, self.user, vector, self.k, **more)
        return [
            Document(
                id=hit["id"],
                page_content=hit.get("text", ""),
                metadata=hit.get("payload", {}) | {"chunk": hit["id"], "object": hit["object"], "score": hit["score"]},
            )
            for hit in found["hits"]
        ]
