"""The SQLite driver of Waybill: durable background jobs in one file."""

from .driver import SqliteDriver
from .options import SqliteOptions

__all__ = ["SqliteDriver", "SqliteOptions"]
