"""A server in a container, by testcontainers."""

import contextlib
import gc
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .errors import BrokerStartError
from .kind import BrokerKind
from .lifeline import Lifeline
from .ports import LOOPBACK, free_port
from .server import How

LOG_LINES = 30
ENGINE_SECONDS = 60
REMOVE = "import docker, sys; engine = docker.from_env(); engine.api.remove_container(sys.argv[1], v=True, force=True)"
starting = threading.Lock()  # Ryuk's switch is the process's


def load(name: str) -> ModuleType:
    """The module, without the warnings that its import has for its own authors."""
    # By name, so that neither a client nor a type checker needs testcontainers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def missing(image: str) -> str | None:
    """What stands against a container of this image, or None."""
    if not image:
        return "there is no image for it"
    try:
        docker = load("docker")
        load("testcontainers.core.container")
    except ImportError as error:
        return f"testcontainers cannot be imported ({error})"
    engine, reason = reach(docker)
    if engine is None:
        return reason
    with contextlib.closing(engine):
        try:
            engine.images.get(image)
        except docker.errors.ImageNotFound:
            try:
                engine.images.pull(image)
            except Exception as error:  # as many kinds as there are registries
                return f"the Docker engine has no image {image} and cannot pull it ({brief(error)})"
    return None


def reach(docker: ModuleType) -> tuple[Any, str]:
    """A client of the engine, or None and the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return docker.from_env(timeout=ENGINE_SECONDS), ""  # this asks for its version
        except Exception as error:  # as many kinds as there are transports
            reason = f"no Docker engine answers ({brief(error)})"
        gc.collect()  # the socket on which nobody answered is never closed: let it go while that warns nobody
    return None, reason


def brief(error: BaseException) -> str:
    """Its first line."""
    return str(error).strip().partition("\n")[0][:200]


@contextlib.contextmanager
def without_ryuk() -> Iterator[None]:
    """Ryuk is a further image, for what a killed process leaves behind; a Lifeline does the same here."""
    name = "TESTCONTAINERS_RYUK_DISABLED"
    with starting:
        before = os.environ.get(name)
        os.environ[name] = "true"
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


class ContainerServer:
    """One container; its file system, and so its data, lasts until `stop`."""

    how: How = "container"

    def __init__(self, kind: BrokerKind) -> None:
        self._kind = kind
        command = kind.container()
        # The port is fixed: a random one would be another after each restart.
        self._port = free_port()
        self._container: Any = load("testcontainers.core.container").DockerContainer(
            kind.image, command=list(command.argv) or None, env=dict(command.env)
        )
        self._container.ports = {f"{kind.port}/tcp": (LOOPBACK, self._port)}
        try:
            with without_ryuk():
                self._container.start()
        except Exception as error:
            self._container.stop()
            raise BrokerStartError(
                f"A container of {kind.image} cannot be started: {brief(error)}", died=True
            ) from error
        try:
            self._docker = self._container.get_wrapped_container()
            self._lifeline: Lifeline | None = Lifeline([sys.executable, "-c", REMOVE, self._docker.id])
        except BaseException:
            self._container.stop()
            raise

    @property
    def address(self) -> tuple[str, int]:
        return LOOPBACK, self._port

    def kill(self) -> None:
        self.resume()  # the engine kills nothing that is paused
        try:
            self._docker.kill("SIGKILL")
        except Exception:  # its class is docker's
            if self._status() == "running":
                raise  # else: it has just died by itself
        self._docker.wait()

    def revive(self) -> None:
        self._docker.start()

    def pause(self) -> None:
        if self._status() != "paused":
            self._docker.pause()

    def resume(self) -> None:
        if self._status() == "paused":
            self._docker.unpause()

    def stop(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            self._container.stop()
            lifeline.release()

    def alive(self) -> bool:
        return self._status() not in {"exited", "dead"}

    def log(self) -> str:
        return str(self._docker.logs(tail=LOG_LINES).decode(errors="replace"))

    def _status(self) -> str:
        self._docker.reload()
        return str(self._docker.status)
