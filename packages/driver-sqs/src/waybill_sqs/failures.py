"""What goes wrong with AWS, told as Waybill's errors. This is the only place where that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from botocore import exceptions

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


class UnansweredError(Exception):
    """A call's time was over; *sent*: it may have left before."""

    def __init__(self, seconds: float, *, sent: bool) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.sent = sent


class EntryError(Exception):
    """One entry of a batch was refused, and the others were not."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.code = str(told.get("Code", ""))
        self.its_own_fault = bool(told.get("SenderFault", True))
        super().__init__(f"{self.code}: {told.get('Message') or 'refused'}")


class MissingQueueError(Exception):
    """A queue is not there, and may not be made."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no queue {name!r}")


class _Fault(NamedTuple):
    fact: str
    cure: str = ""
    passes: bool = False
    """Whether it may be over the next time, without anybody changing the set-up."""
    sent: bool = False
    """Whether the call may have been carried out all the same."""


_CREDENTIALS: Final = "See how boto3 finds credentials: environment, profile, or the role of the machine"
_NOT_ALLOWED: Final = _Fault(
    "this identity may not do that", "The README of waybill-sqs has the smallest IAM policy for each part"
)
_UNKNOWN_KEY: Final = _Fault("AWS does not accept these credentials", _CREDENTIALS)
_EXPIRED: Final = _Fault("the credentials have expired", "Renew them; a role or `aws sso login` gives new ones")
_THROTTLED: Final = _Fault("AWS throttles these calls", "It passes; or ask AWS for a higher quota", passes=True)
_BROKEN: Final = _Fault("AWS itself failed", "See the AWS Health Dashboard", passes=True, sent=True)
_KMS: Final = _Fault("the queue's KMS key cannot be used", "Allow kms:GenerateDataKey and kms:Decrypt on it")
_MISSING: Final = _Fault(
    "the queue does not exist",
    "Create it, map an existing one by queues={name: url}, or let create=auto make it; the region may be wrong too",
)
_NO_TABLE: Final = _Fault(
    "the table does not exist", "`waybill aws template` makes one; the README of waybill-sqs shows its keys"
)

# By the code of the service's error, without what stands before its last dot.
_FAULTS: Final = {
    "NonExistentQueue": _MISSING,
    "QueueDoesNotExist": _MISSING,
    "ResourceNotFoundException": _NO_TABLE,
    "AccessDenied": _NOT_ALLOWED,
    "AccessDeniedException": _NOT_ALLOWED,
    "AuthorizationError": _NOT_ALLOWED,
    "UnauthorizedOperation": _NOT_ALLOWED,
    "InvalidSecurity": _NOT_ALLOWED,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _UNKNOWN_KEY,
    "InvalidSignatureException": _UNKNOWN_KEY,
    "IncompleteSignature": _UNKNOWN_KEY,
    "MissingAuthenticationToken": _UNKNOWN_KEY,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _Fault("the clock of this machine is wrong", "Set it; AWS refuses what was signed long ago"),
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "ThrottledException": _THROTTLED,
    "RequestThrottled": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "ProvisionedThroughputExceededException": _THROTTLED,
    "ServiceUnavailable": _Fault("AWS has no room for calls now", "It passes", passes=True),
    "OverLimit": _Fault("120,000 messages are in flight already", "Let workers settle some", passes=True),
    "QueueDeletedRecently": _Fault("the queue was deleted within the last minute", "Wait for a minute", passes=True),
    "PurgeQueueInProgress": _Fault("it was purged within the last minute", "Wait for a minute", passes=True),
    "ServiceQuotaExceededException": _Fault("a quota of AWS is used up", "Ask AWS for a higher one"),
}
_STALE: Final = frozenset({"ReceiptHandleIsInvalid", "MessageNotInflight"})
_AWAY: Final = _Fault("it cannot be reached", "Are the region, the endpoint_url and the network right?", passes=True)
_LOST: Final = _Fault("the connection was lost", "The next call connects again", passes=True, sent=True)
_SLOW: Final = _Fault("it did not answer in time", passes=True, sent=True)
_BUSY: Final = _Fault("calls that were made before it took all the time", passes=True)
_TLS: Final = _Fault("the TLS handshake failed", "Give the authority's certificate as tls_ca=")
_OTHER: Final = _Fault("it refused")

# By class, the first that fits.
_BY_CLASS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Fault], ...]] = (
    ((exceptions.NoCredentialsError, exceptions.PartialCredentialsError), _Fault("no credentials", _CREDENTIALS)),
    (
        (exceptions.CredentialRetrievalError, exceptions.TokenRetrievalError, exceptions.UnauthorizedSSOTokenError),
        _Fault("the credentials could not be had", _CREDENTIALS, passes=True),
    ),
    (exceptions.NoRegionError, _Fault("no region", "Write sqs://eu-west-1, or set AWS_REGION")),
    (exceptions.ProfileNotFound, _Fault("no such profile", "Correct profile=, or ~/.aws/config")),
    (exceptions.SSLError, _TLS),
    ((exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError, exceptions.ProxyConnectionError), _AWAY),
    (exceptions.ReadTimeoutError, _SLOW),
    (exceptions.HTTPClientError, _LOST),
    (OSError, _LOST),
)

EXPECTED: Final = (exceptions.BotoCoreError, exceptions.ClientError, OSError, UnansweredError, MissingQueueError)
"""What a call may raise that is not Waybill's."""


def code_of(error: BaseException) -> str:
    """The code of a service's error, such as AccessDenied, or ""."""
    if isinstance(error, EntryError):
        return error.code.rpartition(".")[2]
    if isinstance(error, exceptions.ClientError):
        told: str = error.response.get("Error", {}).get("Code", "")
        return told.rpartition(".")[2]
    return ""


def is_missing(error: Exception) -> bool:
    """Whether a queue is not there."""
    return isinstance(error, MissingQueueError) or _fault(error) is _MISSING


def is_forbidden(error: Exception) -> bool:
    """Whether this identity may not make that call."""
    return _fault(error) is _NOT_ALLOWED


def is_throttled(error: Exception) -> bool:
    """Whether the same call may be made again at once, as nothing came of it."""
    if isinstance(error, EntryError) and not error.its_own_fault:
        return True
    return _fault(error) is _THROTTLED


def while_opening(error: Exception, where: str) -> WaybillError:
    """The error of `open`."""
    fault = _fault(error)
    kind = BrokerUnavailableError if fault.passes else ConfigurationError
    return kind(_tell("open", where, fault, error, "Nothing was changed"))


def while_sending(error: Exception, where: str, message: Message) -> EnqueueError:
    """The error of an enqueue."""
    fault = _fault(error)
    if fault.sent:
        return EnqueueUnknownError(message.id, f"{where}: {fault.fact} ({_detail(error)}). {fault.cure}".rstrip())
    kind = EnqueueUnavailableError if fault.passes else EnqueueRejectedError
    return kind(_tell(f"enqueue job {message.id} on", where, fault, error, "Nothing was stored"))


def while_calling(error: Exception, where: str, asked: str) -> WaybillError:
    """The error of any other verb; *asked*: what was to be done with what."""
    fault = _fault(error)
    happened = "It may have happened all the same" if fault.sent else "Nothing was changed"
    kind = ConfigurationError if isinstance(error, MissingQueueError) else BrokerUnavailableError
    return kind(_tell(f"{asked} on", where, fault, error, happened))


def while_settling(error: Exception, where: str, verb: str, message: Message, attempt: int) -> WaybillError:
    """The error of an ack, a nack, a release or an extension."""
    code = code_of(error)
    if code in _STALE or (code == "InvalidParameterValue" and "expired" in str(error)):
        return lost_lease(message, attempt)
    return while_calling(error, where, f"{verb} job {message.id}")


def lost_lease(message: Message, attempt: int) -> LeaseLostError:
    """The delivery was settled, or its lease ran out and another worker may have the job."""
    return LeaseLostError(
        f"job {message.id}: attempt {attempt} is no longer this worker's; it was settled, or its lease ran out and "
        "another worker may have the job. Nothing was changed"
    )


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this SQS driver is closed. Open it again, or use another.")


def _fault(error: Exception) -> _Fault:
    if isinstance(error, MissingQueueError):
        return _MISSING
    if isinstance(error, UnansweredError):
        return _SLOW if error.sent else _BUSY
    code = code_of(error)
    if code in _FAULTS:
        return _FAULTS[code]
    if code.startswith("Kms") or ".KMS" in str(error) or str(error).startswith("KMS."):
        return _KMS
    if isinstance(error, EntryError):
        return _OTHER if error.its_own_fault else _BROKEN
    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return _BROKEN if status >= 500 else _OTHER
    for kind, fault in _BY_CLASS:
        if isinstance(error, kind):
            return fault
    return _OTHER


def _detail(error: Exception) -> str:
    return str(error) or type(error).__name__


def _tell(asked: str, where: str, fault: _Fault, error: Exception, happened: str) -> str:
    end = "" if fault.cure.endswith("?") else "."
    cure = f". {fault.cure}" if fault.cure else ""
    return f"cannot {asked} {where}: {fault.fact} ({_detail(error).rstrip('.')}). {happened}{cure}{end}"
