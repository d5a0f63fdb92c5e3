"""The least that could work: sqlite3 by hand, synchronous=FULL, no asyncio, no envelope, no context."""

from __future__ import annotations

import json
import sqlite3
import time

from benchmarks.contender import PAYLOAD, Figures


def connect(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS job(id INTEGER PRIMARY KEY, state INT NOT NULL DEFAULT 0, body BLOB)"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS job_ready ON job(id) WHERE state=0")
    return connection


def enqueue(file: str) -> Figures:
    connection, count = connect(file), 5_000
    begin = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO job(body) VALUES (?)", (json.dumps(PAYLOAD).encode(),))
    return {"enqueue_1": count / (time.perf_counter() - begin)}


def enqueue_batch(file: str) -> Figures:
    connection, count, size = connect(file), 40_000, 100
    begin = time.perf_counter()
    for _ in range(count // size):
        connection.execute("BEGIN IMMEDIATE")
        rows = [(json.dumps(PAYLOAD).encode(),) for _ in range(size)]
        connection.executemany("INSERT INTO job(body) VALUES (?)", rows)
        connection.execute("COMMIT")
    return {"enqueue_batch": count / (time.perf_counter() - begin)}


def drain(file: str) -> Figures:
    connection, count = connect(file), 40_000
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO job(body) VALUES (?)", [(json.dumps(PAYLOAD).encode(),)] * count)
    connection.execute("COMMIT")
    take = (
        "UPDATE job SET state=1 WHERE id IN (SELECT id FROM job WHERE state=0 ORDER BY id LIMIT 100) RETURNING id, body"
    )
    done = 0
    begin = time.perf_counter()
    while True:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(take).fetchall()
        connection.execute("COMMIT")
        if not rows:
            break
        for _, body in rows:
            json.loads(body)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM job WHERE id=?", [(row[0],) for row in rows])
        connection.execute("COMMIT")
        done += len(rows)
    return {"drain": done / (time.perf_counter() - begin)}


MEASUREMENTS = {"enqueue": enqueue, "batch": enqueue_batch, "drain": drain}
