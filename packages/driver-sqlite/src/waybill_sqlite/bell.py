"""Telling other processes that there is something to receive: a datagram to each socket in a directory.

A driver that waits puts its socket there; a driver that has committed writes the names of the queues to all others.
A datagram that gets lost costs a second at most (see waiting.py), so nothing here ever waits or fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LONGEST: Final = 100
"""Bytes of a socket's path; systems refuse from 104 or 108 on."""
_SETTLED: Final = 50_000_000
"""Nanoseconds after which a directory's time of change is no longer that of a change to come."""
_MUCH: Final = 8_000
ALL: Final = b""
"""The datagram that means: look at every queue."""


def directory_for(path: str) -> Path:
    """Where the sockets of a database are: beside it, or in the temporary directory if its path is too long."""
    beside = Path(f"{path}.wake")
    if len(os.fsencode(beside / "4194304-01234567.sock")) <= _LONGEST:
        return beside
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"waybill-{os.getuid()}-{digest}.wake"


class Bell:
    """The sockets of one database, and one's own among them. Used on the actor's thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own: Path | None = None
        self._sender: socket.socket | None = None
        self._others: list[Path] = []
        self._listed: int | None = None

    def listen(self) -> socket.socket:
        """Put one's socket into the directory.

        Raises:
            OSError: it cannot be.
        """
        self._directory.mkdir(0o700, exist_ok=True)
        status = self._directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise PermissionError(f"{self._directory} is not this user's directory")
        own = self._directory / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        listener = _socket()
        try:
            listener.bind(str(own))
        except BaseException:
            listener.close()
            raise
        self._own = own
        return listener

    def ring(self, queues: Iterable[str]) -> None:
        """Tell all others of changes in these queues."""
        others = self._listening()
        if not others:
            return
        names = "\n".join(queues).encode()
        datagram = names if len(names) < _MUCH else ALL
        self._sender = self._sender or _socket()
        for other in others:
            try:
                self._sender.sendto(datagram, str(other))
            except BlockingIOError:
                pass  # it has more to read than it needs
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(OSError):
                    other.unlink()  # its process is dead
            except OSError:
                pass  # another user's, perhaps

    def close(self) -> None:
        """Take one's socket out of the directory."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        if self._own is not None:
            with contextlib.suppress(OSError):
                self._own.unlink()
            self._own = None

    def _listening(self) -> list[Path]:
        """The others' sockets; looked for again when the directory has changed."""
        try:
            changed = self._directory.stat().st_mtime_ns
            if changed != self._listed:
                self._others = [each for each in self._directory.glob("*.sock") if each != self._own]
                # The clock of file times ticks slowly: right after a change, the next one may bear the same time.
                self._listed = changed if time.time_ns() - changed > _SETTLED else None
        except OSError:
            self._others, self._listed = [], None
        return self._others


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
