"""What must be true of a server before anything is sent to it."""

from __future__ import annotations

from typing import Final

from waybill.errors import ConfigurationError

from .server import Server

_OLDEST: Final = (3, 10)


async def check(server: Server) -> None:
    """Connect, and see that the server will do.

    Raises:
        ConfigurationError: it is too old, or no RabbitMQ.
        UnansweredError, pika.exceptions.AMQPError, OSError: see failures.py.
    """
    link = await server.within(server.sending, server.sending.link())
    where = server.address.where
    product = str(link.server.get("product", "unknown"))
    if product != "RabbitMQ":
        raise ConfigurationError(
            f"{where}: this is {product!r}, and the driver needs RabbitMQ, whose quorum queues keep jobs. "
            "Nothing was changed."
        )
    server.learn(link)
    if server.version < _OLDEST:
        raise ConfigurationError(
            f"{where}: RabbitMQ {link.server.get('version')} is too old; this driver needs 3.10 or newer, as older "
            "ones lose delayed jobs. Nothing was changed. Upgrade the server."
        )
