"""The driver's harness on the Redis of the next Debian, in a container."""

from waybill_conformance.brokers.redis import Redis
from waybill_redis.harness import RedisHarness


class Harness(RedisHarness):
    broker = Redis(image="redis:trixie", fsync="always")
