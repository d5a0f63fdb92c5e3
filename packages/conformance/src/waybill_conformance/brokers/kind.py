"""What has to be known of a broker to start it; a further broker is one subclass of BrokerKind."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

from . import environment, package

# Where distributions put servers that an ordinary user's PATH leaves out.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/opt/rabbitmq/sbin")


@dataclass(frozen=True)
class Site:
    """Where a server process is to live: its program, an empty folder of its own, free loopback ports."""

    program: str
    folder: Path
    ports: Sequence[int]

    @property
    def port(self) -> int:
        """The one for clients."""
        return self.ports[0]


@dataclass(frozen=True)
class Command:
    """A process to start. `side` marks a companion: it is neither paused nor restarted."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    side: bool = False


@dataclass(frozen=True)
class BrokerKind:
    """A broker that tests can start. The fields of a subclass are its settings, as given to `start`."""

    name: ClassVar[str]
    """As in `start("redis")` and WAYBILL_REDIS_URL."""
    schemes: ClassVar[Sequence[str]]
    """Of its URLs, those without TLS."""
    port: ClassVar[int]
    """Where the server in a container listens."""
    ports: ClassVar[int] = 1
    """How many ports its process needs; clients use the first."""
    program: ClassVar[str]
    """The server's file name on PATH."""
    module: ClassVar[str] = ""
    """Instead of a program: the Python module that is the server."""
    package: ClassVar[str] = ""
    """Its package in Debian, or "" if there is none."""
    requirement: ClassVar[str] = ""
    """Instead of a package: what pip installs, in an environment of its own."""
    gentle: ClassVar[bool] = False
    """Whether a restart asks it to end before it kills it, as it saves what it has only then."""
    cure: ClassVar[str] = ""
    """How to get it where `package` does not help."""
    patience: ClassVar[float] = 30
    """Seconds within which it must answer."""

    image: str = ""

    @property
    def keeps(self) -> bool:
        """Whether messages outlive `kill -9`."""
        return True

    def find(self) -> str | None:
        """The program to start, or None."""
        if self.module:
            return sys.executable if module_exists(self.module) else None
        found = shutil.which(self.program, path=os.pathsep.join((os.environ.get("PATH", ""), *SERVER_FOLDERS)))
        if found is None and self.requirement:
            return environment.find(self.requirement, self.program)
        return found

    def install(self) -> str | None:
        """Get the program; what stands against it, or None."""
        if self.requirement:
            failure = environment.install(self.requirement)
            return failure and f"pip install {self.requirement}: {failure}"
        failure = package.installable() or package.install(self.package)
        return failure and f"the package {self.package}: {failure}"

    def commands(self, site: Site) -> Sequence[Command]:
        """The processes to start, in this order; the last one is the broker. Called anew for each restart."""
        raise NotImplementedError(f"{type(self).__name__} needs commands(site)")

    def container(self) -> Command:
        """What the container runs: no words for the image's own command, and further environment."""
        return Command(())

    def ready(self, host: str, port: int) -> bool:
        """Whether a client would be served now. An OSError means: not yet."""
        raise NotImplementedError(f"{type(self).__name__} needs ready(host, port)")

    def url(self, host: str, port: int) -> str:
        """How a client reaches it there."""
        raise NotImplementedError(f"{type(self).__name__} needs url(host, port)")

    def address(self, url: str) -> tuple[str, int] | None:
        """Host and port of a URL, or None if no proxy can stand before them."""
        parts = urlsplit(url)
        # Not before several hosts, and not before TLS, whose certificate is for another name than the proxy's.
        if parts.scheme not in self.schemes or not parts.hostname or "," in parts.netloc:
            return None
        return parts.hostname, parts.port or self.port

    def moved(self, url: str, host: str, port: int) -> str:
        """The same URL with another address."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit((parts.scheme, f"{user}{at}{host}:{port}", *parts[2:]))


def module_exists(name: str) -> bool:
    """Whether `python -m name` would find something, its parents imported and it not."""
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
