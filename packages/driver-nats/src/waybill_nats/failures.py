"""What goes wrong with a server, told as Waybill's errors. This is the only place where that is decided."""

from __future__ import annotations

import ssl
from typing import Final, NamedTuple

from nats import errors

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


class RefusedError(Exception):
    """JetStream answered and refused."""

    def __init__(self, code: int, number: int, description: str) -> None:
        super().__init__(description)
        self.code, self.number = code, number
        """Like an HTTP status; and which error it is exactly."""


class ForbiddenError(Exception):
    """The user lacks a right, which is named."""


class AbsentError(Exception):
    """Nobody on the server listens to the subject, so that nothing can have happened."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"nobody listens to {subject}")


UNAVAILABLE: Final = 503
"""As in HTTP."""
STREAM_MISSING: Final = 10059
CONSUMER_MISSING: Final = 10014
NO_MESSAGE: Final = 10037
WRONG_SEQUENCE: Final = 10071
IN_USE: Final = 10058
"""A stream of that name has another configuration."""
OVERLAPS: Final = 10065
"""A stream has these subjects; of two that make the same one at once, one may be told so of the other's."""


class _Fault(NamedTuple):
    fact: str
    cure: str = ""
    passes: bool = False
    """Whether it may be over the next time, without anybody changing the set-up."""


_NO_JETSTREAM: Final = _Fault(
    "JetStream is not enabled",
    "Start nats-server with -js (or `jetstream {}` in its configuration), and enable it for this account",
)
_FULL: Final = _Fault("the queue is full", "Let workers drain it, purge, or raise max_jobs= or max_bytes=")
_NO_ROOM: Final = _Fault(
    "the server has no room left for JetStream", "Free space, or raise max_file_store or the account's limits"
)
_FAULTS: Final = {
    10002: _NO_ROOM,
    10023: _NO_ROOM,
    10028: _NO_ROOM,
    10047: _NO_ROOM,
    10039: _NO_JETSTREAM,
    10076: _NO_JETSTREAM,
    10077: _FULL,
    10054: _Fault("the message is larger than the stream takes", "Raise max_msg_size of the stream, or send less"),
    OVERLAPS: _Fault("another stream has subjects of this namespace", "Give another namespace: nats://host/other"),
    STREAM_MISSING: _Fault("its stream is missing", "Use create=auto, or make it: the README says how"),
    CONSUMER_MISSING: _Fault("its consumer is missing", "Use create=auto, or make it: the README says how"),
}
_TLS: Final = _Fault(
    "the TLS handshake failed", "Give the authority's certificate as tls_ca=, and the name in the server's as the host"
)
_PLAIN: Final = _Fault("it offers no TLS", "Write nats:// to connect without, or enable TLS on the server")
_LOGIN: Final = _Fault("it does not accept this user", "Correct user and password, creds= or nkey=")
_FORBIDDEN: Final = _Fault("this user may not do that", "The README of waybill-nats has the smallest permissions")
_AWAY: Final = _Fault("it cannot be reached", "Is it running, and are host and port right?", passes=True)
_LOST: Final = _Fault("the connection was lost", "The next call connects again", passes=True)
_SLOW: Final = _Fault("it did not answer in time", "Is it stopped, or without a leader?", passes=True)
_BUSY: Final = _Fault("it is not available now, as during an election of a leader", passes=True)
_OTHER: Final = _Fault("it refused")

_BY_KIND: Final[dict[type[Exception], _Fault]] = {
    ForbiddenError: _FORBIDDEN,
    AbsentError: _BUSY,
    LostError: _LOST,
    UnansweredError: _SLOW,
    errors.SecureConnWantedError: _PLAIN,
    ssl.SSLError: _TLS,
    TimeoutError: _SLOW,
    errors.TimeoutError: _SLOW,
}
_NOT_THERE: Final = (OSError, errors.NoServersError, errors.ConnectionClosedError, errors.StaleConnectionError)

EXPECTED: Final = (
    errors.Error,
    OSError,
    LostError,
    UnansweredError,
    RefusedError,
    ForbiddenError,
    AbsentError,
)
"""What a call may raise that is not Waybill's."""


def while_opening(error: Exception, where: str) -> WaybillError:
    """The error of `open`."""
    fault = _NO_JETSTREAM if isinstance(error, AbsentError) else _fault(error)
    kind = BrokerUnavailableError if fault.passes else ConfigurationError
    return kind(_tell("open", where, fault, error, "Nothing was changed"))


def while_sending(error: Exception, where: str, message: Message) -> EnqueueError:
    """The error of an enqueue."""
    fault = _fault(error)
    if getattr(error, "sent", False):
        return EnqueueUnknownError(message.id, f"{where}: {fault.fact} ({_detail(error)}). {fault.cure}")
    kind = EnqueueUnavailableError if fault.passes else EnqueueRejectedError
    return kind(_tell(f"enqueue job {message.id} on", where, fault, error, "Nothing was stored"))


def while_calling(error: Exception, where: str, verb: str) -> WaybillError:
    """The error of any other verb."""
    fault = _fault(error)
    happened = "It may have happened all the same" if getattr(error, "sent", False) else "Nothing was changed"
    lasting = isinstance(error, ForbiddenError) or fault in (_FAULTS[STREAM_MISSING], _FAULTS[CONSUMER_MISSING])
    kind = ConfigurationError if lasting else BrokerUnavailableError
    return kind(_tell(f"{verb} on", where, fault, error, happened))


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this NATS driver is closed. Open it again, or use another.")


def _fault(error: Exception) -> _Fault:
    for kind, fault in _BY_KIND.items():
        if isinstance(error, kind):
            return fault
    told = str(error).lower()
    if isinstance(error, RefusedError):
        if "maximum" in told and "exceeded" in told and error.number not in _FAULTS:
            return _FULL
        return _FAULTS.get(error.number) or (_BUSY if error.code == UNAVAILABLE else _OTHER)
    if "authorization" in told or "authentication" in told:
        return _LOGIN
    return _AWAY if isinstance(error, _NOT_THERE) else _OTHER


def _detail(error: Exception) -> str:
    return str(error).removeprefix("nats: ").strip() or type(error).__name__


def _tell(asked: str, where: str, fault: _Fault, error: Exception, happened: str) -> str:
    told = f"cannot {asked} {where}: {fault.fact} ({_detail(error).rstrip('.')}). {happened}."
    return told if not fault.cure else f"{told} {fault.cure}{'' if fault.cure.endswith('?') else '.'}"
