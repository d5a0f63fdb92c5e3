"""taskiq on JetStream as it comes: it asks for one job at a time, and waits for it without end."""

from __future__ import annotations

from . import taskiq_nats


class Contender(taskiq_nats.Contender):
    batch, timeout = 1, None
