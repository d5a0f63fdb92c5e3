"""Whether the machine kept time: a case about moments tells nothing of a driver when nothing ran for a while."""

from __future__ import annotations

import threading
import time
from typing import Final, Self

_BEAT: Final = 0.02
"""Seconds between two beats."""
_SKIPPED: Final = 0.05
"""Seconds of silence that are no chance; a busy interpreter makes a beat late by less."""
IRREGULAR: Final = 0.1
"""Seconds that a case about moments does not bear: they wait for tenths of a second."""


class Pulse:
    """Beats in a thread of its own while its block runs; a beat that is late shows that the machine stood still."""

    def __init__(self) -> None:
        self.stood_still = 0.0
        """Seconds, all together."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="waybill-conformance-pulse", daemon=True)

    def _beat(self) -> None:
        last, over = time.monotonic(), False
        while not over:
            over = self._over.wait(_BEAT)
            now = time.monotonic()
            late, last = now - last - _BEAT, now
            if late >= _SKIPPED:
                self.stood_still += late

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
