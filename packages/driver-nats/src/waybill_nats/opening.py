"""What must be true of a server before anything is sent to it, and what is stored with the queues of a namespace."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from waybill.errors import ConfigurationError

from .bucket import Bucket, Entry
from .names import Names
from .server import Server
from .streams import bucket as bucket_stream, nanos
from .topology import Topology

_OLDEST: Final = (2, 9)
COUNTS: Final = (2, 10)
"""From this version on a server counts no delivery that reached nobody."""
_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server said of itself."""

    version: tuple[int, int, int]
    max_payload: int
    replicas: int
    account: dict[str, Any]


async def check(server: Server, names: Names, topology: Topology, values: Bucket) -> Facts:
    """The facts of a server that will do.

    Raises:
        ConfigurationError: it will not, and why.
    """
    link = await server.link()
    where = server.address.where
    if link.version < _OLDEST:
        raise ConfigurationError(
            f"{where}: NATS {spoken(link.version)} is too old; this driver needs 2.9 or newer. Nothing was changed. "
            "Upgrade the server."
        )
    account = await server.api("INFO")
    asked = time.monotonic()
    info = await topology.have_stream(bucket_stream(names, server.options))
    if "ts" in info:
        server.clock.saw(info["ts"], asked, time.monotonic())
    await server.ask_the_time()
    await _agree(server, names, values)
    return Facts(link.version, link.max_payload, info["config"].get("num_replicas", 1), account)


def spoken(version: tuple[int, int, int]) -> str:
    """As people write it."""
    return ".".join(map(str, version))


async def _agree(server: Server, names: Names, values: Bucket) -> None:
    """See that everybody has the same lease and the same levels, as both are stored with the queues.

    Raises:
        ConfigurationError: others have another lease, or other levels.
    """
    options, subject = server.options, f"{names.values}.settings"
    ours = {"lease": nanos(options.lease), "priorities": options.priorities}
    entry: Entry | None = None
    for _ in range(_ROUNDS):
        if entry is None and await values.put(subject, json.dumps(ours).encode(), 0) is not None:
            return
        entry = await values.last(subject)
        if entry is None:
            continue
        theirs = json.loads(entry.value)
        where = f"{server.address.where}/{names.namespace}"
        if theirs["priorities"] != ours["priorities"]:
            raise ConfigurationError(
                f"{where}: priorities={ours['priorities']} was asked, and this namespace has "
                f"{theirs['priorities']} levels stored with it. Nothing was changed. Give that, or use another "
                "namespace."
            )
        if theirs["lease"] == ours["lease"]:
            return
        if not options.change:
            raise ConfigurationError(
                f"{where}: lease={_seconds(ours['lease'])} was asked, and the queues of this namespace have a lease "
                f"of {_seconds(theirs['lease'])} stored with them. Nothing was changed. Give that, or change=true to "
                "store this one for everybody."
            )
        if await values.put(subject, json.dumps(ours).encode(), entry.version) is not None:
            return


def _seconds(nanoseconds: int) -> str:
    return f"{timedelta(microseconds=nanoseconds // 1000).total_seconds():g}s"
