"""A server that runs somewhere already, named by a URL."""

from .errors import PowerMissingError
from .server import How


class RemoteServer:
    """Somebody else's: it is used, and never touched."""

    how: How = "url"

    def __init__(self, variable: str, address: tuple[str, int]) -> None:
        self.address = address
        self._variable = variable

    def kill(self) -> None:
        raise self._untouchable("restarted")

    def revive(self) -> None:
        raise self._untouchable("restarted")

    def pause(self) -> None:
        raise self._untouchable("paused")

    def resume(self) -> None:
        raise self._untouchable("resumed")

    def stop(self) -> None:
        pass

    def alive(self) -> bool:
        return True

    def log(self) -> str:
        return f"(in the hands of whoever runs it: {self._variable} names it)"

    def _untouchable(self, done: str) -> PowerMissingError:
        return PowerMissingError(
            f"The server that {self._variable} names cannot be {done} from here; nothing was done."
            f" Unset {self._variable} to have the tests start a server of their own."
        )
