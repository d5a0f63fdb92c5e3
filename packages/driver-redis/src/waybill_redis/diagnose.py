"""What `waybill doctor` should know about a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from waybill.driver import Note

from .opening import Facts
from .options import RedisOptions

_MIB: Final = 2**20
_NEARLY_FULL: Final = 0.9


def notes(facts: Facts, options: RedisOptions) -> Iterator[Note]:
    """Facts, and what to do about those that are no good."""
    yield Note("ok", f"Redis {facts.version}")
    yield from _memory(facts)
    yield from _durability(facts)
    if options.wait_replicas > facts.replicas:
        fact = f"{facts.replicas} replicas are connected, and wait_replicas={options.wait_replicas}"
        yield Note("error", fact, "start replicas, or lower wait_replicas: no enqueue is confirmed as it is")


def _memory(facts: Facts) -> Iterator[Note]:
    used = f"{facts.used / _MIB:,.0f} MiB used"
    if not facts.maxmemory:
        yield Note("info", f"{used}, and no maxmemory is set", "set maxmemory below the machine's memory")
        return
    fact = f"{used} of {facts.maxmemory / _MIB:,.0f} MiB, maxmemory-policy {facts.policy}"
    if facts.may_evict:
        yield Note("error", f"{fact}: a full server throws jobs away", "maxmemory-policy noeviction")
    elif facts.used > _NEARLY_FULL * facts.maxmemory:
        yield Note("warning", f"{fact}: nearly full, and a full server takes no jobs", "raise maxmemory, or purge")
    else:
        yield Note("ok", fact)


def _durability(facts: Facts) -> Iterator[Note]:
    if not facts.appendonly:
        yield Note("warning", "appendonly is off: jobs end with the server's process", "appendonly yes")
    elif facts.fsync == "always":
        yield Note("ok", "appendonly yes, appendfsync always: a job is on disk before it is confirmed")
    else:
        lost = "up to about a second of jobs" if facts.fsync == "everysec" else "the last jobs"
        # While an fsync is under way Redis puts its writes off, so that a kill of the server can lose them too.
        fact = (
            f"appendonly yes, appendfsync {facts.fsync or 'unknown'}: a power cut, or a kill of the server while the "
        )
        fact += f"disk is slow, may take {lost} along"
        yield Note("info", fact, "appendfsync always waits for the disk")
