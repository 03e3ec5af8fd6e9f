"""Vector databases behind one small interface: load, and the nearest, perhaps among some objects only.

Qdrant and LanceDB run in this process. pgvector needs a server: set PGVECTOR to its address, `postgresql://...`.
"""

import os

TABLE = "chunks"


class Qdrant:
    name = "Qdrant"

    def __init__(self, dimension):
        from qdrant_client import QdrantClient, models

        self.models = models
        self.client = QdrantClient(":memory:")
        vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        self.client.create_collection(TABLE, vectors_config=vectors)

    def load(self, chunks):
        points = [
            self.models.PointStruct(id=n, vector=chunk["vector"], payload={"id": chunk["id"], "object": chunk["object"]})
            for n, chunk in enumerate(chunks)
        ]
        self.client.upload_points(TABLE, points, wait=True)

    def nearest(self, vector, k, only=None):
        chosen = None
        if only is not None:
            match = self.models.FieldCondition(key="object", match=self.models.MatchAny(any=sorted(only)))
            chosen = self.models.Filter(must=[match])
        found = self.client.query_points(TABLE, query=vector, query_filter=chosen, limit=k).points
        return [(point.payload["id"], point.payload["object"]) for point in found]


class LanceDB:
    name = "LanceDB"

    def __init__(self, dimension, folder):
        import lancedb

        self.database = lancedb.connect(folder)

    def load(self, chunks):
        rows = [{"id": c["id"], "object": c["object"], "vector": c["vector"]} for c in chunks]
        self.table = self.database.create_table(TABLE, rows)

    def nearest(self, vector, k, only=None):
        search = self.table.search(vector).distance_type("cosine").limit(k)
        if only is not None:
            quoted = ",".join("'" + name.replace("'", "''") + "'" for name in sorted(only))
            search = search.where(f"object IN ({quoted or 'NULL'})", prefilter=True)
        return [(row["id"], row["object"]) for row in search.to_list()]


class PgVector:
    name = "pgvector"

    def __init__(self, dimension, address):
        import psycopg

        self.connection = psycopg.connect(address, autocommit=True)
        self.connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self.connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        self.connection.execute(f"CREATE TABLE {TABLE} (id text, object text, vector vector({dimension}))")
        self.connection.execute(f"CREATE INDEX ON {TABLE} (object)")

    def load(self, chunks):
        with self.connection.cursor().copy(f"COPY {TABLE} (id, object, vector) FROM STDIN") as copy:
            for chunk in chunks:
                copy.write_row((chunk["id"], chunk["object"], str(chunk["vector"])))

    def nearest(self, vector, k, only=None):
        where, values = ("", []) if only is None else ("WHERE object = ANY(%s)", [sorted(only)])
        order = f"SELECT id, object FROM {TABLE} {where} ORDER BY vector <=> %s::vector LIMIT %s"
        return self.connection.execute(order, [*values, str(vector), k]).fetchall()


def databases(dimension, folder):
    """All that this machine has."""
    found = [Qdrant(dimension), LanceDB(dimension, folder)]
    if address := os.environ.get("PGVECTOR"):
        found.append(PgVector(dimension, address))
    return found
