"""What `waybill doctor` should know about a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from waybill.driver import Note

from .opening import Facts, spoken
from .options import NatsOptions
from .streams import SCHEDULES

_SAFE: Final = (2, 10, 23)
_SYNCS: Final = (2, 10)
_NEARLY_FULL: Final = 0.9


def notes(facts: Facts, options: NatsOptions) -> Iterator[Note]:
    """Facts, and what to do about those that are no good."""
    version = spoken(facts.version)
    if facts.version < _SAFE:
        fact = f"NATS {version}: versions below 2.10.23 are known to lose streams when the server crashes"
        yield Note("warning", fact, "upgrade to 2.12 or newer")
    else:
        yield Note("ok", f"NATS {version}")
    if facts.replicas == 1:
        fact = "each job is kept on one server: it is lost with that server's disk"
        yield Note("warning", fact, "replicas=3 on a cluster of three")
    else:
        yield Note("ok", f"each job is kept on {facts.replicas} servers")
    cure = "sync_interval: always in the jetstream block of the server's configuration"
    if facts.version < _SYNCS:
        cure = "upgrade: NATS 2.9 cannot be told to write to the disk before it confirms"
    yield Note(
        "info",
        "a client cannot see the server's sync_interval; by default a power cut takes up to two minutes of jobs along",
        cure,
    )
    if options.scheduler == "park" or options.limited or facts.version < SCHEDULES:
        yield Note("info", "delayed jobs are parked; receivers bring them into their queues when they are due")
    yield from _room(facts)


def _room(facts: Facts) -> Iterator[Note]:
    used, limit = facts.account.get("storage", 0), facts.account.get("limits", {}).get("max_storage", -1)
    if limit is not None and limit > 0:
        fact = f"{used / 2**20:,.0f} MiB used of {limit / 2**20:,.0f} MiB that this account has"
        if used > _NEARLY_FULL * limit:
            yield Note("warning", f"{fact}: nearly full, and then no job is taken", "raise the account's max_file")
        else:
            yield Note("ok", fact)
