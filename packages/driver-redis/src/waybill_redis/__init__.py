"""The Redis driver of Waybill: background jobs that survive crashes, on Redis or Valkey."""

from .driver import RedisDriver
from .options import RedisOptions

__all__ = ["RedisDriver", "RedisOptions"]
