"""A job's options, as they are written and as they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Generic, Literal, cast

from typing_extensions import TypedDict, TypeVar

from ..envelope import UniqueScope
from ..errors import ConfigurationError
from ..queues import checked_queue_name
from ..retry import Retry
from ..schedules.schedule import Schedule
from ..timing import Duration, parse_duration

P = TypeVar("P", default=Any, contravariant=True)

PRIORITIES: Final = 10


@dataclass(frozen=True)
class Unique(Generic[P]):
    """At most one job with a key at a time, within its queue and job name.

    Args:
        key: from the parsed payload to the key; None makes that one call not unique.
        window: how long the key is held at most ("done"), or exactly ("window").
        until: when it is free: "done" (the default), "start" (a worker received it), or "window" (the
            default where a window is given).
        on_conflict: raise DuplicateJobError, or skip and return a result with status "duplicate".

    Raises:
        ValueError: the parts do not fit together.
    """

    key: Callable[[P], object]
    window: Duration | None = None
    until: UniqueScope | None = None
    on_conflict: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        if not callable(self.key):
            raise TypeError(f"Unique(key=) is a function of the payload, not {self.key!r}")
        window = None if self.window is None else parse_duration(self.window, bare=False)
        until = self.until or ("done" if window is None else "window")
        if until not in ("done", "start", "window"):
            raise ValueError(f'until is "done", "start" or "window", not {until!r}')
        if until == "window" and not window:
            raise ValueError('until="window" needs a window, such as window="5m"')
        if self.on_conflict not in ("raise", "skip"):
            raise ValueError(f'on_conflict is "raise" or "skip", not {self.on_conflict!r}')
        object.__setattr__(self, "window", window)
        object.__setattr__(self, "until", until)


class JobOptionsInput(TypedDict, total=False):
    """What `define_job`, `@job` and a class's attributes take."""

    queue: str | None
    queue_name: str | None
    retry: Retry | int | None
    timeout: Duration | None
    unique: Unique[Any] | None
    group: Callable[[Any], object] | str | None
    priority: int
    delay: Duration | None
    dead_letter_queue: str | None
    on_invalid: Literal["dead", "retry"]
    aliases: Iterable[str]
    schedule: Schedule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """A job's options, checked. None leaves the choice to the module or service."""

    queue: str | None = None
    retry: Retry | None = None
    timeout: timedelta | None = None
    unique: Unique[Any] | None = None
    group: Callable[[Any], object] | str | None = None
    priority: int = 0
    delay: timedelta | None = None
    dead_letter_queue: str | None = None
    on_invalid: Literal["dead", "retry"] = "dead"
    aliases: tuple[str, ...] = ()
    schedule: Schedule | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> JobOptions:
        """Read options as they are written.

        Raises:
            ConfigurationError: an option is unknown. ValueError, TypeError: its value is refused.
            InvalidQueueNameError: a queue's name breaks the rule.
        """
        values = {name: value for name, value in given.items() if value is not None}
        if "queue_name" in values:
            alias = values.pop("queue_name")
            values["queue"] = values.get("queue") or alias
        unknown = values.keys() - OPTION_NAMES
        if unknown:
            raise ConfigurationError(
                f"a job has no option {min(unknown)!r}; options: {', '.join(sorted(OPTION_NAMES))}"
            )
        return cls(**{name: _read(name, value) for name, value in values.items()})


def _read(name: str, value: Any) -> Any:
    try:
        return _READERS[name](value)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}={value!r}: {error}") from None


def checked_priority(value: object) -> int:
    """The priority itself, if it is one.

    Raises:
        ValueError: it is not a whole number from 0 to 9.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < PRIORITIES:
        raise ValueError(f"a priority is a whole number from 0 to 9, higher first; it cannot be {value!r}")
    return value


def _unbare(value: Duration) -> timedelta:
    return parse_duration(value, bare=False)


def _unique(value: Any) -> Unique[Any]:
    if not isinstance(value, Unique):
        raise TypeError(f"unique is Unique(key=...), not {value!r}")
    return value


def _group(value: Any) -> Callable[[Any], object] | str:
    if isinstance(value, str):
        return value
    if not callable(value):
        raise TypeError(f"group is a function of the payload, or text, not {value!r}")
    return cast("Callable[[Any], object]", value)


def _on_invalid(value: Any) -> Any:
    if value not in ("dead", "retry"):
        raise ValueError(f'on_invalid is "dead" or "retry", not {value!r}')
    return value


def _aliases(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _schedule(value: Any) -> Schedule:
    if not isinstance(value, Schedule):
        raise TypeError(f"schedule is Schedule(cron=…), Schedule(every=…) and the like, not {value!r}")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "queue": checked_queue_name,
    "retry": Retry.parse,
    "timeout": _unbare,
    "unique": _unique,
    "group": _group,
    "priority": checked_priority,
    "delay": _unbare,
    "dead_letter_queue": checked_queue_name,
    "on_invalid": _on_invalid,
    "aliases": _aliases,
    "schedule": _schedule,
}
OPTION_NAMES = frozenset(each.name for each in fields(JobOptions))
