"""Asks other engines what `cargo bench --bench search` asked ours: the same rows, users and queries, one core.

    pip install -r bench/peers/requirements.txt
    cargo bench --bench search                      # writes the users' sets and ours.json to a folder
    python3 bench/peers/run.py FOLDER [SHARES]      # writes peers.json beside them, prints both

Recall is against an exact product in f32. Speed is searches per CPU second of the process, so that waiting for a core is
left out. Filters are built outside of the timing, as ours are: a bitmap for faiss, an indexed keyword of who may see a row
for qdrant-edge (its engine in this process, with its filter-aware graph and its own choice of plan). hnswlib's Python filter is a call a node, which would
measure Python: it and usearch are asked without a filter only.
"""
import json
import os
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

K, QUERIES, LINKS, BUILD = 10, 25, 16, 200
SHARES = ["0.01", "0.1", "1", "5", "10", "25", "50", "90", "100"]
ROUND_S = 0.15  # CPU seconds that a cell is measured for at least


def measure(ask, pairs, truth):
    answers = [ask(pair) for pair in pairs]
    rounds, start = 0, time.process_time()
    while time.process_time() - start < ROUND_S:
        for pair in pairs:
            ask(pair)
        rounds += 1
    speed = rounds * len(pairs) / (time.process_time() - start)
    due = sum(len(t) for t in truth)
    found = sum(len(set(a) & set(t)) for a, t in zip(answers, truth))
    return found / max(due, 1), speed


def timed(name, build, into):
    start = time.process_time()
    index = build()
    into[name] = time.process_time() - start
    print(f"build {name}: {into[name]:.1f} CPU s", flush=True)
    return index


def qdrant(rows, seen_by, builds):
    """ask(width) -> ask(query, name of the set)"""
    import qdrant_edge as q

    hnsw = q.HnswIndexConfig(m=LINKS, ef_construct=BUILD, full_scan_threshold=10_000, max_indexing_threads=1)
    vectors = q.EdgeVectorParams(size=rows.shape[1], distance=q.Distance.Dot)
    optimizers = q.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1_000)
    config = q.EdgeConfig(
        vectors=vectors, hnsw_config=hnsw, optimizers=optimizers, max_search_threads=1, wal_enabled=False
    )
    shard = q.EdgeShard.create(tempfile.mkdtemp(prefix="qdrant-edge-"), config)

    def build():
        shard.update(q.UpdateOperation.create_field_index("seen_by", q.PayloadSchemaType.Keyword))
        for start in range(0, len(rows), 2_000):
            part = range(start, min(start + 2_000, len(rows)))
            points = [q.Point(i, rows[i].tolist(), {"seen_by": seen_by[i]}) for i in part]
            shard.update(q.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass

    timed("qdrant-edge", build, builds)

    def ask(width):
        def search(query, name):
            only = q.Filter(must=[q.FieldCondition("seen_by", match=q.MatchValue(name))])
            params = q.SearchParams(hnsw_ef=width)
            found = shard.search(q.SearchRequest(q.Query.Nearest(query[0].tolist()), K, filter=only, params=params))
            return [point.id for point in found]

        return search

    return ask


def engines(rows, seen_by, builds):
    """name -> (needs a filter?, ask(query, (bitmap, name of the set)))"""
    import faiss
    import hnswlib
    from usearch.index import Index

    faiss.omp_set_num_threads(1)
    count, dimension = rows.shape
    flat = faiss.IndexFlatIP(dimension)
    flat.add(rows)
    graph = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD
    timed("faiss HNSW", lambda: graph.add(rows), builds)
    lib = hnswlib.Index(space="ip", dim=dimension)
    lib.init_index(max_elements=count, M=LINKS, ef_construction=BUILD)
    timed("hnswlib", lambda: lib.add_items(rows, num_threads=1), builds)
    use = Index(ndim=dimension, metric="ip", connectivity=LINKS, expansion_add=BUILD)
    timed("usearch", lambda: use.add(np.arange(count), rows, threads=1), builds)

    def ids(result):
        return [int(i) for i in result[1][0] if i >= 0]

    def ask_flat(query, only):
        selector = only[0]
        return ids(flat.search(query, K, params=faiss.SearchParameters(sel=selector)))

    def ask_graph(width):
        return lambda query, only: ids(
            graph.search(query, K, params=faiss.SearchParametersHNSW(sel=only[0], efSearch=width))
        )

    def ask_lib(width):
        def ask(query, _):
            lib.set_ef(width)
            return [int(i) for i in lib.knn_query(query, k=K, num_threads=1)[0][0]]

        return ask

    def ask_use(width):
        def ask(query, _):
            use.expansion_search = width
            return [int(i) for i in use.search(query[0], K, threads=1).keys]

        return ask

    ask_qdrant = qdrant(rows, seen_by, builds)
    found = {"faiss Flat": (True, ask_flat)}
    for width in (64, 128, 256):
        found[f"qdrant-edge ef{width}"] = (True, lambda query, only, ask=ask_qdrant(width): ask(query, only[1]))
        found[f"faiss HNSW ef{width}"] = (True, ask_graph(width))
        found[f"hnswlib ef{width}"] = (False, ask_lib(width))
        found[f"usearch ef{width}"] = (False, ask_use(width))
    return found


def main():
    folder = Path(sys.argv[1])
    shares = sys.argv[2].split(",") if len(sys.argv) > 2 else SHARES
    shared = Path(os.environ.get("BAILIWICK_DATA", Path(__file__).parents[2].parent / "shared/data")) / "debian"
    count = os.path.getsize(folder / "uniform-1.u8") // 10
    rows = np.load(shared / "packages.f16.npy")[:count].astype(np.float32)
    if len(rows) < count:
        sys.exit(f"{folder} is of {count} made rows; run the bench without `1e6` for peers")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.load(shared / "queries.f16.npy").astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    import faiss

    builds, results = {}, []
    kinds = ("uniform", "team")
    masks_of = {
        (kind, share): np.fromfile(folder / f"{kind}-{share}.u8", dtype=np.uint8).reshape(-1, count)
        for kind in kinds
        for share in shares
    }
    seen_by = [[] for _ in range(count)]
    for (kind, share), masks in masks_of.items():
        for user, mask in enumerate(masks):
            for row in np.flatnonzero(mask):
                seen_by[row].append(f"{kind}-{share}-{user}")
    asks = engines(np.ascontiguousarray(rows), seen_by, builds)
    ours = json.loads((folder / "ours.json").read_text())
    for kind in kinds:
        for share in shares:
            masks = masks_of[kind, share]
            pairs, truth = [], []
            for user, mask in enumerate(masks):
                allowed = np.flatnonzero(mask)
                bits = np.packbits(mask, bitorder="little")
                selector = faiss.IDSelectorBitmap(bits)
                for at in range(QUERIES):
                    query = queries[(user * QUERIES + at) % len(queries)][None]
                    scores = rows[allowed] @ query[0] if share != "100" else rows @ query[0]
                    best = np.argsort(-scores, kind="stable")[:K]
                    truth.append([int(allowed[i]) for i in best])
                    pairs.append((query, (selector, f"{kind}-{share}-{user}")))
            for name, (filtered, ask) in asks.items():
                if not filtered and share != "100":
                    continue
                recall, speed = measure(lambda pair: ask(*pair), pairs, truth)
                results.append({"sets": kind, "share": float(share), "system": name, "recall": recall, "speed": speed})
            best = [r for r in results if r["sets"] == kind and r["share"] == float(share)]
            line = "  ".join(f"{r['system']} {r['recall']:.3f}/{r['speed']:.0f}" for r in best)
            mine = [o for o in ours if o["sets"] == kind and o["share"] == float(share) and o["layout"] == "grouped"]
            own = "  ".join(f"{o['plan']} {o['recall']:.3f}/{o['searches_per_cpu_second']:.0f}" for o in mine)
            print(f"{kind} {share} %: {line}\n    ours, grouped: {own}", flush=True)
    (folder / "peers.json").write_text(json.dumps({"builds_cpu_s": builds, "results": results}, indent=1))


main()
