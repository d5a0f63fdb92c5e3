"""What `waybill doctor` should know about a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from waybill.driver import Note

from .options import RabbitMQOptions

_NO_CYCLES: Final = (4, 0, 1)
_OBEYS_QUEUES: Final = (3, 12)


def notes(
    version: tuple[int, ...], options: RabbitMQOptions, lost: int, where: str, blocked: str | None
) -> Iterator[Note]:
    """Facts, and what to do about those that are no good.

    Args:
        version: the server's.
        options: the driver's.
        lost: how many delayed messages found no queue.
        where: the queue that keeps them.
        blocked: why the server takes no messages now, if it does not.
    """
    shown = ".".join(map(str, version))
    if version < _NO_CYCLES:
        yield Note("info", f"RabbitMQ {shown}", "4.0.1 or newer is recommended")
    else:
        yield Note("ok", f"RabbitMQ {shown}")
    if blocked is not None:
        yield Note("warning", f"it takes no messages now: {blocked}", "drain the queues, or give it memory or disk")
    if options.queue_type == "classic":
        fact = "queue_type=classic: a job is on one node alone, and confirmed before it is on the disk there"
        yield Note("warning", fact, "queue_type=quorum, unless strict priorities are needed")
    else:
        yield Note("ok", "quorum queues: a job is on disk, on most nodes of the cluster, before it is confirmed")
    if options.declare != "create":
        fact = f"declare={options.declare}: queues are yours to make"
        yield Note("info", fact, "the README of waybill-rabbitmq says how they must be declared")
    yield from _held(version, options)
    if lost:
        fact = f"{lost:,} delayed jobs came due when their queue had been deleted; they are kept in {where}"
        yield Note("warning", fact, "make the queue again and move them there (shovel), or purge that queue")


def _held(version: tuple[int, ...], options: RabbitMQOptions) -> Iterator[Note]:
    if options.consumer_timeout is None:
        fact = "a job may run for 30 minutes, the server's default consumer_timeout, which AMQP does not show"
        cure = "for longer jobs raise consumer_timeout there, and tell the driver: ?consumer_timeout=2h"
        yield Note("info", fact, cure)
    elif version < _OBEYS_QUEUES:
        fact = f"a job may run for {options.consumer_timeout}, if this server is configured so: it does not ask queues"
        yield Note("info", fact, "consumer_timeout in rabbitmq.conf, in milliseconds")
    else:
        yield Note("ok", f"a job may run for {options.consumer_timeout}")
