"""The memory driver: `waybill.drivers.memory.MemoryDriver`."""

from .driver import MemoryDriver
from .store import Enqueued

__all__ = ["Enqueued", "MemoryDriver"]
