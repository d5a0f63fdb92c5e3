"""What goes wrong with a file, told as Waybill's errors. This is the only place where that is decided."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from waybill.envelope import Message
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    WaybillError,
)


class MovedError(Exception):
    """The file was removed or replaced while it was open."""


class UnansweredError(Exception):
    """A call's time was over; *begun*: it may have happened all the same."""

    def __init__(self, seconds: float, *, begun: bool) -> None:
        super().__init__()
        self.seconds, self.begun = seconds, begun


class _Fault(NamedTuple):
    fact: str
    cure: str
    passes: bool = False
    """Whether it may be over the next time."""
    unsure: bool = False
    """Whether what was asked may have happened."""


_FAULTS: Final = {
    "SQLITE_FULL": _Fault("the disk is full, or the file has reached its max_page_count", "Make room"),
    "SQLITE_READONLY": _Fault(
        "it is read-only for this process",
        "Let this user write to the file and to its directory, where SQLite keeps -wal and -shm beside it",
    ),
    "SQLITE_NOTADB": _Fault("it is no SQLite database", "Name another file"),
    "SQLITE_CORRUPT": _Fault(
        "it is damaged", "Stop whoever uses it, and restore a copy or salvage what is left: sqlite3 FILE .recover"
    ),
    "SQLITE_CANTOPEN": _Fault(
        "it cannot be opened", "Let this user read and write the file and its directory", passes=True
    ),
    "SQLITE_BUSY": _Fault("another program keeps it locked", "Find it: fuser -v FILE", passes=True),
    "SQLITE_IOERR": _Fault(
        "the disk does not do as it is told", "Look into the system's log", passes=True, unsure=True
    ),
    "SQLITE_TOOBIG": _Fault("a value is larger than SQLite takes", "Send less"),
}
_OTHER: Final = _Fault("SQLite refused", "")
_SYSTEM: Final = _Fault("the system refused", "Let this user read and write the file and its directory")
_MOVED: Final = _Fault(
    "the file was removed or replaced while it was open", "The next call opens what is there now", passes=True
)
_TOO_LATE: Final = _Fault(
    "another process holds its write lock for too long (is it stopped, or in a debugger?)",
    "Find it: fuser -v FILE-gate FILE",
    passes=True,
)
_TOO_SLOW: Final = _Fault("the disk did not answer", "Look into the system's log", passes=True, unsure=True)

EXPECTED: Final = (sqlite3.Error, sqlite3.Warning, OSError, OverflowError, UnicodeError, MovedError, UnansweredError)
"""What the verbs' statements may raise."""
OF_VALUES: Final = (
    UnicodeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""Those that one message of a batch is to blame for."""
_FATAL: Final = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_READONLY")


def is_fatal(error: Exception) -> bool:
    """Whether the connection is of no more use."""
    return isinstance(error, (OSError, MovedError)) or _name(error) in _FATAL


def while_opening(error: Exception, path: str) -> WaybillError:
    """The error of `open`."""
    fault = _fault(error)
    if isinstance(error, UnansweredError) or _name(error) == "SQLITE_BUSY":
        return BrokerUnavailableError(_tell("open", path, fault, error, "Nothing was changed"))
    return ConfigurationError(_tell("open", path, fault, error, "Nothing was changed"))


def while_sending(error: Exception, path: str, message: Message) -> EnqueueError:
    """The error of an enqueue."""
    fault = _fault(error)
    asked = f"enqueue job {message.id} on"
    if fault.unsure and not (isinstance(error, UnansweredError) and not error.begun):
        return EnqueueUnknownError(message.id, f"{path}: {fault.fact} ({_detail(error)}). {fault.cure}")
    kind = EnqueueUnavailableError if fault.passes else EnqueueRejectedError
    return kind(_tell(asked, path, fault, error, "Nothing was stored"))


def while_calling(error: Exception, path: str, verb: str) -> BrokerUnavailableError:
    """The error of any other verb."""
    fault = _fault(error)
    happened = "It may have happened all the same" if fault.unsure else "Nothing was changed"
    return BrokerUnavailableError(_tell(f"{verb} on", path, fault, error, happened))


def _fault(error: Exception) -> _Fault:
    if isinstance(error, MovedError):
        return _MOVED
    if isinstance(error, UnansweredError):
        return _TOO_SLOW if error.begun else _TOO_LATE
    if isinstance(error, OSError):
        return _SYSTEM
    return _FAULTS.get(_name(error), _OTHER)


def _name(error: Exception) -> str:
    # Extended codes carry more behind their name: SQLITE_IOERR_WRITE, SQLITE_READONLY_DIRECTORY.
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


def _detail(error: Exception) -> str:
    if isinstance(error, UnansweredError):
        return f"no answer within {error.seconds:g} s"
    return str(error) or type(error).__name__


def _tell(asked: str, path: str, fault: _Fault, error: Exception, happened: str) -> str:
    cure = f". {fault.cure.replace('FILE', path)}" if fault.cure else ""
    return f"cannot {asked} {path}: {fault.fact} ({_detail(error)}). {happened}{cure}."
