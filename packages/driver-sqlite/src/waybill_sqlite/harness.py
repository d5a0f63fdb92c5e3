"""What the conformance suite needs to hold this driver to its claims."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from waybill.driver import BrokerUrl
from waybill.testing import VirtualClock
from waybill_conformance import LEASE, Harness

from .driver import SqliteDriver


class SqliteHarness(Harness):
    """Every driver it opens is on one file: on a virtual clock in a folder of its own, on the real one with `--url`."""

    suite = "0.1"

    def __init__(self) -> None:
        self._virtual = VirtualClock(datetime.now(UTC))
        self._killed: list[Path] = []

    @property
    def clock(self) -> VirtualClock | None:  # type: ignore[override]
        """None where other processes share the file: they go by the real one."""
        return self._virtual if self.url is None else None

    async def open(self, *, lease: timedelta = LEASE) -> SqliteDriver:
        path = await asyncio.to_thread(lambda: self._path)
        driver = SqliteDriver(path, lease=lease, clock=self.clock)
        await driver.open()
        return driver

    async def restart(self) -> None:
        """Go on with the file as the kill of every process at this moment would leave it: nothing flushed or closed."""
        await asyncio.to_thread(self._copy)

    async def close(self) -> None:
        await asyncio.to_thread(self.remove)

    def remove(self) -> None:
        """Leave no file behind but the one that `--url` names."""
        if "_folder" in vars(self):
            shutil.rmtree(self._folder, ignore_errors=True)

    @cached_property
    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="waybill-"))

    @property
    def _path(self) -> Path:
        if self._killed:
            return self._killed[-1]
        return self._folder / "jobs.db" if self.url is None else Path(BrokerUrl.parse(self.url).path)

    def _copy(self) -> None:
        before, after = self._path, self._folder / f"{len(self._killed)}.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{before}{suffix}", f"{after}{suffix}")
        self._killed.append(after)
        if self.url is not None:
            self.url = f"sqlite:///{after}"
