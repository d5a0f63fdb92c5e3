"""A server clock that tests set: every script reads it from a list in place of TIME."""

from dataclasses import replace
from hashlib import sha1

from waybill_redis import clear, dead, enqueue, look, receive, settle, state, waiting
from waybill_redis.scripts import Script

KEY = "test-clock"
MODULES = (clear, dead, enqueue, look, receive, settle, state, waiting)


def turn(monkeypatch):
    """Let every script go by the list."""
    for module in MODULES:
        for name, value in vars(module).copy().items():
            if isinstance(value, Script):
                text = value.text.replace("redis.call('TIME')", f"redis.call('LRANGE', '{KEY}', 0, 1)")
                monkeypatch.setattr(module, name, replace(value, text=text, digest=sha1(text.encode()).hexdigest()))


async def set_to(redis, moment):
    pipeline = redis.pipeline()
    pipeline.delete(KEY)
    pipeline.rpush(KEY, int(moment.timestamp()), moment.microsecond)
    await pipeline.execute()
