"""What registered jobs ask for, held against what a broker promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..driver import Capabilities
from ..errors import UnsupportedError
from ..jobs.registry import Registered
from .books import CURE


def check_jobs(
    jobs: Iterable[Registered],
    able: Capabilities,
    queues: Sequence[str] | None,
    max_payload_bytes: int | None,
    *,
    recurs: bool,
) -> None:
    """Hold every job against the broker and the configured queues, and a payload limit that was set on purpose.

    Args:
        jobs: that are sent to it.
        able: what the broker promises.
        queues: the configured ones.
        max_payload_bytes: as it was asked for.
        recurs: whether there is a place for schedules.

    Raises:
        UnsupportedError: with every mismatch, and the setting that cures it, in `problems`.
    """
    jobs = list(jobs)
    problems = [problem for each in jobs for problem in _mismatches(each, able, queues)]
    if not recurs:
        problems += [
            f"{each.job.name}: schedule={each.job.options.schedule}, and this broker has no place for schedules: {CURE}"
            for each in jobs
            if each.job.options.schedule is not None
        ]
    limit = able.max_message_bytes
    if max_payload_bytes is not None and limit is not None and max_payload_bytes > limit:
        problems.append(f"max_payload_bytes={max_payload_bytes:,} is above this broker's {limit:,}: lower it")
    if problems:
        listed = "".join(f"\n  - {each}" for each in problems)
        raise UnsupportedError(f"what the jobs ask cannot be kept:{listed}", problems)


def _mismatches(registered: Registered, able: Capabilities, queues: Sequence[str] | None) -> Iterator[str]:
    name, options = registered.job.name, registered.job.options
    if queues is not None and registered.queue not in queues:
        yield f"{name}: its queue {registered.queue!r} is not among {', '.join(queues)}: add it, or move the job"
    if options.delay is not None and able.max_delay is not None and options.delay > able.max_delay:
        yield (
            f"{name}: delay={options.delay} is above the broker's {able.max_delay}: "
            "shorten it, or use the driver's scheduler option where it has one"
        )
    if options.priority and able.priorities == 1:
        yield f"{name}: priority={options.priority}, and the broker has none: use queues in order of urgency instead"
    if options.group is not None and able.ordering != "group":
        yield f"{name}: group=, and the broker orders by {able.ordering!r}: drop it, or use a broker that does"
    if options.timeout is not None and able.max_run is not None and options.timeout > able.max_run:
        yield f"{name}: timeout={options.timeout} is above the broker's longest hold of {able.max_run}: shorten it"
    unique = options.unique
    if unique is None:
        return
    if unique.until not in able.unique.scopes:
        kept = ", ".join(sorted(able.unique.scopes)) or "none"
        yield f"{name}: unique until {unique.until!r}, and the broker keeps {kept}: choose one of those, or drop it"
    elif unique.on_conflict == "raise" and not able.unique.reported:
        yield f'{name}: unique raises on conflict, and the broker drops duplicates silently: use on_conflict="skip"'
