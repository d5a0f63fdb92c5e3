"""When a worker process has done enough and should make room for a fresh one."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field

_STATM = "/proc/self/statm"


@dataclass
class Recycling:
    """Limits after which a worker stops by itself.

    Args:
        max_jobs: jobs received.
        max_memory: resident bytes, looked at once a second.
    """

    max_jobs: int | None = None
    max_memory: int | None = None
    _looked: float = field(default=0.0, init=False)

    def due(self, jobs: int) -> str | None:
        """Why the worker should stop now, if it should."""
        if self.max_jobs is not None and jobs >= self.max_jobs:
            return f"it has received {jobs} jobs"
        if self.max_memory is not None and time.monotonic() - self._looked >= 1:
            self._looked = time.monotonic()
            used = resident_bytes()
            if used >= self.max_memory:
                return f"it uses {used:,} bytes of memory"
        return None


def resident_bytes() -> int:
    """The memory this process uses now; where that cannot be told, the most it ever used."""
    import resource  # not on Windows, where only this limit is missing

    try:
        fd = os.open(_STATM, os.O_RDONLY)
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    try:
        return int(os.pread(fd, 200, 0).split()[1]) * resource.getpagesize()
    finally:
        os.close(fd)
