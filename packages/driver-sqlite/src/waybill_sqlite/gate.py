"""One writer at a time, first come, first served, over all processes.

SQLite's own lock is no queue: under load, one process can keep all others out for as long as it likes. This lock is
one, and holding it around every commit and checkpoint also keeps these apart (see the README on SQLite's WAL-reset
bug). The wait has no limit here: nobody's call has begun before the gate is passed, so the actor lets
calls end at their deadline while its thread still stands in the line.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from typing import Final

_gates: Final[weakref.WeakSet[Gate]] = weakref.WeakSet()


class Gate:
    """A lock file. Locks end with their process, however that ends.

    Args:
        path: where it is; None: no gate, and SQLite's own lock decides who writes.
    """

    def __init__(self, path: str | None) -> None:
        self._file = -1 if path is None else os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _gates.add(self)

    def acquire(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _forget_in_child() -> None:
    # A forked child shares the lock: kept open there, it would outlive a parent that is killed while it holds it.
    for gate in list(_gates):
        gate.close()


os.register_at_fork(after_in_child=_forget_in_child)
