"""What one writes by hand: sqlite3, synchronous=FULL, a table with queues, priorities and due times.

No asyncio, no envelope, no ids that make a repeat safe, no leases, no fencing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable

from benchmarks.contender import PAYLOAD, Figures

TABLE = """
CREATE TABLE IF NOT EXISTS job(
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, state INT NOT NULL, priority INT NOT NULL, due REAL NOT NULL, body BLOB
)
"""
INSERT = "INSERT INTO job(queue, state, priority, due, body) VALUES ('default', 0, 0, ?, ?)"
TAKE = """
UPDATE job SET state=1 WHERE id IN (
    SELECT id FROM job WHERE queue='default' AND state=0 ORDER BY priority, id LIMIT 100
) RETURNING id, body
"""


def connect(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(TABLE)
    connection.execute("CREATE INDEX IF NOT EXISTS job_ready ON job(queue, state, priority, id)")
    return connection


def row() -> tuple[float, bytes]:
    return time.time(), json.dumps(PAYLOAD).encode()


def enqueue(file: str) -> Figures:
    connection, count = connect(file), 5_000
    begin = time.perf_counter()
    for _ in range(count):
        connection.execute(INSERT, row())
    return {"enqueue_1": count / (time.perf_counter() - begin)}


def batches_of(size: int) -> Callable[[str], Figures]:
    def measure(file: str) -> Figures:
        connection, count = connect(file), 40_000
        begin = time.perf_counter()
        for _ in range(count // size):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [row() for _ in range(size)])
            connection.execute("COMMIT")
        return {f"batch_{size}": count / (time.perf_counter() - begin)}

    return measure


def drain(file: str) -> Figures:
    connection, count = connect(file), 40_000
    connection.execute("BEGIN")
    connection.executemany(INSERT, [row() for _ in range(count)])
    connection.execute("COMMIT")
    done = 0
    begin = time.perf_counter()
    while True:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(TAKE).fetchall()
        connection.execute("COMMIT")
        if not rows:
            break
        for _, body in rows:
            json.loads(body)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM job WHERE id=?", [(each[0],) for each in rows])
        connection.execute("COMMIT")
        done += len(rows)
    return {"drain": done / (time.perf_counter() - begin)}


MEASUREMENTS = {
    "enqueue": enqueue,
    "batch_100": batches_of(100),
    "batch_1000": batches_of(1000),
    "drain": drain,
}
