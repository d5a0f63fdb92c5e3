"""dramatiq as it comes, with eight threads: on RabbitMQ it waits for no confirm."""

from __future__ import annotations

from . import dramatiq


class Contender(dramatiq.Contender):
    safe = False
