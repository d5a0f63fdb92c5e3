"""An open database file, as the thread that owns it sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from waybill.timing import Clock

from .failures import MovedError
from .gate import Gate

READY, DELAYED, BEHIND = 0, 3, 4
"""Three of the states of a job; schema.sql tells what they mean."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def micros(span: timedelta) -> int:
    """A duration in the unit of the file."""
    return span // _MICROSECOND


def micros_at(moment: datetime) -> int:
    """A moment in the unit of the file."""
    return (moment - _EPOCH) // _MICROSECOND


LAST: Final = micros_at(_LAST)
LOG: Final = 500
"""Pages of write-ahead log, more or less, from which on it is moved; from 1000 on, SQLite does so within a commit."""


def moment(at: int) -> datetime:
    """A moment read from the file, aware UTC."""
    return _EPOCH + timedelta(microseconds=at)


@dataclass(slots=True)
class Store:
    """What the verbs of the other modules work on, always inside a transaction."""

    path: str
    connection: sqlite3.Connection
    gate: Gate
    clock: Clock
    lease: int
    writes: bool = True
    changed: set[str] = field(default_factory=set)
    """Queues that a waiting receiver should look at again, once this is committed."""
    _numbers: dict[str, int] = field(default_factory=dict)
    _file: Path = field(init=False)
    _identity: tuple[int, int] = field(init=False)
    _logged: int = 0
    """Pages since the log was moved."""
    _rows: int = 0
    """Written by this connection."""

    def __post_init__(self) -> None:
        self._file = Path(self.path)
        self._identity = self._identify()

    def now(self) -> int:
        return micros_at(self.clock.now())

    # -- transactions ----------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start a transaction; False: another program is writing.

        Raises:
            MovedError: the file is no longer the one that was opened.
        """
        self.gate.acquire()
        try:
            if self._identify() != self._identity:
                raise MovedError
            self.connection.execute("BEGIN IMMEDIATE" if self.writes else "BEGIN")
        except BaseException as error:
            self.gate.release()
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith("SQLITE_BUSY"):
                return False
            raise
        return True

    def commit(self) -> set[str]:
        """End it; the queues it changed."""
        self.connection.execute("COMMIT")
        self.gate.release()
        changed, self.changed = self.changed, set()
        return changed

    def tidy(self) -> None:
        """Move the write-ahead log into the file when there is much of it; nobody waits for this, as for a commit."""
        rows = self.connection.total_changes - self._rows
        if not rows:
            return
        self._rows += rows
        self._logged += 3 + rows // 6  # more or less: SQLite does not tell
        if self._logged < LOG:
            return
        self._logged = 0
        self.gate.acquire()
        try:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            pass  # the next commit meets it, and tells
        finally:
            self.gate.release()

    def rollback(self) -> None:
        """Undo it, whatever is left of it."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        finally:
            self.gate.release()
            self.changed.clear()
            self._numbers.clear()

    def close(self) -> None:
        """Tidy up the write-ahead log and let go of the file."""
        try:
            if self.writes and self._identify() == self._identity:
                self.gate.acquire()
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # it stays for the next one
        finally:
            self.connection.close()
            self.gate.close()

    def version(self) -> int:
        """A number that changes when another connection has committed."""
        row = self.connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])

    # -- statements ------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, rows)

    def number(self, queue: str) -> int | None:
        """The number under which a queue is kept, if there is one."""
        number = self._numbers.get(queue)
        if number is None:
            row = self.execute("SELECT number FROM queue WHERE name = ?", (queue,)).fetchone()
            if row is not None:
                number = self._numbers[queue] = row[0]
        return number

    def number_for(self, queue: str) -> int:
        """The number under which a queue is kept; a new one if need be."""
        number = self.number(queue)
        if number is None:
            (number,) = self.execute("INSERT INTO queue (name) VALUES (?) RETURNING number", (queue,)).fetchone()
            self._numbers[queue] = number
        return number

    def _identify(self) -> tuple[int, int]:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return (0, 0)
        return status.st_dev, status.st_ino
