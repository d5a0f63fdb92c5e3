"""taskiq on JetStream, asking for a hundred jobs at a time, which makes it fastest; it has no delays there."""

from __future__ import annotations

from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from taskiq import AsyncBroker
from taskiq_nats import PullBasedJetStreamBroker

from benchmarks.contender import Place

from . import taskiq


class Contender(taskiq.Contender):
    batch: int = 100
    timeout: float | None = 5

    def make_broker(self, place: Place) -> AsyncBroker:
        return PullBasedJetStreamBroker(
            place.url,
            subject=f"{place.name}.jobs",
            stream_name=place.name,
            stream_config=StreamConfig(retention=RetentionPolicy.WORK_QUEUE),
            consumer_config=ConsumerConfig(durable_name="workers", max_ack_pending=-1),
            durable="workers",
            pull_consume_batch=self.batch,
            pull_consume_timeout=self.timeout,
        )
