"""What `waybill doctor` should know about the queues."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from waybill.driver import Note

from .failures import EXPECTED, is_forbidden, while_calling
from .names import DEAD, LATER, Place
from .opening import Parts
from .options import SqsOptions

_DAY: Final = 24 * 3600
_MOST: Final = 16
"""Queues that are looked at, those in use first: a worker that starts waits for it."""
_KNOWN: Final = 262_144  # bytes that a job may have as a rule


async def notes(parts: Parts) -> AsyncIterator[Note]:
    """Facts, and what to do about those that are no good."""
    options = parts.aws.options
    yield Note("ok", f"{parts.aws.where} answers, {'FIFO' if options.fifo else 'standard'} queues")
    try:
        found = sorted(await parts.places.all(), key=lambda each: each[1] not in parts.places.known)
        there = found[:_MOST]
        asked = [parts.aws.call("get_queue_attributes", QueueUrl=url, AttributeNames=["All"]) for _, url in there]
        told = await asyncio.gather(*asked)
    except EXPECTED as error:
        fact = f"the queues cannot be looked at: {while_calling(error, parts.aws.where, 'list the queues')}"
        yield Note("info" if is_forbidden(error) else "warning", fact)
        return
    if not there:
        cure = "they are made when they are first used" if options.create == "auto" else "create them, or create=auto"
        yield Note("info" if options.create == "auto" else "warning", "there are no queues yet", cure)
    if len(found) > _MOST:
        yield Note("info", f"{len(found) - _MOST} of {len(found)} queues were not looked at")
    for (place, _), answer in zip(there, told, strict=True):
        for note in _about(place, answer["Attributes"], options):
            yield note


def _about(place: Place, attributes: Mapping[str, Any], options: SqsOptions) -> Iterator[Note]:
    name = f"queue {place.queue}" + (f" ({place.part})" if place.part else "")
    if int(attributes.get("MessageRetentionPeriod", 0)) < 14 * _DAY:
        days = int(attributes.get("MessageRetentionPeriod", 0)) / _DAY
        yield Note(
            "warning", f"{name}: keeps messages for {days:g} days, then they are lost", "MessageRetentionPeriod 1209600"
        )
    if int(attributes.get("MaximumMessageSize", _KNOWN)) < _KNOWN:
        yield Note("warning", f"{name}: takes {attributes['MaximumMessageSize']} bytes", "MaximumMessageSize 1048576")
    if place.part == LATER:
        return
    if (attributes.get("FifoQueue") == "true") != options.fifo:
        yield Note("error", f"{name}: is {'no ' * options.fifo}FIFO queue", f"fifo={str(not options.fifo).lower()}")
    if place.part == DEAD:
        return
    policy = json.loads(attributes.get("RedrivePolicy", "{}"))
    if not policy:
        cure = "set a RedrivePolicy: without one what nobody can settle is received again until it is too old"
        yield Note("warning", f"{name}: has no dead-letter queue of SQS's own", cure)
    elif int(policy["maxReceiveCount"]) < options.max_receives:
        fact = f"{name}: SQS gives a message up after {policy['maxReceiveCount']} receives"
        yield Note("warning", fact, "set maxReceiveCount well above max_attempts: 100")
    else:
        yield Note("ok", f"{name}: {attributes.get('ApproximateNumberOfMessages', '?')} ready")
    lease, own = int(attributes.get("VisibilityTimeout", 30)), int(options.lease.total_seconds())
    if lease < own:
        yield Note(
            "info",
            f"{name}: its own visibility timeout is {lease} s; workers ask for lease={own}s",
            "for Lambda: six times the function's timeout",
        )
