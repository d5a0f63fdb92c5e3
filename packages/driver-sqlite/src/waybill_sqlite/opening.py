"""Opening a file: whether it is ours to use, and how it is set up."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from waybill.errors import ConfigurationError
from waybill.timing import Clock

from .filesystem import NETWORKED, filesystem_of
from .gate import Gate
from .options import SqliteOptions
from .sql import text
from .store import Store, micros

SCHEMA: Final = 1
"""The version of schema.sql, kept as the file's user_version."""
APPLICATION: Final = 0x57617962
"""The file's application_id: "Wayb"."""
OLDEST: Final = (3, 35, 0)
_WAL_LIMIT: Final = 64 * 2**20
_PAUSE: Final = 0.005


def open_to_write(path: str, options: SqliteOptions, clock: Clock, patient: Callable[[], bool]) -> Store:
    """Open the file, made if it is not there.

    Args:
        path: of the file, absolute.
        options: of the driver.
        clock: of the driver.
        patient: whether somebody still waits; asked while another program keeps the file locked.

    Raises:
        ConfigurationError: it cannot be used as it is.
    """
    _check_library()
    _check_place(path)
    gate = Gate(f"{path}-gate" if options.gate else None)
    try:
        # No waiting inside SQLite (timeout=0): it is neither fair nor does it end at our deadline.
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            while not _prepare(connection, gate, path, options):
                if not patient():
                    raise sqlite3.OperationalError("database is locked")
                time.sleep(_PAUSE)
        except BaseException:
            connection.close()
            raise
    except BaseException:
        gate.close()
        raise
    return Store(path, connection, gate, clock, micros(options.lease))


def open_to_read(path: str, options: SqliteOptions, clock: Clock) -> Store:
    """Open the file, which is there, for questions only; they hardly ever wait."""
    connection = sqlite3.connect(path, timeout=options.timeout.total_seconds(), isolation_level=None)
    _set_up(connection, options)
    connection.execute("PRAGMA query_only = on")
    return Store(path, connection, Gate(None), clock, micros(options.lease), writes=False)


def _prepare(connection: sqlite3.Connection, gate: Gate, path: str, options: SqliteOptions) -> bool:
    """Check the file, and make its tables if it is new; False: another program keeps it locked."""
    gate.acquire()
    try:
        _is_new(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
        if mode != "wal":
            raise ConfigurationError(f"cannot open {path}: its filesystem or mode allows no write-ahead log ({mode}).")
        _set_up(connection, options)
        connection.execute("BEGIN IMMEDIATE")
        if _is_new(connection, path):
            _make_tables(connection)
        connection.execute("DELETE FROM job WHERE false")  # tells now whether the file can be written
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return False
    else:
        return True
    finally:
        gate.release()


def _set_up(connection: sqlite3.Connection, options: SqliteOptions) -> None:
    connection.execute(f"PRAGMA synchronous = {options.durability}")
    connection.execute(f"PRAGMA cache_size = -{options.cache_mb * 1024}")
    connection.execute("PRAGMA temp_store = memory")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")


def _make_tables(connection: sqlite3.Connection) -> None:
    pending = ""
    for line in text("schema").splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):  # executescript() would commit first
            connection.execute(pending)
            pending = ""
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _is_new(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file is empty.

    Raises:
        ConfigurationError: it is another program's, or of a later version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == 0 and tables == 0:
        return True
    if application != APPLICATION:
        raise ConfigurationError(
            f"cannot open {path}: it is a SQLite database of another program. Nothing was changed. "
            "Name a file of its own for the jobs."
        )
    if version != SCHEMA:
        raise ConfigurationError(
            f"cannot open {path}: a newer waybill-sqlite wrote it (schema {version}; this one knows {SCHEMA}). "
            "Nothing was changed. Upgrade: pip install -U waybill-sqlite"
        )
    return False


def _check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST:
        raise ConfigurationError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and waybill-sqlite needs "
            f"{'.'.join(map(str, OLDEST))} (RETURNING). Use a newer Python or system library."
        )


def _check_place(path: str) -> None:
    directory = Path(path).parent
    if not directory.is_dir():
        raise ConfigurationError(f"cannot open {path}: there is no directory {directory}. Make it, or name another.")
    if Path(path).is_dir():
        raise ConfigurationError(f"cannot open {path}: it is a directory. Name a file in it: {path}/jobs.db")
    kind = filesystem_of(path)
    if kind in NETWORKED:
        raise ConfigurationError(
            f"cannot open {path}: it is on a network filesystem ({kind}), where SQLite's locks and shared memory "
            "do not work and files get damaged. Nothing was changed. Use a local disk, or a broker with a server."
        )
