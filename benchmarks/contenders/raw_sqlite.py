"""What one writes by hand: sqlite3, synchronous=FULL, a table with queues, priorities and due times, and a poll.

No asyncio, no envelope, no ids that make a repeat safe, no leases, no fencing.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import benchmarks.contender as base
from benchmarks.contender import tally

TABLE = """
CREATE TABLE IF NOT EXISTS job(
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, state INT NOT NULL, priority INT NOT NULL, due REAL NOT NULL, body BLOB
)
"""
INSERT = "INSERT INTO job(queue, state, priority, due, body) VALUES ('default', 0, 0, ?, ?)"
TAKE = """
UPDATE job SET state=1 WHERE id IN (
    SELECT id FROM job WHERE queue='default' AND state=0 AND due<=? ORDER BY priority, id LIMIT 100
) RETURNING id, body
"""


class Contender(base.Contender):
    module = "sqlite3"
    blocking = True
    drained = 40_000

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.place.url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(TABLE)
        connection.execute("CREATE INDEX IF NOT EXISTS job_ready ON job(queue, state, priority, id)")
        return connection

    async def open(self) -> None:
        self._own = threading.local()

    @property
    def _mine(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = self._connect()
        connection: sqlite3.Connection = self._own.connection
        return connection

    def send(self, payload: dict[str, Any]) -> None:
        self._mine.execute(INSERT, (time.time(), json.dumps(payload).encode()))

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        self._mine.execute("BEGIN IMMEDIATE")
        self._mine.executemany(INSERT, [(time.time(), json.dumps(payload).encode()) for _ in range(count)])
        self._mine.execute("COMMIT")

    def send_stamp(self, due: float, delay: float) -> None:
        self._mine.execute(INSERT, (due, json.dumps({"due": due}).encode()))

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        ending = threading.Event()
        thread = threading.Thread(target=self._work, args=(ending,))
        thread.start()
        yield
        ending.set()
        await asyncio.to_thread(thread.join)

    def _work(self, ending: threading.Event) -> None:
        connection = self._connect()
        while not ending.is_set():
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute(TAKE, (time.time(),)).fetchall()
            connection.execute("COMMIT")
            if not rows:
                ending.wait(0.01)
                continue
            for _, body in rows:
                payload = json.loads(body)
                if "due" in payload:
                    tally.began(payload["due"])
                else:
                    tally.finished()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM job WHERE id=?", [(each[0],) for each in rows])
            connection.execute("COMMIT")
        connection.close()
