"""What plugins can hook into: every hook, when it fires, and what it may ask for by name.

A plugin is any object or module with functions of these names, marked `@hookimpl`; it is given to
`JobService(plugins=[...])` or published in the entry-point group `waybill.plugins`. Functions are sync (and must
not block) or async, and name only the parameters they want. Each is called and guarded singly: one that raises is
logged, stops no other and changes no job's fate.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pluggy

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .jobs.context import JobContext
    from .result import EnqueueResult

hookspec: Final = pluggy.HookspecMarker("waybill")
hookimpl: Final = pluggy.HookimplMarker("waybill")
_logger: Final = logging.getLogger("waybill.hooks")

ENTRY_POINTS: Final = "waybill.plugins"


@dataclass(frozen=True, slots=True)
class JobExecution:
    """The job a hook is told about; for an undecodable or unknown message parts of it are None."""

    job_id: str
    job_name: str | None
    queue: str
    payload: Any
    attempt: int
    enqueued_at: datetime | None
    metadata: Mapping[str, Any]


class Specs:
    """The hooks. `context` is `ctx`, and `err` is `error`, by another name."""

    @hookspec
    def waybill_job_enqueued(self, job: JobExecution, payload: Any, result: EnqueueResult) -> object:
        """The broker has accepted a job; its `attempt` is 0."""

    @hookspec
    def waybill_job_start(self, job: JobExecution, ctx: JobContext, context: JobContext) -> object:
        """A handler is about to run."""

    @hookspec
    def waybill_job_complete(self, job: JobExecution, ctx: JobContext, context: JobContext, result: Any) -> object:
        """A handler returned; the ack follows."""

    @hookspec
    def waybill_job_failed(  # noqa: PLR0917 - a plugin names what it wants
        self,
        job: JobExecution,
        ctx: JobContext | None,
        context: JobContext | None,
        error: BaseException,
        err: BaseException,
        retry_in: timedelta | None,
    ) -> object:
        """An attempt failed; it runs again after `retry_in`, or never (None)."""

    @hookspec
    def waybill_job_dead_letter(
        self,
        job: JobExecution,
        ctx: JobContext | None,
        context: JobContext | None,
        error: BaseException,
        err: BaseException,
    ) -> object:
        """A message is given up, and is about to be kept as a dead letter."""

    @hookspec
    def waybill_around_job(
        self, job: JobExecution, ctx: JobContext, context: JobContext
    ) -> AbstractAsyncContextManager[object]:
        """An async context manager entered before the handler and left after it."""
        raise NotImplementedError

    @hookspec
    def waybill_worker_start(self, worker: Any) -> object:
        """A worker has connected and is about to receive."""

    @hookspec
    def waybill_worker_stop(self, worker: Any) -> object:
        """A worker has settled what it could and is about to disconnect."""


@dataclass(frozen=True, slots=True)
class _Implementation:
    function: Callable[..., Any]
    names: tuple[str, ...]


class Hooks:
    """The implementations of every hook, ready to be called."""

    def __init__(
        self,
        plugins: tuple[object, ...] = (),
        functions: Mapping[str, Callable[..., Any] | None] | None = None,
    ) -> None:
        """Collect implementations.

        Args:
            plugins: objects with marked functions.
            functions: on_job_start, on_job_complete, on_job_failed, on_job_dead_letter, on_enqueued.

        Raises:
            ConfigurationError: a hook's name or one of its parameters is unknown.
        """
        self._manager = pluggy.PluginManager("waybill")
        self._plugins: list[object] = []
        self._manager.add_hookspecs(Specs)
        for each in plugins:
            self.register(each)
        for name, function in (functions or {}).items():
            if function is not None:
                self.register(_single(name, function))
        self._compile()

    def register(self, plugin: object) -> None:
        """Add a plugin's implementations."""
        try:
            self._manager.register(plugin)
            self._manager.check_pending()
            self._plugins.append(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise ConfigurationError(f"plugin {plugin!r}: {error}") from error
        self._compile()

    def extended(self, functions: Mapping[str, Callable[..., Any] | None]) -> Hooks:
        """These hooks and some more functions."""
        return Hooks(tuple(self._plugins), functions) if functions else self

    def load_entry_points(self) -> None:
        """Add what installed distributions publish in `waybill.plugins`."""
        from importlib.metadata import entry_points

        for each in entry_points(group=ENTRY_POINTS):
            self.register(each.load())

    def _compile(self) -> None:
        found: dict[str, tuple[_Implementation, ...]] = {}
        for name in (each for each in vars(Specs) if each.startswith("waybill_")):
            called = list(reversed(getattr(self._manager.hook, name).get_hookimpls()))
            if any(each.hookwrapper or each.wrapper for each in called):
                raise ConfigurationError(f"{name}: hook wrappers are not supported; use waybill_around_job")
            found[name.removeprefix("waybill_")] = tuple(
                _Implementation(each.function, each.argnames) for each in called
            )
        self._found = found

    def wants(self, hook: str) -> bool:
        """Whether anybody listens, so that nobody prepares what is not wanted."""
        return bool(self._found[hook])

    async def fire(self, hook: str, **values: Any) -> None:
        """Call every implementation of *hook*; one that raises is logged."""
        for each in self._found[hook]:
            try:
                returned = each.function(*(_value(name, values) for name in each.names))
                if inspect.isawaitable(returned):
                    await returned
            except Exception:
                _logger.exception("hook waybill_%s raised; the job's fate does not change", hook)

    @contextlib.asynccontextmanager
    async def around(self, **values: Any) -> AsyncIterator[None]:
        """Stand around a handler; a manager that raises is logged, and the handler's own error passes."""
        async with contextlib.AsyncExitStack() as stack:
            for each in self._found["around_job"]:
                await stack.enter_async_context(_guarded(each, values))
            yield


@contextlib.asynccontextmanager
async def _guarded(implementation: _Implementation, values: Mapping[str, Any]) -> AsyncIterator[None]:
    manager = None
    with _logged():
        made = implementation.function(*(_value(name, values) for name in implementation.names))
        await made.__aenter__()
        manager = made
    if manager is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        with _logged(but=error):
            await manager.__aexit__(type(error), error, error.__traceback__)
        raise
    with _logged():
        await manager.__aexit__(None, None, None)


@contextlib.contextmanager
def _logged(but: BaseException | None = None) -> Iterator[None]:
    """Log what a hook raises; *but* the handler's own error, which a manager may pass on."""
    try:
        yield
    except Exception as error:
        if error is not but:
            _logger.exception("hook waybill_around_job raised; the job's fate does not change")


_ALIASES: Final = {"context": "ctx", "err": "error"}


def _value(name: str, values: Mapping[str, Any]) -> Any:
    return values.get(_ALIASES.get(name, name))


# -- a function or two, without a plugin -------------------------------------------------------------------

_FUNCTIONS: Final = {
    "on_enqueued": ("waybill_job_enqueued", ("job", "payload", "result")),
    "on_job_start": ("waybill_job_start", ("job", "ctx")),
    "on_job_complete": ("waybill_job_complete", ("job", "ctx", "result")),
    "on_job_failed": ("waybill_job_failed", ("job", "ctx", "error")),
    "on_job_dead_letter": ("waybill_job_dead_letter", ("job", "ctx", "error")),
}


def _single(name: str, function: Callable[..., Any]) -> object:
    """A plugin made of one function, whose parameters are bound by name if they are the hook's, else by place."""
    if name not in _FUNCTIONS:
        raise ConfigurationError(f"no hook argument {name!r}; there are {', '.join(_FUNCTIONS)}")
    hook, places = _FUNCTIONS[name]
    allowed = set(inspect.signature(getattr(Specs, hook)).parameters) - {"self"}
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    names = [each.name for each in parameters]
    if not set(names) <= allowed:
        needed = [each for each in parameters if each.default is each.empty]
        if len(needed) > len(places):
            raise ConfigurationError(f"{name}: takes at most ({', '.join(places)}), and this needs {', '.join(names)}")
        names = list(places[: len(needed)])

    def call(**values: Any) -> Any:
        return function(*(values[each] for each in names))

    return type(name, (), {hook: staticmethod(hookimpl(_with_parameters(call, names)))})()


def _with_parameters(call: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """Pluggy reads parameter names from the signature, and calls by place."""

    def implementation(*values: Any) -> Any:
        return call(**dict(zip(names, values, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    implementation.__signature__ = inspect.Signature([inspect.Parameter(each, kind) for each in names])  # type: ignore[attr-defined]
    return implementation
