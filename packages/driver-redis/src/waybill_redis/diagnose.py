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
    yield from _durability(facts, options)
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


def _durability(facts: Facts, options: RedisOptions) -> Iterator[Note]:
    if not facts.appendonly:
        yield Note("warning", "appendonly is off: jobs end with the server's process", "appendonly yes")
    elif options.wait_fsync:
        yield Note("ok", "appendonly yes, wait_fsync: a job is on disk before it is confirmed")
    elif facts.fsync == "always" and not facts.lax:
        yield Note("ok", "appendonly yes, appendfsync always: a job is on disk before it is confirmed")
    elif facts.fsync == "always":
        fact = "appendfsync always, but no-appendfsync-on-rewrite: a power cut during a rewrite may take jobs along"
        yield Note("info", fact, "no-appendfsync-on-rewrite no")
    elif facts.fsync == "no":
        fact = (
            "appendonly yes, appendfsync no: jobs survive a kill of the server; a power cut takes the last ones along"
        )
        yield Note("info", fact, "appendfsync always waits for the disk")
    else:
        # While an fsync is under way Redis answers before it has written, so that a kill of the server loses jobs too.
        fact = (
            f"appendonly yes, appendfsync {facts.fsync or 'unknown'}: a power cut, or a kill of the server while the "
            "disk is slow, may take up to about two seconds of confirmed jobs along"
        )
        yield Note("info", fact, "appendfsync always, or wait_fsync=true on Redis 7.2, waits for the disk")
