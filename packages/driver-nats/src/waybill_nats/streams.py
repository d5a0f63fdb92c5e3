"""What streams and consumers are made of, and what of that must not have been changed by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from .names import LATER, TIMED, Names
from .options import NatsOptions

SCHEDULES: Final = (2, 12)
"""From this version on a server keeps schedules."""
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_WAITING: Final = 2048
"""Pulls that may wait at one consumer: one for each waiting worker."""
_PARKED_FOR: Final = timedelta(seconds=2)
"""How long a receiver may take to move a message that has come due; one that takes longer moves it for nothing."""
_LETTERS_WINDOW: Final = timedelta(hours=1)
"""How long a message that was given up is recognised, should its receiver have died in the middle of that."""


def nanos(span: timedelta) -> int:
    """A duration as JetStream has it."""
    return span // _MICROSECOND * 1000


def queue_stream(names: Names, options: NatsOptions, queue: str, *, scheduling: bool) -> dict[str, Any]:
    """The stream that is a queue. Every job that was accepted stays until it is acked: a full stream refuses."""
    config = _stream(names.stream(queue), f"{names.root(queue)}.>", options) | {
        "retention": "workqueue",
        "max_msgs": options.max_jobs or -1,
        "max_bytes": options.max_bytes or -1,
        "duplicate_window": nanos(options.dedup_window),
    }
    if scheduling:
        # Such a stream cannot be told to refuse (NATS 2.15 does not take it), and has no limit at which it would drop.
        config |= {"allow_msg_schedules": True, "discard": "old"}
    return config


def letters_stream(names: Names, options: NatsOptions) -> dict[str, Any]:
    """The stream of all dead letters."""
    window = {"duplicate_window": nanos(max(_LETTERS_WINDOW, 2 * options.lease))}
    return _stream(names.dead, f"{names.letters}.>", options) | window


def bucket(names: Names, options: NatsOptions) -> dict[str, Any]:
    """The key-value bucket of the namespace."""
    history = {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True}
    return _stream(names.bucket, f"{names.values}.>", options) | history


def _stream(name: str, subjects: str, options: NatsOptions) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": [subjects],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": options.replicas,
        "allow_direct": True,
    }


def drift(wanted: dict[str, Any], found: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What of a stream is not as it was made: (setting, wanted, found). `loses` tells whether that loses jobs."""
    for name, value in wanted.items():
        if name not in ("name", "allow_direct", "allow_msg_schedules") and found.get(name) != value:
            yield name, value, found.get(name)
    if found.get("sealed"):
        yield "sealed", False, True


def loses(found: dict[str, Any]) -> str | None:
    """Why jobs would be lost in a stream with this configuration, if they would be."""
    limits = {name: found.get(name) for name in ("max_msgs", "max_bytes", "max_msgs_per_subject")}
    limits = {name: value for name, value in limits.items() if value is not None and value > 0}
    if found.get("max_age"):
        return "max_age drops jobs that wait longer"
    if found.get("discard") != "new" and limits:
        return f"discard={found.get('discard')} with {', '.join(limits)} drops the oldest job for the newest"
    if "max_msgs_per_subject" in limits:
        return "max_msgs_per_subject drops a job for the next of the same id"
    if found.get("storage") != "file":
        return f"storage={found.get('storage')} keeps nothing over a restart of the server"
    if found.get("retention") != "workqueue":
        return f"retention={found.get('retention')} does not remove what is acked"
    return None


def consumers(names: Names, options: NatsOptions, queue: str, *, scheduling: bool) -> dict[str, dict[str, Any]]:
    """The consumers of a queue by name: one for each level, one for what is parked, one that counts schedules."""
    root, lease = names.root(queue), options.lease
    made = {f"level{level}": _consumer(f"{root}.{level}.>", lease) for level in range(options.priorities)}
    made[LATER] = _consumer(f"{root}.{LATER}.>", _PARKED_FOR)
    if scheduling:
        made[TIMED] = _consumer(f"{root}.{TIMED}.>", _PARKED_FOR)
    return {name: {"durable_name": name, **config} for name, config in made.items()}


def _consumer(subjects: str, lease: timedelta) -> dict[str, Any]:
    return {
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanos(lease),
        "max_deliver": -1,  # attempts are counted here: a message that was delivered too often would lie there for ever
        "max_ack_pending": -1,  # what is parked counts as pending, and must not hold up the rest
        "max_waiting": _MOST_WAITING,
        "filter_subject": subjects,
        "replay_policy": "instant",
    }
