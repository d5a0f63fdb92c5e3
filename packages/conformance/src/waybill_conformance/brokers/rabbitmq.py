"""RabbitMQ: the node, and an epmd of our own that ends with it."""

import shutil
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from .kind import BrokerKind, Command, Site
from .ports import LOOPBACK

NODE_FOLDER = "/usr/lib/rabbitmq/bin"
FRAME = struct.Struct("!BHL")  # type, channel, size; the method's own bytes and FRAME_END follow
FRAME_END = b"\xce"
REST = timedelta(seconds=3)
"""From then on a node keeps a queue that it has declared. One that is killed at once may come back without it (3.10: 4
of 60 times, after a second 2 of 50, on a busy machine), as Mnesia's log lies in memory for up to two seconds; or with a
quorum queue that never elects a leader again (3.10, 4.0). That proves nothing about a driver."""
METHOD = struct.Struct("!HH")
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK = (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41)


@dataclass(frozen=True)
class RabbitMq(BrokerKind):
    """RabbitMQ, user guest, vhost /. Let a new queue rest for `REST` before a restart."""

    name: ClassVar = "rabbitmq"
    schemes: ClassVar = ("amqp",)
    port: ClassVar = 5672
    ports: ClassVar = 3
    program: ClassVar = "rabbitmq-server"
    package: ClassVar = "rabbitmq-server"
    patience: ClassVar = 60

    image: str = "rabbitmq:latest"

    def find(self) -> str | None:
        # The one in /usr/sbin is a wrapper that changes the user: it wants to be root or rabbitmq.
        return shutil.which(self.program, path=NODE_FOLDER) or super().find()

    def commands(self, site: Site) -> Sequence[Command]:
        clients, nodes, epmd = map(str, site.ports)
        folder = site.folder
        (folder / "rabbitmq.conf").write_text(
            # The node keeps what it has told to the disk; it must not refuse work because the disk is small.
            f"listeners.tcp.1 = {LOOPBACK}:{clients}\ndisk_free_limit.absolute = 1MB\n",
            encoding="ascii",
        )
        (folder / "enabled_plugins").write_text("[].\n", encoding="ascii")
        env = {
            "HOME": str(folder),  # the cookie's home
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": epmd,
            "RABBITMQ_NODENAME": f"waybill{clients}@localhost",
            "RABBITMQ_DIST_PORT": nodes,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.env"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        # A node starts an epmd that is missing, which then outlives it.
        name_server = Command([shutil.which("epmd") or "epmd", "-address", LOOPBACK, "-port", epmd], side=True)
        return [name_server, Command([site.program], env)]

    def ready(self, host: str, port: int) -> bool:
        # A connection to the vhost, as any client makes it: the port alone opens before the queues are back.
        with socket.create_connection((host, port), timeout=2) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            if read_method(probe)[0] != START:
                return False
            probe.sendall(method(START_OK, bytes(4), b"\x05PLAIN", struct.pack("!L", 12), b"\0guest\0guest\x05en_US"))
            reply, tuning = read_method(probe)
            if reply != TUNE:
                return False
            probe.sendall(method(TUNE_OK, tuning) + method(OPEN, b"\x01/\x00\x00"))
            return read_method(probe)[0] == OPEN_OK

    def url(self, host: str, port: int) -> str:
        return f"amqp://guest:guest@{host}:{port}/%2F"


def method(number: tuple[int, int], *arguments: bytes) -> bytes:
    """A frame of AMQP 0-9-1 on channel 0."""
    body = METHOD.pack(*number) + b"".join(arguments)
    return FRAME.pack(1, 0, len(body)) + body + FRAME_END


def read_method(source: socket.socket) -> tuple[tuple[int, ...], bytes]:
    """The number and the arguments of the next frame."""
    *_, size = FRAME.unpack(read(source, FRAME.size))
    body = read(source, size + len(FRAME_END))[: -len(FRAME_END)]
    return METHOD.unpack(body[: METHOD.size]), body[METHOD.size :]


def read(source: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    heard = b""
    while len(heard) < size:
        chunk = source.recv(size - len(heard))
        if not chunk:
            raise ConnectionResetError("the node closed the connection")
        heard += chunk
    return heard
