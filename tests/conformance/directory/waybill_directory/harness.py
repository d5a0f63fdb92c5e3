"""What the conformance suite needs to hold the directory driver to its claims."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from waybill.driver import BrokerUrl, QueueDriver
from waybill.testing import VirtualClock
from waybill_conformance import LEASE, Harness

from .driver import DirectoryDriver


class DirectoryHarness(Harness):
    """On a virtual clock in a directory of its own; with `--url` on the real one, as other processes go by that."""

    suite = "0.1"

    def __init__(self) -> None:
        self._virtual = VirtualClock(datetime.now(UTC))

    @property
    def clock(self) -> VirtualClock | None:  # type: ignore[override]
        return self._virtual if self.url is None else None

    @cached_property
    def _own(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="waybill-"))

    @property
    def _path(self) -> Path:
        return self._own / "jobs" if self.url is None else Path(BrokerUrl.parse(self.url).path)

    async def open(self, *, lease: timedelta = LEASE) -> QueueDriver:
        path = await asyncio.to_thread(lambda: self._path)
        driver = DirectoryDriver(path, lease=lease, clock=self.clock)
        await driver.open()
        return driver

    async def restart(self) -> None:
        """Go on with what the kill of every process at this moment would leave: the files, as they are named now."""
        await asyncio.to_thread(self._copy)

    async def raw(self, queue: str, body: bytes) -> None:
        """Put a file of any other name into the queue's folder."""
        await asyncio.to_thread(self._drop, queue, body)

    async def close(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._own, ignore_errors=True)

    def _copy(self) -> None:
        copy, before = self._own / uuid.uuid4().hex, self._own / uuid.uuid4().hex
        shutil.copytree(self._path, copy, copy_function=_copy_if_there)
        shutil.move(self._path, before)
        shutil.move(copy, self._path)

    def _drop(self, queue: str, body: bytes) -> None:
        folder = self._path / queue
        folder.mkdir(exist_ok=True)
        (folder / f"{uuid.uuid4()}.json").write_bytes(body)


def _copy_if_there(source: str, target: str) -> None:
    """Copy a file, unless it has just got another name: a receiver that waits may rename it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)
