"""The jobs a service knows, found by name; and modules, which group them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec import Struct

from ..errors import ConfigurationError, DuplicateJobNameError, UnknownJobError
from ..queues import checked_queue_name
from ..retry import Retry
from .job import Job

AnyJob: TypeAlias = Job[Any, Any]


@dataclass(frozen=True)
class JobModule:
    """Jobs that belong together, with defaults for those that set none.

    Raises:
        InvalidQueueNameError, TypeError, ValueError: a default is refused.
    """

    name: str
    jobs: Sequence[AnyJob | type[AnyJob]] = ()
    modules: Sequence[JobModule] = ()
    queue: str | None = None
    retry: Retry | int | None = None

    def __post_init__(self) -> None:
        if self.queue is not None:
            checked_queue_name(self.queue)
        if self.retry is not None:
            object.__setattr__(self, "retry", Retry.parse(self.retry))


class Registered(Struct, frozen=True):
    """A job with the queue and retry it has here."""

    job: AnyJob
    queue: str
    retry: Retry


class JobRegistry:
    """Jobs by name and by alias, with the queue and retry of those that set none."""

    def __init__(self, queue: str, retry: Retry) -> None:
        self.queue, self.retry = queue, retry
        self._by_name: dict[str, Registered] = {}
        self._by_alias: dict[str, Registered] = {}
        self.told_large: set[str] = set()
        """Jobs whose large payloads were remarked upon."""

    def include(self, items: Iterable[AnyJob | type[AnyJob] | JobModule]) -> None:
        """Register jobs, and those of modules.

        Raises:
            DuplicateJobNameError: a name or alias is taken by another job.
            ConfigurationError: modules include each other in a circle, or an item is no job.
        """
        for item in [items] if isinstance(items, (JobModule, Job)) else items:
            if isinstance(item, JobModule):
                self._include_module(item, ())
            else:
                self.add(item)

    def _include_module(self, module: JobModule, path: tuple[JobModule, ...]) -> None:
        if any(module is each for each in path):
            circle = " → ".join(each.name for each in (*path, module))
            raise ConfigurationError(f"modules include each other in a circle: {circle}")
        path = (*path, module)
        queue = next((each.queue for each in reversed(path) if each.queue is not None), None)
        retry = next((each.retry for each in reversed(path) if each.retry is not None), None)
        for each in module.jobs:
            self.add(each, queue=queue, retry=None if retry is None else Retry.parse(retry))
        for nested in module.modules:
            self._include_module(nested, path)

    def add(self, item: AnyJob | type[AnyJob], *, queue: str | None = None, retry: Retry | None = None) -> Registered:
        """Register one job; the same one again changes nothing."""
        job = as_job(item)
        known = self._by_name.get(job.name)
        if known is not None and known.job is job:
            return known
        if known is not None:
            if not _same(known.job, job):
                raise DuplicateJobNameError(job.name)
            return known
        options = job.options
        registered = Registered(job, options.queue or queue or self.queue, options.retry or retry or self.retry)
        for alias in options.aliases:
            if alias in self._by_name or alias in self._by_alias:
                raise DuplicateJobNameError(alias)
        if job.name in self._by_alias:
            raise DuplicateJobNameError(job.name)
        self._by_name[job.name] = registered
        self._by_alias.update(dict.fromkeys(options.aliases, registered))
        return registered

    def find(self, name: str) -> Registered | None:
        """The job that messages call *name*."""
        return self._by_name.get(name) or self._by_alias.get(name)

    def get(self, name: str) -> AnyJob:
        """The same job, which must be there.

        Raises:
            UnknownJobError: it is not.
        """
        found = self.find(name)
        if found is None:
            raise UnknownJobError(name)
        return found.job

    def has(self, job: AnyJob) -> bool:
        known = self._by_name.get(job.name)
        return known is not None and _same(known.job, job)

    def __iter__(self) -> Iterator[Registered]:
        return iter(list(self._by_name.values()))


def as_job(item: object) -> AnyJob:
    """A Job from a Job or a Job class.

    Raises:
        ConfigurationError: it is neither, or its class cannot be made without arguments.
    """
    if isinstance(item, Job):
        return item
    if not (isinstance(item, type) and issubclass(item, Job)):
        raise ConfigurationError(f"{item!r} is no job; use define_job(), @job or a Job subclass")
    try:
        return item()
    except TypeError as error:
        raise ConfigurationError(
            f"{item.__name__} cannot be made without arguments ({error}); pass an instance"
        ) from error


def _same(one: AnyJob, other: AnyJob) -> bool:
    return one is other or (type(one) is type(other) and type(one) is not Job)
