"""The NATS JetStream driver of Waybill: background jobs that survive crashes, on one server or a cluster."""

from .driver import NatsDriver
from .options import NatsOptions

__all__ = ["NatsDriver", "NatsOptions"]
