"""Small servers to stand in for brokers, and the brokers themselves."""

import socket
import socketserver
import sys
import threading
from dataclasses import dataclass
from typing import ClassVar

import pytest

from waybill_conformance.brokers import BrokerKind, Command, TcpProxy

PATIENCE = 5.0

# Appends what it hears, line by line, to a file; "?" asks for all lines of it, "!" ends it with a message.
NOTEBOOK = """
import contextlib, os, pathlib, socket, sys
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
notes = pathlib.Path(sys.argv[2], "notes")
print("open on", sys.argv[1], flush=True)
while True:
    client, _ = door.accept()
    with contextlib.suppress(ConnectionError), client, client.makefile("rw") as lines:
        for line in lines:
            if line == "!\\n":
                sys.exit("asked to end")
            if line == "?\\n":
                lines.write((notes.read_text() if notes.exists() else "") + ".\\n")
            else:
                with notes.open("a") as out:
                    out.write(line)
                lines.write("noted\\n")
            lines.flush()
"""


@dataclass(frozen=True)
class Notebook(BrokerKind):
    """A broker as somebody else would add one."""

    name: ClassVar = "notebook"
    schemes: ClassVar = ("notebook",)
    port: ClassVar = 7
    program: ClassVar = sys.executable
    patience: ClassVar = 5

    script: str = NOTEBOOK

    def commands(self, site):
        return [Command([site.program, "-c", self.script, str(site.port), str(site.folder)])]

    def ready(self, host, port):
        with socket.create_connection((host, port), timeout=1) as probe:
            probe.sendall(b"?\n")
            return bool(probe.recv(1024))

    def url(self, host, port):
        return f"notebook://{host}:{port}"


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what it reads, and remembers each read."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self):
        self.reads: list[bytes] = []
        self.resets = 0
        super().__init__(("127.0.0.1", 0), EchoHandler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()

    def heard(self) -> bytes:
        return b"".join(self.reads)

    def close(self):
        self.shutdown()
        self._thread.join()
        self.server_close()


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(65536):
                self.server.reads.append(data)
                self.request.sendall(data)
        except ConnectionError:
            self.server.resets += 1


@pytest.fixture
def notebook():
    return Notebook


@pytest.fixture
def make_echo():
    made = []

    def make() -> Echo:
        made.append(Echo())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def echo(make_echo):
    return make_echo()


@pytest.fixture
def proxy(echo):
    with TcpProxy(echo.server_address) as proxy:
        yield proxy


@pytest.fixture
def connect():
    """Opens connections that are closed at the end of the test."""
    opened = []

    def connect(address) -> socket.socket:
        client = socket.create_connection(tuple(address), timeout=PATIENCE)
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def say():
    """Sends bytes and waits for as many to come back."""

    def say(client, data: bytes) -> bytes:
        client.sendall(data)
        heard = b""
        while len(heard) < len(data) and (chunk := client.recv(65536)):
            heard += chunk
        return heard

    return say
