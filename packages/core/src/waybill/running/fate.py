"""What becomes of a delivery, as a value; deciding it is a pure function."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from ..errors import DeadReason, JobError, RetryExhaustedError
from ..retry import Retry


class Done(Struct, frozen=True):
    """The handler returned: ack."""


class Again(Struct, frozen=True):
    """Another attempt, after a while: nack."""

    error: BaseException
    after: timedelta


class Dead(Struct, frozen=True):
    """Given up and kept, in the dead letters of `to` or of its own queue: bury."""

    error: BaseException
    reason: DeadReason
    to: str | None = None


class Dropped(Struct, frozen=True):
    """Given up and not kept, as the job wants it: ack."""

    error: BaseException


class Released(Struct, frozen=True):
    """Not finished, through no fault of its own: given back without spending an attempt."""


class Lost(Struct, frozen=True):
    """Another worker may have it: nothing is settled."""


Fate: TypeAlias = Done | Again | Dead | Dropped | Released | Lost


def fate_of_failure(
    error: BaseException,
    retry: Retry,
    *,
    job_name: str,
    attempt: int,
    max_attempts: int,
    now: datetime,
    to: str | None,
) -> Fate:
    """What a failed run comes to, by the job's policy."""
    permitted = retry.permits(error)
    if permitted and attempt < max_attempts:
        return Again(error, retry.wait(attempt, error))
    if not retry.dead:
        return Dropped(error)
    if not permitted:
        return Dead(error, DeadReason("permanent", describe(error), attempt, now), to)
    exhausted = RetryExhaustedError(job_name, attempt, max_attempts)
    exhausted.__cause__ = error
    return Dead(exhausted, DeadReason("exhausted", f"{exhausted}: {describe(error)}", attempt, now), to)


def describe(error: BaseException) -> str:
    """An error in one line; our own say enough without their type."""
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its text cannot be told: {type(broken).__name__})"
    text = text.encode(errors="backslashreplace").decode()  # a lone surrogate could not be stored
    return text if text and isinstance(error, JobError) else f"{type(error).__name__}: {text}".removesuffix(": ")
