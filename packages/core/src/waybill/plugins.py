"""Calling the hooks: who implements them, and each call guarded, so that one that raises stops no other."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pluggy

from .errors import ConfigurationError
from .hooks import ENTRY_POINTS, Specs

_logger: Final = logging.getLogger("waybill.hooks")


@dataclass(frozen=True, slots=True)
class _Implementation:
    function: Callable[..., Any]
    places: tuple[str, ...]
    """What it gets by place, in order."""
    keywords: tuple[str, ...] = ()
    """What it gets by name."""

    def call(self, values: Mapping[str, Any]) -> Any:
        return self.function(
            *(values.get(_ALIASES.get(name, name)) for name in self.places),
            **{name: values.get(_ALIASES.get(name, name)) for name in self.keywords},
        )


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
        self._functions = [_single(name, each) for name, each in (functions or {}).items() if each is not None]
        self._manager.add_hookspecs(Specs)
        for each in plugins:
            self.register(each)
        self._compile()

    def register(self, plugin: object) -> None:
        """Add a plugin's implementations; the same plugin again changes nothing."""
        if self._manager.is_registered(plugin):
            return
        try:
            self._manager.register(plugin)
            self._manager.check_pending()
            self._plugins.append(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise ConfigurationError(f"plugin {plugin!r}: {error}") from error
        self._compile()

    def extended(self, functions: Mapping[str, Callable[..., Any] | None]) -> Hooks:
        """These hooks and some more functions."""
        if not functions:
            return self
        more = Hooks(tuple(self._plugins), functions)
        more._functions[:0] = self._functions
        more._compile()
        return more

    async def load_entry_points(self) -> None:
        """Add what installed distributions publish in `waybill.plugins`."""
        where = tuple(sys.path)
        if where not in _installed:
            # Looking for them and importing them read files, which must not hold up the loop.
            _installed[where] = await asyncio.to_thread(_installed_plugins)
        for plugin in _installed[where]:
            self.register(plugin)

    def _compile(self) -> None:
        found: dict[str, tuple[_Implementation, ...]] = {}
        for name in (each for each in vars(Specs) if each.startswith("waybill_")):
            called = list(reversed(getattr(self._manager.hook, name).get_hookimpls()))
            if any(each.hookwrapper or each.wrapper for each in called):
                raise ConfigurationError(f"{name}: hook wrappers are not supported; use waybill_around_job")
            found[name.removeprefix("waybill_")] = (
                *(_of_plugin(name, each.function) for each in called),
                *(function for hook, function in self._functions if hook == name),
            )
        self._found = found

    def wants(self, hook: str) -> bool:
        """Whether anybody listens, so that nobody prepares what is not wanted."""
        return bool(self._found[hook])

    async def fire(self, hook: str, **values: Any) -> None:
        """Call every implementation of *hook*; one that raises is logged."""
        for each in self._found[hook]:
            try:
                returned = each.call(values)
                if inspect.isawaitable(returned):
                    await returned
            except BaseException as error:
                if _is_not_the_hooks(error):
                    raise
                _logger.exception("hook waybill_%s raised; the job's fate does not change", hook)

    @contextlib.asynccontextmanager
    async def around(self, **values: Any) -> AsyncIterator[None]:
        """Stand around a handler; a manager that raises is logged, and the handler's own error passes."""
        async with contextlib.AsyncExitStack() as stack:
            for each in self._found["around_job"]:
                await stack.enter_async_context(_guarded(each, values))
            yield


_installed: Final[dict[tuple[str, ...], list[object]]] = {}  # by sys.path, as looking takes milliseconds


def _installed_plugins() -> list[object]:
    from importlib.metadata import entry_points

    plugins: list[object] = []
    for each in entry_points(group=ENTRY_POINTS):
        try:
            plugins.append(each.load())
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"plugin {each.name!r} ({each.value}) cannot be imported: {error}") from error
    return plugins


@contextlib.asynccontextmanager
async def _guarded(implementation: _Implementation, values: Mapping[str, Any]) -> AsyncIterator[None]:
    manager = None
    with _logged():
        made = implementation.call(values)
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
    except BaseException as error:
        if error is but:
            return
        if _is_not_the_hooks(error):
            raise
        _logger.exception("hook waybill_around_job raised; the job's fate does not change")


def _is_not_the_hooks(error: BaseException) -> bool:
    """Whether it came from outside: the process is interrupted, or the task that calls the hook is cancelled."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, GeneratorExit))


_ALIASES: Final = {"context": "ctx", "err": "error"}


def _of_plugin(hook: str, function: Callable[..., Any]) -> _Implementation:
    """A plugin's function, which names what it wants; pluggy has refused unknown names without a default."""
    allowed = _parameters_of(hook)
    wanted = [each for each in inspect.signature(function).parameters.values() if each.name in allowed]
    return _Implementation(
        function,
        tuple(each.name for each in wanted if each.kind is each.POSITIONAL_ONLY),
        tuple(each.name for each in wanted if each.kind is not each.POSITIONAL_ONLY),
    )


def _parameters_of(hook: str) -> list[str]:
    return [each for each in inspect.signature(getattr(Specs, hook)).parameters if each != "self"]


# -- a function or two, without a plugin -------------------------------------------------------------------

_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_FUNCTIONS: Final = {
    "on_enqueued": ("waybill_job_enqueued", ("job", "payload", "result")),
    "on_job_start": ("waybill_job_start", ("job", "ctx", "error")),  # always None: one function may serve all
    "on_job_complete": ("waybill_job_complete", ("job", "ctx", "result")),
    "on_job_failed": ("waybill_job_failed", ("job", "ctx", "error")),
    "on_job_dead_letter": ("waybill_job_dead_letter", ("job", "ctx", "error")),
}


def _single(name: str, function: Callable[..., Any]) -> tuple[str, _Implementation]:
    """One function for one hook, whose parameters are bound by name if they are the hook's, else by place."""
    if name not in _FUNCTIONS:
        raise ConfigurationError(f"no hook argument {name!r}; there are {', '.join(_FUNCTIONS)}")
    hook, places = _FUNCTIONS[name]
    allowed = _parameters_of(hook)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C, without a signature
        return hook, _Implementation(function, places)
    kinds = {each.kind for each in parameters}
    if kinds == {inspect.Parameter.VAR_KEYWORD}:
        return hook, _Implementation(function, (), tuple(allowed))
    needed = [each for each in parameters if each.default is each.empty and each.kind not in _VARIADIC]
    by_name = inspect.Parameter.VAR_POSITIONAL not in kinds and all(each.name in allowed for each in needed)
    if by_name:
        return hook, _of_plugin(hook, function)
    placed = [each.name for each in needed if each.kind is not each.KEYWORD_ONLY]
    named = tuple(each.name for each in needed if each.kind is each.KEYWORD_ONLY)
    if len(placed) > len(places) or not set(named) <= set(allowed):
        names = ", ".join(each.name for each in needed)
        raise ConfigurationError(f"{name}: takes at most ({', '.join(places)}), and this needs {names}")
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return hook, _Implementation(function, tuple(each for each in places if each in allowed), named)
    return hook, _Implementation(function, places[: len(placed)], named)
