"""A Redis Cluster of three masters: each queue is where its slot is, and goes on when that moves or its master dies."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis as Client
from redis.crc import key_slot

from waybill.errors import BrokerUnavailableError, ConfigurationError, DeadReason, EnqueueUnknownError
from waybill_conformance.brokers import broker_or_skip
from waybill_conformance.brokers.redis import Redis
from waybill_redis import RedisDriver

from .conftest import NOW, SOON, ids, port_of

SLOTS = 16384
QUEUES = [f"q{number}" for number in range(12)]  # on all three, and not in the order of the slots


@dataclass(frozen=True)
class Node(Redis):
    """A node that takes another for dead after half a second."""

    fsync: str = "always"
    options: tuple = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")


class Cluster:
    """Processes that know each other; the first three are masters."""

    def __init__(self, replicas=0):
        self.nodes = [broker_or_skip(Node(), how="process") for _ in range(3 + replicas)]
        self.clients = [Client(port=port_of(node), decode_responses=True) for node in self.nodes]
        for number, client in enumerate(self.clients[:3]):
            client.cluster("addslots", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
        for number, client in enumerate(self.clients):
            client.cluster("set-config-epoch", number + 1)
            client.cluster("meet", "127.0.0.1", port_of(self.nodes[0]))
        until(lambda: all(len(each.cluster("nodes")) == len(self.nodes) for each in self.clients))
        for client in self.clients[3:]:
            client.cluster("replicate", self.clients[0].cluster("myid"))
        until(lambda: all(each.cluster("info")["cluster_state"] == "ok" for each in self.clients))
        until(lambda: all(each.info("replication")["master_link_status"] == "up" for each in self.clients[3:]))

    def url(self, options=""):
        # The first that is named is not there.
        return f"redis://127.0.0.1:1,127.0.0.1:{port_of(self.nodes[1])}/0?cluster=true{options}"

    def owner_of(self, key):
        return key_slot(key.encode()) * 3 // SLOTS

    def stop(self):
        for client in self.clients:
            client.close()
        for node in self.nodes:
            node.stop()


def until(true):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture
async def driver(cluster, prefix):
    driver = RedisDriver(cluster.url(f"&prefix={prefix}"))
    await driver.open()
    yield driver
    await driver.close()


def wakes(prefix, queue):
    return f"{prefix}:{{{queue}}}:wake"


async def test_the_verbs_reach_every_queue_wherever_it_is(cluster, driver, prefix, message):
    assert {cluster.owner_of(wakes(prefix, queue)) for queue in QUEUES} == {0, 1, 2}
    sent = [message(queue=queue) for queue in QUEUES for _ in range(2)]
    assert await driver.enqueue_batch([(each, None) for each in sent]) == [each.id for each in sent]
    assert await driver.queues() == sorted(QUEUES)
    got = await driver.receive_many(QUEUES, limit=15, wait=SOON)
    assert ids(got) == [each.id for each in sent[:15]]  # earlier queues first
    assert len(await driver.extend_batch(got)) == 15
    assert await driver.ack_batch(got[:14]) == [None] * 14
    await driver.nack(got[14])
    assert (await driver.stats(QUEUES[7])).ready == 2
    assert await driver.cancel(QUEUES[8], sent[16].id)
    assert sum([await driver.purge(queue) for queue in QUEUES]) == 9
    version = await driver.state_put("k", b"v", expect=None)
    assert await driver.state_get("k") == (b"v", version)
    assert await driver.queues() == []


async def test_a_dead_letter_may_be_filed_on_another_node_and_comes_back(cluster, driver, prefix, message):
    other = next(
        each for each in QUEUES if cluster.owner_of(wakes(prefix, each)) != cluster.owner_of(wakes(prefix, "q"))
    )
    await driver.enqueue_batch([(message("a", group="g", priority=3), None), (message("b", group="g"), None)])
    (first,) = await driver.receive("q", limit=5, wait=NOW)
    reason = DeadReason("permanent", "no", 1, datetime(2026, 1, 1, tzinfo=UTC))
    await driver.bury(first, reason, to=other)
    (letter,) = (await driver.list_dead(other)).entries
    assert (letter.message, letter.reason) == (first.message, reason)
    (second,) = await driver.receive("q", limit=5, wait=NOW)  # the next of the group has its turn
    await driver.ack(second)
    assert await driver.retry_dead(other, None) == 1
    assert (await driver.list_dead(other)).entries == []
    assert ids(await driver.receive("q", limit=5, wait=NOW)) == ["a"]
    with pytest.raises(Exception, match="no longer this worker's"):
        await driver.bury(first, reason, to=other)


async def test_a_receiver_of_several_queues_is_woken_by_each_of_them(cluster, prefix, message):
    driver = RedisDriver(cluster.url(f"&prefix={prefix}&look=60s"))
    await driver.open()
    for queue in QUEUES[:4]:
        waiting = asyncio.create_task(driver.receive_many(QUEUES[:4], limit=1, wait=timedelta(seconds=20)))
        await asyncio.sleep(0.1)
        await driver.enqueue(message(queue=queue))
        (delivery,) = await asyncio.wait_for(waiting, 5)
        assert delivery.message.queue == queue
        await driver.ack(delivery)
    waiting = asyncio.create_task(driver.receive_many(QUEUES[:4], limit=1, wait=timedelta(seconds=20)))
    await asyncio.sleep(0.1)
    start = time.monotonic()
    await driver.enqueue_in(message(queue=QUEUES[2]), timedelta(seconds=0.3))
    assert len(await waiting) == 1
    assert 0.3 <= time.monotonic() - start < 10
    await driver.close()


async def test_a_queue_that_moves_is_followed_by_all_who_use_it(cluster, prefix, message):
    driver = RedisDriver(cluster.url(f"&prefix={prefix}&look=60s"))
    await driver.open()
    await driver.enqueue_in(message("delayed", "q"), timedelta(seconds=50))
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=timedelta(seconds=30)))
    await asyncio.sleep(0.1)
    source = cluster.clients[cluster.owner_of(wakes(prefix, "q"))]
    target = cluster.clients[(cluster.owner_of(wakes(prefix, "q")) + 1) % 3]
    slot = key_slot(wakes(prefix, "q").encode())
    target.cluster("setslot", slot, "importing", source.cluster("myid"))
    source.cluster("setslot", slot, "migrating", target.cluster("myid"))
    during = asyncio.create_task(driver.enqueue(message("during", "q")))  # neither node has all of its keys
    await asyncio.sleep(0.3)
    assert not during.done()
    port = target.connection_pool.connection_kwargs["port"]
    source.execute_command(
        "MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *source.cluster("getkeysinslot", slot, 99)
    )
    for client in (target, source, *cluster.clients):
        client.cluster("setslot", slot, "node", target.cluster("myid"))
    assert await during == "during"
    (delivery,) = await asyncio.wait_for(waiting, 10)
    assert delivery.message.id == "during"
    await driver.ack(delivery)
    assert (await driver.stats("q")).delayed == 1
    assert target.cluster("countkeysinslot", slot) > 0
    await driver.close()


async def test_what_was_confirmed_is_there_after_the_death_of_a_master(prefix, message):
    cluster = await asyncio.to_thread(Cluster, replicas=1)
    queue = next(each for each in QUEUES if cluster.owner_of(wakes(prefix, each)) == 0)
    options = f"&prefix={prefix}&timeout=2s"
    driver = RedisDriver(cluster.url(f"{options}&wait_replicas=1"))
    after = RedisDriver(cluster.url(options))  # there is but one replica, which will be the master
    for each in (driver, after):
        await each.open()
    confirmed = set()

    async def send(number):
        for count in range(10_000):
            try:
                confirmed.add(await driver.enqueue(message(f"{number}-{count}", queue)))
            except (BrokerUnavailableError, EnqueueUnknownError):
                return

    sending = [asyncio.create_task(send(number)) for number in range(20)]
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(after.receive("nothing", limit=1, wait=timedelta(seconds=1)))
    await asyncio.to_thread(cluster.nodes[0].kill)
    await asyncio.gather(*sending)
    assert len(confirmed) > 20
    found, end = [], time.monotonic() + 20
    while not found:
        try:
            found = await after.receive(queue, limit=50_000, wait=NOW)
        except BrokerUnavailableError:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
    assert confirmed <= set(ids(found))
    assert await after.ack_batch(found) == [None] * len(found)
    await asyncio.gather(waiting, return_exceptions=True)
    for each in (driver, after):
        await each.close()
    await asyncio.to_thread(cluster.stop)


async def test_a_node_of_a_cluster_says_how_it_wants_to_be_used(cluster):
    with pytest.raises(ConfigurationError, match="cluster=true"):
        await RedisDriver(cluster.nodes[0].direct_url).open()


async def test_one_that_is_no_node_is_told(shared):
    with pytest.raises(ConfigurationError, match="cluster"):
        await RedisDriver(f"{shared.direct_url}?cluster=true").open()


@pytest.mark.parametrize("url", ["redis://h/1?cluster=true", "redis://h/0?cluster=true&sentinel=x"])
def test_a_cluster_has_one_database_and_no_sentinels(url):
    with pytest.raises(ConfigurationError, match="cluster"):
        RedisDriver(url)
