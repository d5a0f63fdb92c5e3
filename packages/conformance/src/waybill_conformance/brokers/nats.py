"""NATS: one process, JetStream on files."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .archive import program_of
from .kind import BrokerKind, Command, Site
from .ports import LOOPBACK

ASK_JETSTREAM = (
    b'CONNECT {"verbose":false,"pedantic":false}\r\n'
    b"SUB _INBOX.waybill 1\r\nPUB $JS.API.INFO _INBOX.waybill 0\r\n\r\nPING\r\n"
)


@dataclass(frozen=True)
class Nats(BrokerKind):
    """NATS with JetStream. `suite` takes the server of another release of Debian."""

    name: ClassVar = "nats"
    schemes: ClassVar = ("nats",)
    port: ClassVar = 4222
    program: ClassVar = "nats-server"
    package: ClassVar = "nats-server"

    image: str = "nats:latest"
    suite: str = ""
    """A release of Debian, such as "trixie", or "sid" for the newest: the server is the one that it has."""

    def __post_init__(self) -> None:
        if self.suite:
            object.__setattr__(self, "image", "")  # which is of another release

    def find(self) -> str | None:
        return program_of(self.package, self.suite, self.program) if self.suite else super().find()

    def commands(self, site: Site) -> Sequence[Command]:
        return [
            Command([site.program, "-a", LOOPBACK, "-p", str(site.port), "-js", "-sd", str(site.folder / "jetstream")])
        ]

    def container(self) -> Command:
        return Command(["-js"])  # the image's entry point is the server

    def ready(self, host: str, port: int) -> bool:
        with socket.create_connection((host, port), timeout=1) as probe:
            probe.sendall(ASK_JETSTREAM)
            heard = b""
            while chunk := probe.recv(4096):
                heard += chunk
                if b"io.nats.jetstream.api.v1.account_info_response" in heard:
                    return b'"error"' not in heard
        return False

    def url(self, host: str, port: int) -> str:
        return f"nats://{host}:{port}"
