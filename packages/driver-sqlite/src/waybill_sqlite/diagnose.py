"""What `waybill doctor` should know about a file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from waybill.driver import Note

from .filesystem import filesystem_of
from .options import SqliteOptions
from .store import Store

_MIB: Final = 2**20
_SCARCE: Final = 100 * _MIB
_RESET_BUG_FIXED: Final = (3, 51, 3)
_SHARED: Final = frozenset({"9p", "virtiofs", "vboxsf", "fuse.grpcfuse", "fakeowner"})


def diagnose(store: Store, options: SqliteOptions, wake: str | None) -> list[Note]:
    """Facts, and what to do about those that are no good."""
    return [*_file(store), *_library(options), *_durability(store, options), *_disk(store), *_wake(wake)]


def _file(store: Store) -> Iterator[Note]:
    log = Path(f"{store.path}-wal")
    size, pending = (path.stat().st_size / _MIB if path.exists() else 0.0 for path in (Path(store.path), log))
    yield Note("info", f"{store.path}: {size:,.1f} MiB, and {pending:,.1f} MiB of write-ahead log")


def _library(options: SqliteOptions) -> Iterator[Note]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _RESET_BUG_FIXED:
        yield Note("ok", f"SQLite {version}")
    elif options.gate:
        yield Note("ok", f"SQLite {version}; the write gate keeps clear of its WAL-reset bug (fixed in 3.51.3)")
    else:
        yield Note(
            "warning",
            f"SQLite {version} has the WAL-reset bug: two processes that write and checkpoint at the same instant "
            "can damage the file",
            "remove gate=false, or use SQLite 3.51.3 or newer",
        )


def _durability(store: Store, options: SqliteOptions) -> Iterator[Note]:
    (mode,) = store.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal":
        yield Note("ok", f"journal_mode=wal, synchronous={options.durability}")
    else:
        yield Note("error", f"journal_mode={mode}: readers and writers block each other", "open the file again")
    if options.durability == "normal":
        yield Note("info", "a power cut may take the last commits along", "durability=full waits for the disk")


def _disk(store: Store) -> Iterator[Note]:
    free = shutil.disk_usage(Path(store.path).parent).free
    kind = filesystem_of(store.path) or "unknown"
    fact = f"{free / _MIB:,.0f} MiB free, filesystem {kind}"
    yield Note("warning", fact, "make room") if free < _SCARCE else Note("ok", fact)
    if kind in _SHARED:
        yield Note(
            "warning", f"{kind} may be shared with another machine", "let the processes of one machine alone use it"
        )
    if kind == "overlay":
        yield Note("warning", "the file is inside a container's own layer", "put it on a volume")


def _wake(wake: str | None) -> Iterator[Note]:
    if wake is None:
        yield Note("info", "no receive has waited yet, so this driver has no wake-up socket")
    elif wake.startswith("polling"):
        yield Note("warning", f"wake-up by {wake}", "a directory this user can write to, and wake=auto")
    else:
        yield Note("ok", f"wake-up by {wake}")
