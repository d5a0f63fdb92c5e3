"""What goes wrong with a server, told as Waybill's errors. This is the only place where that is decided."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from waybill.driver import Delivery
from waybill.envelope import Message
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DriverClosedError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    LeaseLostError,
    WaybillError,
)


class LostError(Exception):
    """The channel or connection ended; *sent*: the bytes of the call may have left before."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class UnansweredError(Exception):
    """A call's time was over; *sent*: its bytes may have left before."""

    def __init__(self, seconds: float = 0, *, sent: bool) -> None:
        super().__init__(f"no answer within {seconds:g} s" if seconds else "no answer in time")
        self.sent = sent


class BlockedError(Exception):
    """The server takes nothing from those who publish, and nothing was sent."""


class RefusedError(Exception):
    """The server has answered a publish with a nack."""


class UnroutableError(Exception):
    """The server has sent a publish back, as no queue is there for it."""


class _Fault(NamedTuple):
    fact: str
    cure: str = ""
    passes: bool = False
    """Whether it may be over the next time, without anybody changing the set-up."""


_README: Final = "the README of waybill-rabbitmq has the smallest permissions"
_LOGIN: Final = _Fault("it does not accept this user and password", "Correct them in the URL")
_VHOST: Final = _Fault(
    "this virtual host does not exist, or this user may not use it",
    "Correct the path of the URL ('/' is %2F), or make the vhost and give the user permissions",
)
_TLS: Final = _Fault(
    "the TLS handshake failed",
    "Give the authority's certificate as tls_ca=, and the name in the server's as the host or tls_server_name=; "
    "amqps:// is for the TLS port, 5671 as a rule",
)
_PERMISSION: Final = _Fault("this user has no permission for that", f"Give it; {_README}", passes=True)
_OTHERWISE: Final = _Fault(
    "a queue or exchange of this name is there already and was declared otherwise",
    "Use it as it is with declare=passive, set the option that differs, give another prefix=, or delete it once it "
    "is empty",
)
_TIMEOUT: Final = _Fault(
    "a job was held for longer than the server's consumer timeout",
    "Raise consumer_timeout on the server, or give the job a shorter timeout",
    passes=True,
)
_MISSING: Final = _Fault(
    "there is no such queue or exchange",
    "Make it, or let the driver do so with declare=create; the next call looks again",
    passes=True,
)
_BIG: Final = _Fault("the message is larger than the server's max_message_size", "Raise it, or send less")
_FORCED: Final = _Fault("it closed the connection", "The next call connects again", passes=True)
_DOWN: Final = _Fault("a queue's node is down or has no majority", "Start the missing nodes", passes=True)
_OTHER: Final = _Fault("it refused", passes=True)
_PROTOCOL: Final = _Fault(
    "it does not speak AMQP 0-9-1 here", "Is the port right? 5672 as a rule, 5671 with amqps://", passes=True
)
_AWAY: Final = _Fault("it cannot be reached", "Is it running, and are host and port right?", passes=True)
_LOST: Final = _Fault("the connection was lost", "The next call connects again", passes=True)
_SLOW: Final = _Fault("it did not answer in time", "Is it stopped or overloaded?", passes=True)
_BLOCKED: Final = _Fault(
    "it takes no messages now, as its memory or disk alarm is on",
    "Let workers drain the queues, or give it memory or disk",
    passes=True,
)
_FULL: Final = _Fault(
    "it refused the message: the queue has reached a limit of length, or its node is failing",
    "Let workers drain it, or raise the limit",
)
_UNROUTABLE: Final = _Fault(
    "there is no such queue", "Make it, or let the driver do so with declare=create", passes=False
)

EXPECTED: Final = (
    exceptions.AMQPError,
    AMQPConnectorException,
    OSError,
    LostError,
    UnansweredError,
    BlockedError,
    RefusedError,
    UnroutableError,
)
"""What a call may raise that is not Waybill's."""


def while_opening(error: Exception, where: str) -> WaybillError:
    """The error of `open`."""
    fault, detail = _fault(error)
    kind = BrokerUnavailableError if fault.passes else ConfigurationError
    return kind(_tell("open", where, fault, detail, "Nothing was changed"))


def while_sending(error: Exception, where: str, message: Message) -> EnqueueError:
    """The error of an enqueue."""
    fault, detail = _fault(error)
    if getattr(error, "sent", False):
        cure = f". {fault.cure}" if fault.cure else ""
        return EnqueueUnknownError(message.id, f"{where}: {fault.fact} ({detail}){cure}")
    kind = EnqueueUnavailableError if fault.passes and fault is not _PERMISSION else EnqueueRejectedError
    return kind(_tell(f"enqueue job {message.id} in {message.queue!r} on", where, fault, detail, "Nothing was stored"))


def while_calling(error: Exception, where: str, verb: str) -> WaybillError:
    """The error of any other verb."""
    fault, detail = _fault(error)
    happened = "It may have happened all the same" if getattr(error, "sent", False) else "Nothing was changed"
    kind = ConfigurationError if fault is _OTHERWISE else BrokerUnavailableError
    return kind(_tell(f"{verb} on", where, fault, detail, happened))


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this RabbitMQ driver is closed. Open it again, or use another.")


def lost_lease(delivery: Delivery) -> LeaseLostError:
    """The delivery was settled, or its connection ended and it went back to its queue."""
    return LeaseLostError(
        f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's; it was settled, or its "
        "connection was lost and the job is back in its queue. Nothing was changed"
    )


def refuses(reason: Exception, exchange: str, *, alone: bool) -> bool:
    """Whether the end of a channel means that a message for this exchange was not stored, for certain."""
    if not isinstance(reason, exceptions.ChannelClosedByBroker):
        return False
    return alone or f"exchange '{exchange or 'amq.default'}'" in str(reason.reply_text)


def is_missing(error: Exception) -> bool:
    """Whether a queue or exchange is not there."""
    return any(_code(each) == 404 for each in _causes(error))


def _fault(error: Exception) -> tuple[_Fault, str]:
    """What happened, and what was said of it."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _TLS, _detail(cause)
    for cause in causes:
        code = _code(cause)
        if code is not None:
            text = str(getattr(cause, "reply_text", ""))
            return _of_reply(code, text, whole=isinstance(cause, exceptions.ConnectionClosed)), f"{code} {text}"
        if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.ProbableAccessDeniedError):
            # pika guesses by the moment at which the connection ended; the server's own words are in the text, if any.
            words = {"ACCESS_REFUSED": _LOGIN, "NOT_ALLOWED": _VHOST}
            return next((fault for word, fault in words.items() if word in str(cause)), _LOST), _detail(cause)
    for cause in reversed(causes):  # the innermost says it best
        for kind, fault in _BY_CLASS.items():
            if isinstance(cause, kind):
                return fault, _detail(cause)
    return _OTHER, _detail(error)


_BY_CLASS: Final[dict[type[BaseException], _Fault]] = {
    BlockedError: _BLOCKED,
    RefusedError: _FULL,
    UnroutableError: _UNROUTABLE,
    UnansweredError: _SLOW,
    exceptions.AuthenticationError: _LOGIN,
    exceptions.IncompatibleProtocolError: _PROTOCOL,
    exceptions.StreamLostError: _LOST,
    exceptions.AMQPHeartbeatTimeout: _LOST,
    TimeoutError: _SLOW,
    OSError: _AWAY,
    LostError: _LOST,
    exceptions.AMQPConnectionError: _AWAY,
}


def _of_reply(code: int, text: str, *, whole: bool) -> _Fault:
    if "inequivalent arg" in text:
        return _OTHERWISE
    if "timeout" in text and code == 406:
        return _TIMEOUT
    if "message size" in text:
        return _BIG
    if "is down or inaccessible" in text or "no majority" in text:
        return _DOWN
    if code == 530 and whole:
        return _VHOST
    if code == 403:
        return _LOGIN if whole else _PERMISSION
    if code in (404, 405):
        return _MISSING
    return _FORCED if whole else _OTHER


def _code(error: BaseException) -> int | None:
    if isinstance(error, exceptions.ChannelClosedByBroker | exceptions.ConnectionClosedByBroker):
        return int(error.reply_code)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those it wraps: pika puts them in attributes and arguments."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting.append(each.__cause__)
        waiting.append(getattr(each, "exception", None))
        waiting += getattr(each, "exceptions", ())
        waiting += [one for one in each.args if isinstance(one, BaseException)]


def _detail(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _tell(asked: str, where: str, fault: _Fault, detail: str, happened: str) -> str:
    cure = f". {fault.cure}" if fault.cure else ""
    return f"cannot {asked} {where}: {fault.fact} ({detail.rstrip('.')}). {happened}{cure}."
