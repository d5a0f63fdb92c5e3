"""The same loop, storing the same messages: Waybill's envelope, and an id that makes a repeat safe."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any

from benchmarks.contenders import raw_sqlite

INSERT = "INSERT INTO job(queue, state, priority, due, body, uid) VALUES ('default', 0, 0, ?, ?, ?)"


class Contender(raw_sqlite.Contender):
    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        if "uid" not in {column[1] for column in connection.execute("PRAGMA table_info(job)")}:
            connection.execute("ALTER TABLE job ADD uid TEXT")
            connection.execute("CREATE UNIQUE INDEX job_uid ON job(queue, uid)")
        return connection

    def _row(self, payload: dict[str, Any]) -> tuple[float, bytes, str]:
        now, job_id = datetime.now(UTC), str(uuid.uuid4())
        body = {
            "v": 1, "jobName": "nothing", "jobId": job_id, "queue": "default", "payload": payload,
            "enqueuedAt": now.isoformat(), "metadata": {},
        }  # fmt: skip
        return now.timestamp(), json.dumps(body).encode(), job_id

    def send(self, payload: dict[str, Any]) -> None:
        self._mine.execute(INSERT, self._row(payload))

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        self._mine.execute("BEGIN IMMEDIATE")
        self._mine.executemany(INSERT, [self._row(payload) for _ in range(count)])
        self._mine.execute("COMMIT")
