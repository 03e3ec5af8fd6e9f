"""Asks other engines beside ours: the same rows, users and queries, one core, every cell at the same time.

    pip install -r bench/peers/requirements.txt
    python3 bench/peers/run.py FOLDER [SIZE [SHARES]]     # SIZE as for `cargo bench --bench search`: small, debian

It runs `cargo bench --bench search -- ask`, and in each cell asks ours, then the others, then ours again, so that whatever
else the machine does falls on all of them. It writes peers.json, ratios.json and recall-speed.svg to FOLDER.

Recall is against an exact product in f32. Speed is searches per CPU second of the process, so that waiting for a core is
left out. Filters are built outside of the timing, as ours are: a bitmap for faiss, an indexed keyword of who may see a row
for qdrant-edge (its engine in this process, with its filter-aware graph and its own choice of plan). hnswlib's Python
filter is a call a node, which would measure Python: it and usearch are asked without a filter only. hnsw_rs (the crate) is
asked when HNSW_RS names the program of bench/peers/hnsw_rs; its filter is a closure in Rust.
"""
import json
import math
import os
import subprocess
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
RECALL = {"0.01": 0.999, "0.1": 0.999, "1": 0.999, "5": 0.999, "10": 0.999}  # 0.99 above
HERE = Path(__file__).parents[2]


class Program:
    """A program that answers a line `kind share` with a line of JSON: points of {plan, recall, searches_per_cpu_second}."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.build = self.read()["build_cpu_s"]

    def read(self):
        for line in self.process.stdout:
            if line[0] in "[{":
                return json.loads(line)
        sys.exit(f"{self.process.args} ended before it answered")

    def ask(self, kind, share):
        self.process.stdin.write(f"{kind} {share}\n")
        self.process.stdin.flush()
        return self.read()


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


def panel(x, y, title, lines, colours):
    """Recall from 0.9 on against speed, logarithmic; one line a system."""
    width, height = 250, 170
    out = [f"<g transform='translate({x} {y})'><text x='0' y='-6' font-size='13'>{title}</text>"]
    speeds = [speed for points in lines.values() for _, speed in points]
    low, high = math.floor(math.log10(min(speeds))), math.ceil(math.log10(max(speeds)))

    def place(recall, speed):
        across = width * min(max((recall - 0.9) / 0.1, 0), 1)
        return across, height * (1 - (math.log10(speed) - low) / max(high - low, 1))

    for tick in range(low, high + 1):
        at = place(1, 10**tick)[1]
        out.append(f"<path d='M0 {at:.0f}H{width}' stroke='#ddd'/><text x='-30' y='{at + 4:.0f}'>1e{tick}</text>")
    for recall in (0.9, 0.95, 1.0):
        at = place(recall, 10**low)[0]
        out.append(f"<path d='M{at:.0f} 0V{height}' stroke='#ddd'/><text x='{at - 12:.0f}' y='{height + 14}'>{recall:.2f}</text>")
    for name, points in lines.items():
        spots = [place(*point) for point in sorted(points)]
        path = " ".join(f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(spots))
        out.append(f"<path d='{path}' fill='none' stroke='{colours[name]}' stroke-width='1.5'/>")
        out += [f"<circle cx='{px:.1f}' cy='{py:.1f}' r='3' fill='{colours[name]}'/>" for px, py in spots]
    return "".join(out) + "</g>"


def picture(results, shares, title):
    names = sorted({r["system"].split(" ef")[0] for r in results})
    hues = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
    colours = dict(zip(["bailiwick"] + [n for n in names if n != "bailiwick"], hues))
    out = []
    for number, share in enumerate(shares):
        lines = {}
        for r in results:
            if r["sets"] == "team" and r["share"] == float(share) and r["recall"] > 0.9:
                lines.setdefault(r["system"].split(" ef")[0], []).append((r["recall"], r["speed"]))
        out.append(panel(50 + number % 3 * 310, 70 + number // 3 * 225, f"{share} % allowed", lines, colours))
    rows = (len(shares) + 2) // 3
    for number, (name, colour) in enumerate(colours.items()):
        out.append(f"<text x='{50 + number * 110}' y='{80 + rows * 225}' fill='{colour}' font-size='13'>{name}</text>")
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='970' height='{95 + rows * 225}' font-family='sans-serif' font-size='11'>"
        f"<rect width='970' height='{95 + rows * 225}' fill='white'/><text x='50' y='28' font-size='16'>{title}: recall at 10 "
        f"against searches a CPU second</text>{''.join(out)}</svg>"
    )


def ratio(cell, share):
    """Ours beside the best peer, each at the recall that the band asks for."""
    due = RECALL.get(share, 0.99)
    own = [r for r in cell if r["system"].startswith("bailiwick") and r["recall"] >= due]
    others = [r for r in cell if not r["system"].startswith("bailiwick") and r["recall"] >= due]
    best, other = (max(of, key=lambda r: r["speed"]) for of in (own, others))
    return {"recall_at_least": due, "ours": best, "peer": other, "ratio": best["speed"] / other["speed"]}


def load(folder, shares):
    """Rows, queries, and who may see which rows of the cells."""
    shared = Path(os.environ.get("BAILIWICK_DATA", HERE.parent / "shared/data")) / "debian"
    count = os.path.getsize(folder / "uniform-1.u8") // 10
    rows = np.load(shared / "packages.f16.npy")[:count].astype(np.float32)
    if len(rows) < count:
        sys.exit(f"{folder} is of {count} made rows; run it without `1e6` for peers")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.load(shared / "queries.f16.npy").astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    masks = {
        (kind, share): np.fromfile(folder / f"{kind}-{share}.u8", dtype=np.uint8).reshape(-1, count)
        for kind in ("uniform", "team")
        for share in shares
    }
    return np.ascontiguousarray(rows), queries, masks


def questions(rows, queries, masks, name):
    """Pairs of a query and its filter, and the true answers."""
    import faiss

    pairs, truth = [], []
    for user, mask in enumerate(masks):
        allowed = np.flatnonzero(mask)
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        seen = rows[allowed]
        for at in range(QUERIES):
            query = queries[(user * QUERIES + at) % len(queries)][None]
            best = np.argsort(-(seen @ query[0]), kind="stable")[:K]
            truth.append([int(allowed[i]) for i in best])
            pairs.append((query, (selector, f"{name}-{user}")))
    return pairs, truth


def main():
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    size = sys.argv[2] if len(sys.argv) > 2 else "debian"
    shares = sys.argv[3].split(",") if len(sys.argv) > 3 else SHARES
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "search", "--", "ask", size, str(folder)]
    programs = {"bailiwick": Program(command)}
    rows, queries, masks = load(folder, shares)
    if "HNSW_RS" in os.environ:
        data = os.environ.get("BAILIWICK_DATA", HERE.parent / "shared/data")
        programs["hnsw_rs"] = Program([os.environ["HNSW_RS"], str(folder), f"{data}/debian", str(len(rows))])
    builds = {name: program.build for name, program in programs.items()}
    print("  ".join(f"build {name}: {cpu:.1f} CPU s" for name, cpu in builds.items()), flush=True)
    seen_by = [[] for _ in range(len(rows))]
    for (kind, share), of_users in masks.items():
        for user, mask in enumerate(of_users):
            for row in np.flatnonzero(mask):
                seen_by[row].append(f"{kind}-{share}-{user}")
    asks = engines(rows, seen_by, builds)
    results, ratios = [], []
    for (kind, share), of_users in masks.items():
        pairs, truth = questions(rows, queries, of_users, f"{kind}-{share}")
        cell = []

        def add(system, recall, speed):
            cell.append({"sets": kind, "share": float(share), "system": system, "recall": recall, "speed": speed})

        before = programs["bailiwick"].ask(kind, share)
        for name, (filtered, ask) in asks.items():
            if filtered or share == "100":
                add(name, *measure(lambda pair: ask(*pair), pairs, truth))
        for point in programs["hnsw_rs"].ask(kind, share) if "hnsw_rs" in programs else ():
            add(f"hnsw_rs ef{point['plan']}", point["recall"], point["searches_per_cpu_second"])
        for one, two in zip(before, programs["bailiwick"].ask(kind, share)):
            speed = (one["searches_per_cpu_second"] + two["searches_per_cpu_second"]) / 2
            add(f"bailiwick ef {one['plan']}", one["recall"], speed)
        results += cell
        ratios.append({"sets": kind, "share": float(share), **ratio(cell, share)})
        print(f"{kind} {share} %: " + "  ".join(f"{r['system']} {r['recall']:.3f}/{r['speed']:.0f}" for r in cell))
        last = ratios[-1]
        print(
            f"    at recall {last['recall_at_least']}: {last['ours']['system']} {last['ours']['speed']:.0f} is "
            f"{last['ratio']:.1f} times {last['peer']['system']} {last['peer']['speed']:.0f}",
            flush=True,
        )
    (folder / "peers.json").write_text(json.dumps({"builds_cpu_s": builds, "results": results}, indent=1))
    (folder / "ratios.json").write_text(json.dumps(ratios, indent=1))
    (folder / "recall-speed.svg").write_text(picture(results, shares, f"{len(rows)} x {rows.shape[1]}, team sets"))


main()
