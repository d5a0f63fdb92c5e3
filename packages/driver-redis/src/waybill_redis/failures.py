"""What goes wrong with a server, told as Waybill's errors. This is the only place where that is decided."""

from __future__ import annotations

import re
import ssl
from typing import Final, NamedTuple

from redis import exceptions

from waybill.envelope import Message
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DriverClosedError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    WaybillError,
)


class LostError(Exception):
    """The connection ended; *sent*: the bytes of the call may have left before."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class UnansweredError(Exception):
    """A call's time was over; *sent*: its bytes may have left before."""

    def __init__(self, seconds: float, *, sent: bool) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.sent = sent


class UnsafeError(Exception):
    """The server has it, and not yet where the options want it."""

    sent = True


class _Fault(NamedTuple):
    fact: str
    cure: str = ""
    passes: bool = False
    """Whether it may be over the next time, without anybody changing the set-up."""


# By the first word of the server's error, or by the words that redis-py leaves of it.
_FAULTS: Final = {
    "OOM": _Fault("its memory is full (maxmemory)", "Let workers drain the queues, purge, or raise maxmemory"),
    "READONLY": _Fault("it is a read-only replica now", "After a failover the next call finds the master", passes=True),
    "LOADING": _Fault("it is still loading its data", "It will be ready soon", passes=True),
    "BUSY": _Fault("it is busy with somebody's script", "See SCRIPT KILL", passes=True),
    "MASTERDOWN": _Fault("it is a replica without its master", "Start the master", passes=True),
    "CLUSTERDOWN": _Fault("the cluster is down", "Look at CLUSTER INFO", passes=True),
    "TRYAGAIN": _Fault("the cluster is moving this queue", passes=True),
    "NOREPLICAS": _Fault("it has fewer replicas than min-replicas-to-write", "Start them", passes=True),
    "MISCONF": _Fault(
        "it cannot save its data to disk and so takes no writes", "Look into its log, and make room", passes=True
    ),
    "MAXCLIENTS": _Fault("it has as many clients as it takes (maxclients)", "Raise maxclients", passes=True),
    "NOAUTH": _Fault("it wants a password", "Write redis://user:password@host"),
    "WRONGPASS": _Fault("it does not accept this user and password", "Correct them in the URL"),
    "NOPERM": _Fault("its ACL does not let this user do that", "The README of waybill-redis has the smallest ACL"),
    "WRONGTYPE": _Fault(
        "a key under our prefix belongs to another program and has another type",
        "Give another prefix=, or remove that key",
    ),
    "MOVED": _Fault("the cluster has moved this queue", passes=True),
    "NOCLUSTER": _Fault("it is no node of a Redis Cluster", "Leave cluster=true out"),
    "CROSSSLOT": _Fault("it is part of a Redis Cluster", "Add cluster=true"),
}
_BY_WORDS: Final = {
    "max number of clients": "MAXCLIENTS",
    "used memory > 'maxmemory'": "OOM",
    "not any more authenticated": "NOAUTH",
    "not an integer": "WRONGTYPE",
    "cluster support disabled": "NOCLUSTER",
    "invalid username-password": "WRONGPASS",
    "invalid password": "WRONGPASS",
    "called without any password configured": "WRONGPASS",
    "Authentication required": "NOAUTH",
    "is loading": "LOADING",
}
_BY_CLASS: Final[dict[type[Exception], str]] = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.AuthenticationError: "WRONGPASS",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "TRYAGAIN",
    exceptions.ClusterCrossSlotError: "CROSSSLOT",
}
_CODE: Final = re.compile(rf"(?<![\w'])({'|'.join(_FAULTS)})(?![\w'])")
_OTHER: Final = _Fault("it refused")
_TLS: Final = _Fault(
    "the TLS handshake failed", "Give the authority's certificate as tls_ca=, and the name in the server's as the host"
)
_AWAY: Final = _Fault("it cannot be reached", "Is it running, and are host and port right?", passes=True)
_LOST: Final = _Fault("the connection was lost", "The next call connects again", passes=True)
_SLOW: Final = _Fault("it did not answer in time", "Is it stopped, or busy with another's command?", passes=True)

EXPECTED: Final = (exceptions.RedisError, OSError, LostError, UnansweredError, UnsafeError)
"""What a call may raise that is not Waybill's."""


def code_of(error: BaseException) -> str | None:
    """The code of a server's error, such as OOM or NOAUTH, if it is one of those that are known."""
    told = str(error)
    for words, code in _BY_WORDS.items():
        if words in told:
            return code
    found = _CODE.search(told)
    if found:
        return found[1]
    return next((code for kind, code in _BY_CLASS.items() if isinstance(error, kind)), None)


def ends_the_link(error: Exception) -> bool:
    """Whether the next call should connect anew: this server will not do."""
    return code_of(error) in ("READONLY", "MASTERDOWN", "NOAUTH")


def while_opening(error: Exception, where: str) -> WaybillError:
    """The error of `open`."""
    fault = _fault(error)
    kind = BrokerUnavailableError if fault.passes else ConfigurationError
    return kind(_tell("open", where, fault, error, "Nothing was changed"))


def while_sending(error: Exception, where: str, message: Message) -> EnqueueError:
    """The error of an enqueue."""
    fault = _fault(error)
    if getattr(error, "sent", False):
        return EnqueueUnknownError(message.id, f"{where}: {fault.fact} ({_detail(error)}). {fault.cure}")
    kind = EnqueueUnavailableError if fault.passes else EnqueueRejectedError
    return kind(_tell(f"enqueue job {message.id} on", where, fault, error, "Nothing was stored"))


def while_calling(error: Exception, where: str, verb: str) -> BrokerUnavailableError:
    """The error of any other verb."""
    happened = "It may have happened all the same" if getattr(error, "sent", False) else "Nothing was changed"
    return BrokerUnavailableError(_tell(f"{verb} on", where, _fault(error), error, happened))


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this Redis driver is closed. Open it again, or use another.")


def _fault(error: Exception) -> _Fault:
    code = code_of(error)
    if code is not None:
        return _FAULTS[code]
    if isinstance(error, UnsafeError):
        return _Fault(
            "it is stored, and not as safely as wanted",
            "Look at replicas and disk, or at wait_replicas and wait_fsync",
            passes=True,
        )
    if isinstance(error, LostError):
        return _LOST
    if isinstance(error, (UnansweredError, TimeoutError, exceptions.TimeoutError)):
        return _SLOW
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError) or "SSL" in str(error):
        return _TLS
    if isinstance(error, (OSError, exceptions.ConnectionError)):
        return _AWAY
    return _OTHER


def _detail(error: Exception) -> str:
    return str(error) or type(error).__name__


def _tell(asked: str, where: str, fault: _Fault, error: Exception, happened: str) -> str:
    told = f"cannot {asked} {where}: {fault.fact} ({_detail(error).rstrip('.')}). {happened}."
    return f"{told} {fault.cure}{'' if fault.cure.endswith('?') else '.'}" if fault.cure else told
