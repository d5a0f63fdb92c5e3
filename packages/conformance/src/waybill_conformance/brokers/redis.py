"""Redis: one process, an append-only file."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .kind import BrokerKind, Command, Site
from .ports import LOOPBACK


@dataclass(frozen=True)
class Redis(BrokerKind):
    """Redis with AOF on. `fsync` is its appendfsync; `options` are further ones, such as ("--maxmemory", "100mb")."""

    name: ClassVar = "redis"
    schemes: ClassVar = ("redis",)
    port: ClassVar = 6379
    program: ClassVar = "redis-server"
    package: ClassVar = "redis-server"

    image: str = "redis:latest"
    fsync: Literal["everysec", "always", "no"] = "everysec"
    options: tuple[str, ...] = ()

    def commands(self, site: Site) -> Sequence[Command]:
        place = ("--bind", LOOPBACK, "--port", str(site.port), "--dir", str(site.folder))
        return [Command([site.program, *place, *self._options()])]

    def container(self) -> Command:
        # Its port is mapped to this machine's loopback only, so nobody needs protecting.
        return Command(["redis-server", "--protected-mode", "no", *self._options()])

    def ready(self, host: str, port: int) -> bool:
        with socket.create_connection((host, port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")  # answered by -LOADING while the file is read back
            return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    def url(self, host: str, port: int) -> str:
        return f"redis://{host}:{port}/0"

    def _options(self) -> Sequence[str]:
        return ("--appendonly", "yes", "--appendfsync", self.fsync, "--save", "", *self.options)
