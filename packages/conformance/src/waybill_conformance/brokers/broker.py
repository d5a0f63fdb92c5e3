"""A running broker, and what tests may do to it."""

import atexit
import os
import threading
from types import TracebackType
from typing import Self

from .errors import PowerMissingError
from .kind import BrokerKind
from .proxy import TcpProxy
from .server import How, Server, wait_until_ready


class Broker:
    """A broker behind a proxy of its own. `start` makes it; its verbs block, and any thread may call them."""

    def __init__(self, kind: BrokerKind, server: Server, *, url: str | None = None) -> None:
        self.kind = kind
        self._server = server
        self._given = url
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._proxy = TcpProxy(server.address) if url is None or kind.address(url) else None

    def __repr__(self) -> str:
        # Not the URL, which may have a password in it.
        place = "direct" if self._proxy is None else "{}:{}".format(*self._proxy.address)
        return f"<Broker {self.name} ({self.how}) {place}>"

    @property
    def name(self) -> str:
        """The kind's."""
        return self.kind.name

    @property
    def how(self) -> How:
        """The way it was come by."""
        return self._server.how

    @property
    def url(self) -> str:
        """How a client reaches it, through the proxy: the same before and after a restart."""
        if self._proxy is None:
            return self.direct_url
        if self._given is not None:
            return self.kind.moved(self._given, *self._proxy.address)
        return self.kind.url(*self._proxy.address)

    @property
    def direct_url(self) -> str:
        """How a client reaches it without the proxy."""
        return self._given if self._given is not None else self.kind.url(*self._server.address)

    @property
    def proxy(self) -> TcpProxy:
        """What its clients' connections go through."""
        if self._proxy is None:
            raise PowerMissingError(
                f"No proxy can stand before this {self.name}: its URL names several hosts, TLS or the provider's own"
                " service. Its connections can be neither cut nor slowed down; nothing was done."
            )
        return self._proxy

    def log(self) -> str:
        """The end of what the server printed."""
        return self._server.log()

    def restart(self, *, forgetful: bool = False) -> None:
        """`kill`, and `revive` with the same data; returns when it serves.

        Where the data cannot be the same this is refused, unless `forgetful` says that it need not be.
        """
        if not (self.kind.keeps or forgetful or self.how == "url"):
            raise PowerMissingError(
                f"{self.name} here is an emulator in memory: a restart would lose every message, as the real service"
                " never does; nothing was done. Use pause() or cut(), or restart(forgetful=True)."
            )
        with self._lock:
            self.kill()
            self.revive()

    def kill(self) -> None:
        """`kill -9`; a gentle kind is asked to end first. What was open is closed, what is new is refused."""
        with self._lock:
            if self.kind.gentle and self._proxy is not None:
                self._proxy.cut()  # it would wait for what is under way
            self._server.kill()
            if self._proxy is not None:
                self._proxy.refuse()
                self._proxy.cut()

    def revive(self) -> None:
        """Start what was killed, on the same data; returns when it serves."""
        with self._lock:
            try:
                self._server.revive()
                wait_until_ready(self.kind, self._server)
                if self._proxy is not None:
                    self._proxy.upstream = self._server.address
            finally:
                if self._proxy is not None:
                    self._proxy.accept()

    def pause(self) -> None:
        """Let it stand still: connections stay open, new ones are accepted, nothing is answered."""
        with self._lock:
            self._server.pause()

    def resume(self) -> None:
        """Let it go on where it stood still."""
        with self._lock:
            self._server.resume()

    def cut(self) -> None:
        """Every open connection dies now; new ones are accepted."""
        self.proxy.cut()

    def stop(self) -> None:
        """End what was started, and only that. A second call does nothing."""
        if os.getpid() != self._owner:
            return  # a fork, which runs this when it exits
        with self._lock:
            if self._proxy is not None:
                self._proxy.close()
            self._server.stop()
            atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
