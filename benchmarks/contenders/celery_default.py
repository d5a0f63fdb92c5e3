"""celery as it comes, with its solo pool: on RabbitMQ it waits for no confirm, and acks a job before it runs."""

from __future__ import annotations

from . import celery


class Contender(celery.Contender):
    safe = False
