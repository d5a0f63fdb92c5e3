"""The driver's harness on a server whose clock the suite sets: every script reads it from a list in place of TIME."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha1

from redis import Redis

from waybill.testing import VirtualClock
from waybill_redis import clear, dead, enqueue, look, receive, settle, state, waiting
from waybill_redis.harness import RedisHarness
from waybill_redis.scripts import Script

KEY = "test-clock"
MODULES = (clear, dead, enqueue, look, receive, settle, state, waiting)


class ServerClock(VirtualClock):
    """The server follows with every step."""

    server = None

    def show(self, server):
        self.server = server
        self.advance(0)

    def advance(self, duration):
        super().advance(duration)
        if self.server is not None:
            now = self.now()
            with self.server.pipeline() as pipeline:
                pipeline.delete(KEY).rpush(KEY, int(now.timestamp()), now.microsecond).execute()


class Harness(RedisHarness):
    def __init__(self):
        super().__init__()
        self.clock = ServerClock(datetime.now(UTC))
        for module in MODULES:
            for name, value in vars(module).copy().items():
                if isinstance(value, Script):
                    text = value.text.replace("redis.call('TIME')", f"redis.call('LRANGE', '{KEY}', 0, 1)")
                    digest = sha1(text.encode()).hexdigest()
                    setattr(module, name, replace(value, text=text, digest=digest))

    async def open(self, **options):
        if self.clock.server is None:
            self.clock.show(Redis.from_url((await self.address()).partition("?")[0]))
        return await super().open(**options)
