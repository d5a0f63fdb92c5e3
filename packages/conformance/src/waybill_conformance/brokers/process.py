"""A server as child processes, in a folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from .errors import BrokerStartError
from .kind import BrokerKind, Command, Site
from .lifeline import Lifeline
from .ports import LOOPBACK, free_port, refuses
from .server import How

LOG_TAIL = 2_000
GRACE = 5.0  # seconds that a killed group may take to die


class Child:
    """One process with what it starts itself: a session of its own, so that signals reach all of it."""

    def __init__(self, command: Command, log: Path) -> None:
        self.side = command.side
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - a server program, by its full path
                list(command.argv),
                env={**os.environ, **command.env},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._lifeline = Lifeline(
            ["/bin/sh", "-c", 'kill -9 "-$1"; sleep 0.1; rm -rf "$2"', "x", str(self.pid), str(log.parent)]
        )

    @property
    def pid(self) -> int:
        """Of the leader, and so of its group."""
        return self._popen.pid

    def alive(self) -> bool:
        """Whether the leader runs."""
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Stop all of it; a signal is only on its way when it has been sent, so it is waited for."""
        self.signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def ask_to_end(self) -> None:
        """Let it end by itself, for a while, also if it was paused."""
        self._popen.terminate()
        self.signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(GRACE)

    def kill(self) -> None:
        """End it all, at once; to be called once, as the number may go to a stranger then."""
        self.signal(signal.SIGKILL)
        self._popen.wait()
        self._lifeline.release()


class ProcessServer:
    """The processes of one broker: started at once, revived on the same ports and the same folder."""

    how: How = "process"

    def __init__(self, kind: BrokerKind, program: str) -> None:
        self._kind = kind
        self._folder = Path(tempfile.mkdtemp(prefix=f"waybill-{kind.name}-"))
        self._site = Site(program, self._folder, [free_port() for _ in range(kind.ports)])
        self._log = self._folder / "log"
        self._children: dict[int, Child] = {}  # by place in the kind's list of commands
        try:
            self.revive()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> tuple[str, int]:
        return LOOPBACK, self._site.port

    def kill(self) -> None:
        for place, child in list(self._children.items()):
            if not child.side:
                if self._kind.gentle:
                    child.ask_to_end()
                child.kill()
                del self._children[place]
        end = time.monotonic() + GRACE
        while not refuses(*self.address):  # the leader was waited for, the rest of its group is dying
            if time.monotonic() > end:
                raise BrokerStartError(f"{self._kind.name} still listens {GRACE} s after kill -9: at {self.address}")
            time.sleep(0.005)

    def revive(self) -> None:
        for place, command in enumerate(self._kind.commands(self._site)):
            if place not in self._children:
                self._children[place] = self._start(command)

    def pause(self) -> None:
        for child in self._main():
            child.pause()

    def resume(self) -> None:
        for child in self._main():
            child.signal(signal.SIGCONT)

    def stop(self) -> None:
        # The broker before its companions.
        for place in sorted(self._children, reverse=True):
            self._children.pop(place).kill()
        end = time.monotonic() + GRACE
        while self._folder.exists() and time.monotonic() < end:  # what is dying may still write
            shutil.rmtree(self._folder, ignore_errors=True)

    def alive(self) -> bool:
        return all(child.alive() for child in self._children.values())

    def log(self) -> str:
        if not self._log.exists():
            return "(none)"
        return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]

    def _start(self, command: Command) -> Child:
        try:
            return Child(command, self._log)
        except OSError as error:
            raise BrokerStartError(f"{self._kind.name} cannot be started by {command.argv[0]}: {error}") from error

    def _main(self) -> list[Child]:
        return [child for child in self._children.values() if not child.side]
