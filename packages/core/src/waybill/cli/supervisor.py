"""Several worker processes under one parent, which replaces those that die and passes its signals on.

A socket joins the parent with each child. The child writes to it once it works; the kernel closes it with either end,
so that a child learns of its parent's end, `kill -9` included, on every system.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, Final, Self

_logger: Final = logging.getLogger("waybill.supervisor")
_LIFELINE: Final = "WAYBILL_LIFELINE"
_READY: Final = b"r"
_EXTRA: Final = 8.0  # seconds beyond the grace after which a child that does not end is killed
_STEADY: Final = 10.0  # seconds after which a child's death is no longer counted with the one before
_LONGEST_PAUSE: Final = {True: 1.0, False: 30.0}  # after a death at work, after a failed start


class Supervisor:
    """Keeps a number of worker processes running until it is stopped.

    The first goes ahead, so that what keeps it from starting is told once. A child that cannot start ends them all
    if no other is at work; else it is tried again, as one that died is.

    Args:
        command: what a child runs; a `waybill worker` of some kind.
        processes: how many.
        grace: the children's own.
        env, cwd, output: the children's environment, directory and stderr; this process's own by default.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        grace: timedelta,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        self._command, self._processes, self._grace = command, processes, grace
        self._env, self._cwd, self._output = env, cwd, output
        self._children: set[_Child] = set()
        self._one_works, self._stopping = asyncio.Event(), asyncio.Event()
        self._kill: asyncio.TimerHandle | None = None
        self._exit_code = 0

    @property
    def working(self) -> list[int]:
        """The ids of the processes that have started well."""
        return [each.process.pid for each in self._children if each.works]

    async def run(self, *, signals: bool = False) -> int:
        """Supervise until stopped; how the parent should exit.

        Args:
            signals: SIGTERM and SIGINT stop the children gracefully; a second one cuts their grace short.
        """
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT) if signals else ()
        for each in caught:
            loop.add_signal_handler(each, self.stop)
        try:
            async with asyncio.TaskGroup() as slots:
                for number in range(self._processes):
                    slots.create_task(self._keep_one(first=number == 0))
        finally:
            self._end_all(signal.SIGKILL)  # nothing is left but when this was cancelled
            if self._kill is not None:
                self._kill.cancel()
            for each in caught:
                loop.remove_signal_handler(each)
        return self._exit_code

    def stop(self) -> None:
        """Let the children end gracefully; again: at once."""
        again = self._stopping.is_set()
        if not again and self._children:
            _logger.info("stopping %d worker processes, with a grace of %s", len(self._children), self._grace)
        self._stopping.set()
        self._one_works.set()
        self._end_all(signal.SIGTERM)
        patience = _EXTRA + (0 if again else self._grace.total_seconds())
        if self._kill is not None:
            self._kill.cancel()
        self._kill = asyncio.get_running_loop().call_later(patience, self._end_all, signal.SIGKILL)

    def _end_all(self, how: signal.Signals) -> None:
        for each in self._children:
            if how is signal.SIGKILL:
                _logger.error("worker process %d does not end and is killed", each.process.pid)
            with contextlib.suppress(ProcessLookupError):
                each.process.send_signal(how)

    async def _keep_one(self, *, first: bool) -> None:
        if not first:
            await self._one_works.wait()
        deaths = 0
        while not self._stopping.is_set():
            async with await _Child.start(self._command, self._env, self._cwd, self._output) as child:
                self._children.add(child)
                if self._stopping.is_set():  # while it was being started
                    child.process.send_signal(signal.SIGTERM)
                try:
                    await child.started()
                    if child.works:
                        self._one_works.set()
                    code = await child.process.wait()
                finally:
                    if child.process.returncode is not None:
                        self._children.discard(child)
            if self._stopping.is_set():
                return
            if code == 0 and child.works:
                _logger.info("worker process %d has ended well and is replaced", child.process.pid)
                deaths = 0
                continue
            if not child.works and not self.working:
                self._give_up(child, code)
                return
            deaths = 1 if child.age > _STEADY else deaths + 1
            await self._pause_after(child, code, deaths)

    async def _pause_after(self, child: _Child, code: int, deaths: int) -> None:
        pause = min(0.1 * 2 ** (deaths - 1), _LONGEST_PAUSE[child.works])
        what = "has died" if child.works else "could not start"
        _logger.warning(
            "worker process %d %s (%s); another starts in %.1f s", child.process.pid, what, _described(code), pause
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()

    def _give_up(self, child: _Child, code: int) -> None:
        if code < 1:  # else it has told why
            _logger.error("worker process %d ended before it could work: %s", child.process.pid, _described(code))
        self._exit_code = max(code, 1)
        self.stop()


class _Child:
    """One worker process, at the parent's side."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: socket.socket) -> None:
        self.process, self._lifeline = process, lifeline
        self._born = time.monotonic()
        self.works = False

    @classmethod
    async def start(
        cls, command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, output: IO[bytes] | None
    ) -> Self:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.DEVNULL,
                stderr=output,
                cwd=cwd,
                env={**(os.environ if env is None else env), _LIFELINE: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C would come twice: from it, and from the parent
            )
        return cls(process, ours)

    @property
    def age(self) -> float:
        return time.monotonic() - self._born

    async def started(self) -> None:
        """Wait until it works, or never will."""
        self.works = await asyncio.get_running_loop().sock_recv(self._lifeline, 1) == _READY

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._lifeline.close()


class Lifeline:
    """The child's side: tells the parent that it works, and ends this process with the parent."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)

    @classmethod
    def inherited(cls) -> Lifeline | None:
        """The one this process was started with. Processes that a job starts are not supervised."""
        fd = os.environ.pop(_LIFELINE, None)
        return None if fd is None else cls(int(fd))

    def watch(self, grace: timedelta) -> None:
        """Once the parent has gone, stop like on SIGTERM, and some time after the grace at any price."""
        threading.Thread(target=self._watch, args=[grace], name="waybill-lifeline", daemon=True).start()

    def _watch(self, grace: timedelta) -> None:
        with contextlib.suppress(OSError):
            self._socket.recv(1)  # nothing is ever sent: this is the end
        _logger.warning("the parent process has gone; stopping")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace.total_seconds() + _EXTRA)
        os._exit(1)

    def say_ready(self) -> None:
        """The worker works."""
        self._socket.sendall(_READY)


def _described(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
