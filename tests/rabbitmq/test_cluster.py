"""Three nodes as processes, of which one is killed: what was confirmed is on the other two."""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from waybill.errors import BrokerUnavailableError, EnqueueRejectedError, EnqueueUnknownError
from waybill_conformance.brokers import Site
from waybill_conformance.brokers.ports import free_port
from waybill_conformance.brokers.process import Child
from waybill_conformance.brokers.rabbitmq import RabbitMq

from .conftest import ids

LATER = timedelta(seconds=4)


class Cluster:
    """Three nodes that share one epmd, a cookie, and what is in their quorum queues."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="waybill-cluster-"))
        self.children = []
        kind, epmd = RabbitMq(), free_port()
        self.ports = [free_port() for _ in range(3)]
        for number, port in enumerate(self.ports):
            home = self.folder / str(number)
            home.mkdir()
            (home / ".erlang.cookie").write_text("SHAREDBYTHECLUSTER")
            (home / ".erlang.cookie").chmod(0o400)
            epmd_command, node = kind.commands(Site(kind.find(), home, [port, free_port(), epmd]))
            with (home / "rabbitmq.conf").open("a") as file:
                file.write("cluster_formation.peer_discovery_backend = classic_config\n")
                for peer, each in enumerate(self.ports, 1):
                    file.write(f"cluster_formation.classic_config.nodes.{peer} = waybill{each}@localhost\n")
            if not number:
                self.children.append(Child(epmd_command, self.folder / "epmd.log"))
            self.children.append(Child(node, home / "log"))
            self.wait(kind, port)
        self.hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def wait(self, kind, port):
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                if kind.ready("127.0.0.1", port):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("a node of the cluster does not start")

    def kill_first(self):
        self.children.pop(1).kill()

    def stop(self):
        for child in reversed(self.children):
            child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def cluster(shared):
    """Where there is a server as a process, there can be three."""
    made = Cluster()
    yield made
    made.stop()


@pytest.mark.timeout(240)
async def test_what_was_confirmed_is_found_after_the_kill_of_the_node_that_confirmed_it(cluster, connect, message):
    driver = await connect(f"amqp://guest:guest@{cluster.hosts}/", timeout="5s")
    accepted, doubtful, refusals = set(), set(), Counter()

    async def send(job_id, delay=None):
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                each = message(job_id)
                await (driver.enqueue(each) if delay is None else driver.enqueue_in(each, delay))
            except EnqueueUnknownError:
                doubtful.add(job_id)
            except (BrokerUnavailableError, EnqueueRejectedError) as error:
                refusals[str(error)] += 1
            else:
                accepted.add(job_id)
                return
            await asyncio.sleep(0.5)

    await send("first", timedelta(milliseconds=100))
    await asyncio.sleep(1.5)
    await asyncio.gather(*(send(f"now-{number}") for number in range(200)))
    await asyncio.gather(*(send(f"later-{number}", LATER) for number in range(100)))
    sending = asyncio.gather(*(send(f"during-{number}") for number in range(100)))
    await asyncio.to_thread(cluster.kill_first)
    await sending
    found, end = set(), time.monotonic() + 60
    while not accepted <= found and time.monotonic() < end:
        try:
            got = await driver.receive("q", limit=100, wait=timedelta(seconds=1))
        except BrokerUnavailableError:
            await asyncio.sleep(0.2)
            continue
        found |= set(ids(got))
        await driver.ack_batch(got)
    assert len(accepted) == 401, refusals.most_common(5)
    assert accepted <= found, f"{len(accepted - found)} of {len(accepted)} confirmed jobs are lost"
