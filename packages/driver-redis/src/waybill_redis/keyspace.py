"""All keys as the verbs see them, on one server or on the masters of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .link import Link, Undo
from .options import RedisOptions
from .scripts import Script

if TYPE_CHECKING:
    from .server import Server


class Keyspace(Protocol):
    """Where scripts run; each ends within its time."""

    options: RedisOptions

    @property
    def where(self) -> str:
        """What errors call it."""
        ...

    @property
    def closing(self) -> bool:
        """Whether nothing may be asked any more."""
        ...

    def check_caller(self) -> None:
        """Refuse who cannot use this connection.

        Raises:
            DriverClosedError, ConfigurationError: it is closed; or it belongs to another loop or process.
        """
        ...

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Iterable[bytes | str | int],
        *,
        undo: Undo | None = None,
        safely: bool = False,
    ) -> Any:
        """The answer of a script.

        Args:
            script: to run.
            keys: that it uses, of queues that are together.
            arguments: of the script.
            undo: what to do with an answer that comes when nobody waits for it any more.
            safely: the answer is not given before what the script wrote is where the options want it.

        Raises:
            redis.RedisError, OSError, LostError, UnansweredError, UnsafeError: see failures.py.
            DriverClosedError: the driver was closed meanwhile.
        """
        ...

    def post(self, script: Script, keys: Sequence[str], arguments: Iterable[bytes | str | int]) -> None:
        """Run a script if there is a link, and wait for nothing."""
        ...

    async def connect(self, key: str) -> Link:
        """A new link to the server that has this key."""
        ...

    def together(self, queues: Sequence[str]) -> list[tuple[str, ...]]:
        """The queues in their order, in groups that a script may use at once."""
        ...

    async def servers(self) -> Sequence[Server]:
        """All that hold keys."""
        ...

    async def close(self) -> None:
        """End what is under way, after a short while."""
        ...
