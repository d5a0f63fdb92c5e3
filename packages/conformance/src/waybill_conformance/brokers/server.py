"""A broker's server, however it was come by."""

import time
from typing import Literal, Protocol

from .errors import BrokerStartError
from .kind import BrokerKind

How = Literal["url", "container", "process"]


class Server(Protocol):
    """What the ways to a broker have in common. A verb that a way lacks raises PowerMissingError."""

    @property
    def how(self) -> How:
        """The way it was come by."""
        ...

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens now; another place after each `revive`, perhaps."""
        ...

    def kill(self) -> None:
        """End it at once, its data kept. It listens no more when this returns."""
        ...

    def revive(self) -> None:
        """Start what `kill` ended, on the same data; it may not be ready yet."""
        ...

    def pause(self) -> None:
        """Let it stand still."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...

    def stop(self) -> None:
        """End what was started for it, and remove its data. A second call does nothing."""
        ...

    def alive(self) -> bool:
        """Whether it has not ended by itself."""
        ...

    def log(self) -> str:
        """The end of what it printed."""
        ...


def wait_until_ready(kind: BrokerKind, server: Server) -> None:
    """Returns when a client would be served; BrokerStartError when that takes too long."""
    end = time.monotonic() + kind.patience
    last: OSError | None = None
    while time.monotonic() < end:
        if not server.alive():
            raise BrokerStartError(
                f"The {kind.name} server ({server.how}) has ended by itself. Its log:\n{server.log()}", died=True
            )
        try:
            if kind.ready(*server.address) and server.alive():  # and nobody else answers on its port
                return
        except OSError as error:
            last = error
        time.sleep(0.02)
    host, port = server.address
    raise BrokerStartError(
        f"The {kind.name} server ({server.how}) at {host}:{port} did not answer a client within {kind.patience} s"
        f" (last try: {last or 'a refusal'}). Its log:\n{server.log()}"
    ) from last
