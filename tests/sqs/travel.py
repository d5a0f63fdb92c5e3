"""An emulator whose clock, like that of the drivers under test, jumps ahead when a test says so."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from waybill.timing import SystemClock
from waybill_conformance.brokers.sqs import MiniStack

SHIFT = """
import pathlib, time
shift, real_time, real_sleep = pathlib.Path({path!r}), time.time, time.sleep
time.time = lambda: real_time() + float(shift.read_text())
time.sleep = lambda seconds: real_sleep(min(seconds, 0.1))
"""


@dataclass(frozen=True)
class Travelling(MiniStack):
    """MiniStack with a clock that is the real one and what stands in a file."""

    name: ClassVar = "travelling"
    path: str = ""

    def commands(self, site):
        commands = super().commands(site)
        with (site.folder / "sitecustomize.py").open("a") as custom:
            custom.write(SHIFT.format(path=self.path))
        return commands


class Ahead(SystemClock):
    """The same clock for drivers."""

    def __init__(self, path):
        self._path = path
        self._ahead = timedelta()
        path.write_text("0")

    def now(self):
        return super().now() + self._ahead

    def monotonic(self):
        return super().monotonic() + self._ahead.total_seconds()

    def travel(self, **duration):
        """Jump ahead."""
        self._ahead += timedelta(**duration)
        new = self._path.with_suffix(".new")
        new.write_text(str(self._ahead.total_seconds()))
        new.replace(self._path)
