"""Several processes on one broker, and what is left when one is killed."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves

START = timedelta(seconds=30)


class Peer:
    """A process that plays one part on the same broker."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ids: list[str] = []

    async def ready(self) -> None:
        """Until it has done its part and stands still."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START.total_seconds()):
            while (line := (await self.process.stdout.readline()).decode().strip()) != "ready":
                assert line, "the peer has died"
                self.ids.append(line)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def peer(bench: Bench, part: str, queue: str, count: int) -> AsyncIterator[Peer]:
    url = bench.harness.url
    assert url is not None
    lease = "" if bench.claims.lease is None else f"{'&' if '?' in url else '?'}lease={bench.lease.total_seconds():g}s"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "waybill_conformance.peer", url + lease, part, queue, str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    made = Peer(process)
    try:
        yield made
    finally:
        await made.kill()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio leaves the pipe to the collector


@proves("concurrency", power="url", seconds=120)
async def test_processes_share_a_queue_without_loss_or_double(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 100)
    async with peer(bench, "work", queue, 1000) as one, peer(bench, "work", queue, 1000) as two:
        await asyncio.gather(one.ready(), two.ready())
    assert sorted(one.ids + two.ids) == sorted(sent)
    await bench.nothing(queue)


@proves("delivery", power="url", seconds=120)
async def test_a_blocked_receive_wakes_when_another_process_sends(bench: Bench) -> None:
    queue = bench.queue()
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=timedelta(minutes=1)))
    async with peer(bench, "send", queue, 1) as sender:
        await sender.ready()
        await asyncio.wait([waiting], timeout=bench.soon.total_seconds())
    assert waiting.done(), "a waiting receive does not learn of another process's message"
    assert ids(waiting.result()) == sender.ids


@proves("durability", power="url", seconds=120)
async def test_what_a_killed_process_had_sent_is_there(bench: Bench) -> None:
    queue = bench.queue()
    async with peer(bench, "send", queue, 50) as sender:
        await sender.ready()
        await sender.kill()
    assert sorted(ids(await bench.drain(queue, 50))) == sorted(sender.ids)


@proves("lease", power="url", seconds=120)
async def test_what_a_killed_process_held_comes_back(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 3)
    async with peer(bench, "hold", queue, 3) as holder:
        await holder.ready()
        await bench.nothing(queue)
        await holder.kill()
    again = await bench.receive(queue, limit=3, within=(bench.claims.lease or ZERO) + bench.soon)
    assert sorted(ids(again)) == sorted(sent)
    assert {each.attempt for each in again} == {2}, "a killed holder's attempt counts"
