"""The RabbitMQ driver of Waybill: background jobs that survive crashes, on quorum queues."""

from .driver import RabbitMQDriver
from .options import RabbitMQOptions

__all__ = ["RabbitMQDriver", "RabbitMQOptions"]
