"""What each way finds, and how long it takes, on documents with real permissions.

    bailiwick serve --data ./data &
    python3 measure.py http://127.0.0.1:8080 FOLDER [CHUNKS]

FOLDER holds model.json, tuples.jsonl.zst, chunks.jsonl.zst, chunks.f16.npy, queries.f16.npy, queries.jsonl.zst and
rag_top10.jsonl.zst. Times are of whole calls, with what Python needs around them.
"""

import io
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import zstandard

sys.path.insert(0, str(Path(__file__).parent.parent / "rag"))

from databases import databases  # noqa: E402
from patterns import after, before, within  # noqa: E402
from pipeline import Bailiwick  # noqa: E402

K, BATCH, TUPLES = 10, 500, 100


def lines(path):
    with open(path, "rb") as file:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        return [json.loads(line) for line in text]


def load(bailiwick, folder, chunks, dimension):
    bailiwick.create_store("vector-databases")
    model = json.loads((folder / "model.json").read_text())
    bailiwick.write_model(model)
    tuples = [(t["user"], t["relation"], t["object"]) for t in lines(folder / "tuples.jsonl.zst")]
    for at in range(0, len(tuples), TUPLES):
        bailiwick.write(writes=tuples[at : at + TUPLES])
    bailiwick.create_collection("chunks", dimension, "document", "can_view")
    for at in range(0, len(chunks), BATCH):
        bailiwick.upsert("chunks", chunks[at : at + BATCH])


def main(url, folder, count=None):
    folder = Path(folder)
    vectors = np.load(folder / "chunks.f16.npy").astype(np.float32)
    named = lines(folder / "chunks.jsonl.zst")[: int(count) if count else None]
    chunks = [
        {"id": chunk["id"], "object": chunk["document"], "vector": vectors[n].tolist()} for n, chunk in enumerate(named)
    ]
    bailiwick = Bailiwick(url)
    load(bailiwick, folder, chunks, vectors.shape[1])
    rows = {query["id"]: n for n, query in enumerate(lines(folder / "queries.jsonl.zst"))}
    queries = np.load(folder / "queries.f16.npy").astype(np.float32)
    cases = [(c["user"], c["relation"], queries[rows[c["query"]]].tolist()) for c in lines(folder / "rag_top10.jsonl.zst")]
    # What is right: everything that ListObjects allows, compared one by one.
    units = vectors[: len(chunks)] / np.linalg.norm(vectors[: len(chunks)], axis=1, keepdims=True)
    owners = np.array([chunk["object"] for chunk in chunks])
    truth = []
    for user, relation, query in cases:
        body = {"user": user, "relation": relation, "type": "document"}
        listed = bailiwick.post(f"/stores/{bailiwick.store}/list-objects", body)["objects"]
        seen = np.flatnonzero(np.isin(owners, listed))
        best = seen[np.argsort(-(units[seen] @ np.array(query)), kind="stable")[:K]]
        truth.append({chunks[n]["id"] for n in best})
    ways = {"Bailiwick, within": lambda u, r, q: within(bailiwick, "chunks", u, r, q, K)}
    for database in databases(vectors.shape[1], tempfile.mkdtemp()):
        database.load(chunks)
        ways[f"{database.name}, before"] = lambda u, r, q, d=database: before(bailiwick, d, u, r, "document", q, K)
        for fetched in (100, 1_000):
            ways[f"{database.name}, after {fetched}"] = lambda u, r, q, d=database, f=fetched: after(
                bailiwick, d, u, r, q, K, f
            )
    print(f"{len(chunks)} chunks, {len(cases)} questions\n{'way':28} {'recall':>7} {'p50 ms':>8}")
    for name, ask in ways.items():
        times, found = [], 0
        for case, right in zip(cases, truth):
            start = time.perf_counter()
            answer = ask(*case)
            times.append(time.perf_counter() - start)
            found += len(right & {chunk for chunk, _ in answer})
        print(f"{name:28} {found / sum(map(len, truth)):7.3f} {median(times) * 1e3:8.2f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
