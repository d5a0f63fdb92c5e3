"""What handlers ask for by type: made once per worker, or for each job that asks, and closed afterwards.

resources = Resources().add(Mailer, make_mailer).add(Session, open_session, scope="job")
service = JobService(url, services=resources)           # or services={Mailer: make_mailer}

async def handle(self, payload: Welcome, ctx: JobContext) -> None:
    await ctx.resource(Mailer).send(payload.user_id)
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from .errors import ConfigurationError

T = TypeVar("T")
Scope = Literal["worker", "job"]


@dataclass(frozen=True, slots=True)
class _Factory:
    make: Callable[..., Any]
    scope: Scope
    takes_resources: bool


class Resources:
    """Factories by the type of what they make.

    A factory is a function, `async def` or not, that returns the resource or a context manager that is entered for it.
    One that takes a parameter is given the resources that were made before: `lambda made: Repository(made[Engine])`.
    """

    def __init__(self, factories: Mapping[type[Any], Callable[..., Any]] | None = None) -> None:
        self._factories: dict[type[Any], _Factory] = {}
        for kind, factory in (factories or {}).items():
            self.add(kind, factory)

    def add(self, kind: type[T], factory: Callable[..., Any], *, scope: Scope = "worker") -> Self:
        """Say how a *kind* is made.

        Args:
            kind: what handlers ask for.
            factory: makes it.
            scope: once for a worker, at its start; or for each job, when it first asks.

        Raises:
            ConfigurationError: the factory cannot be called, or takes too much.
        """
        _check(kind, factory)
        if scope not in ("worker", "job"):
            raise ConfigurationError(f'scope is "worker" or "job", not {scope!r}')
        self._factories[kind] = _Factory(factory, scope, _takes_resources(kind, factory))
        return self

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenResources]:
        """Make those of a worker, in the order of their adding; close them in reverse."""
        async with AsyncExitStack() as stack:
            made: dict[type[Any], Any] = {}
            opened = OpenResources(made, {k: f for k, f in self._factories.items() if f.scope == "job"})
            for kind, factory in self._factories.items():
                if factory.scope == "worker":
                    made[kind] = await _entered(factory, opened, stack)
            yield opened


class OpenResources:
    """What a worker has made."""

    def __init__(self, made: Mapping[type[Any], Any], for_each_job: Mapping[type[Any], _Factory]) -> None:
        self._made, self.for_each_job = made, for_each_job

    def get(self, kind: type[T]) -> T:
        """The worker's resource of that type.

        Raises:
            ConfigurationError: there is none.
        """
        if kind in self._made:
            found: T = self._made[kind]
            return found
        name = getattr(kind, "__name__", kind)
        if kind in self.for_each_job:
            raise ConfigurationError(f"{name} is made for each job: ask for it by ctx.resource({name})")
        known = ", ".join(sorted(each.__name__ for each in (*self._made, *self.for_each_job))) or "none"
        raise ConfigurationError(f"no resource {name} is known here; there are: {known}. Add it to services=")

    __getitem__ = get


class JobResources:
    """The same, and what one job has made; an async context manager that closes the latter."""

    def __init__(self, worker: OpenResources) -> None:
        self._worker = worker
        self._made: dict[type[Any], Any] = {}
        self._stack = AsyncExitStack()

    def get(self, kind: type[T]) -> T:
        """A resource, made now if it is one of the job's.

        Raises:
            ConfigurationError: there is none, or it can only be awaited.
        """
        if kind not in self._made:
            factory = self._worker.for_each_job.get(kind)
            if factory is None:
                return self._worker.get(kind)
            self._made[kind] = _entered_here(kind, factory, self, self._stack)
        found: T = self._made[kind]
        return found

    __getitem__ = get

    async def get_async(self, kind: type[T]) -> T:
        """The same for those that are made or entered by awaiting."""
        if kind not in self._made:
            factory = self._worker.for_each_job.get(kind)
            if factory is None:
                return self._worker.get(kind)
            self._made[kind] = await _entered(factory, self, self._stack)
        found: T = self._made[kind]
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)


def _check(kind: Any, factory: Any) -> None:
    if not isinstance(kind, type) or not callable(factory):
        raise ConfigurationError(f"a resource is a type with a function that makes it, not {kind!r}: {factory!r}")


def _takes_resources(kind: type[Any], factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # a builtin class, which is called without any
        return False
    required = [
        each
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(required) > 1 or any(each.kind is each.KEYWORD_ONLY for each in required):
        raise ConfigurationError(f"the factory of {kind.__name__} takes the resources, or nothing; give it a lambda")
    return bool(required)


def _call(factory: _Factory, resources: Any) -> Any:
    return factory.make(resources) if factory.takes_resources else factory.make()


async def _entered(factory: _Factory, resources: Any, stack: AsyncExitStack) -> Any:
    made = _call(factory, resources)
    if inspect.isawaitable(made):
        made = await made
    return await enter(made, stack)


async def enter(made: Any, stack: AsyncExitStack) -> Any:
    """What a factory has returned or, of a context manager, what that gives."""
    if hasattr(made, "__aenter__"):
        return await stack.enter_async_context(made)
    if hasattr(made, "__enter__") and hasattr(made, "__exit__"):
        return stack.enter_context(made)
    return made


def _entered_here(kind: type[Any], factory: _Factory, resources: Any, stack: AsyncExitStack) -> Any:
    made = _call(factory, resources)
    if inspect.isawaitable(made) or (hasattr(made, "__aenter__") and not hasattr(made, "__enter__")):
        if inspect.iscoroutine(made):
            made.close()
        raise ConfigurationError(
            f"{kind.__name__} is made by awaiting: write await ctx.async_resource({kind.__name__})"
        )
    if not (hasattr(made, "__enter__") and hasattr(made, "__exit__")):
        return made
    entered, thread = made.__enter__(), threading.get_ident()

    async def leave(*error: Any) -> bool | None:
        # Of a plain handler it was entered on its thread; leaving may block as entering may.
        here = threading.get_ident() == thread
        left: bool | None = made.__exit__(*error) if here else await asyncio.to_thread(made.__exit__, *error)
        return left

    stack.push_async_exit(leave)
    return entered
