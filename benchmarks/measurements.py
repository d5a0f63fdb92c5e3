"""How each row is measured: the same code for every contender, in a process of its own."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import brokers
from .contender import PAYLOAD, SMALL, Contender, tally
from .rows import Figures

SECONDS = 2.0
"""That a rate is taken over."""
STAMPS = 300
DELAYED = 200
PATIENCE = 120.0
WAITING = 50_000
"""Jobs in the server when its memory is taken."""


async def enqueue(contender: Contender) -> Figures:
    figures: Figures = {}
    for concurrency in (1, 16, 256):
        if contender.blocking:
            rate = await asyncio.to_thread(_rate_of_threads, lambda: contender.send(PAYLOAD), concurrency)
        else:
            rate = await _rate_of_tasks(lambda: contender.send(PAYLOAD), concurrency)
        figures[f"enqueue_{concurrency}"] = rate
    return figures


async def batches(contender: Contender) -> Figures:
    figures: Figures = {}
    for size in (100, 1000):
        begin = time.perf_counter()
        sent = 0
        while time.perf_counter() - begin < SECONDS:
            await _done(contender.send_many(PAYLOAD, size))
            sent += size
        figures[f"batch_{size}"] = sent / (time.perf_counter() - begin)
    return figures


async def drain(contender: Contender) -> Figures:
    rate, cpu = await _drain(contender, plain=False)
    return {"drain": rate, "drain_cpu": cpu}


async def drain_plain(contender: Contender) -> Figures:
    rate, _ = await _drain(contender, plain=True)
    return {"drain_plain": rate}


async def _drain(contender: Contender, *, plain: bool) -> tuple[float, float]:
    count = contender.drained
    await fill(contender, count, PAYLOAD, plain=plain)
    tally.expect(count)
    begin, used = time.perf_counter(), time.process_time()
    async with contender.worker():
        await until(lambda: tally.reached > 0)
        cpu = time.process_time() - used
    return count / (tally.reached - begin), cpu / count * 1e6


async def fill(contender: Contender, count: int, payload: dict[str, Any], *, plain: bool = False) -> None:
    """Let jobs wait."""
    try:
        for _ in range(0, count, 1000):
            await _done(contender.send_many(payload, 1000, plain=plain))
    except NotImplementedError:
        for _ in range(count):
            await _done(contender.send(payload))


async def pickup(contender: Contender) -> Figures:
    """From the sending to the begin of the handler; the sender is this process, and then another."""
    async with contender.worker():
        await asyncio.sleep(0.5)
        await send_stamps(contender, 0.004)
        inside = await _lateness(STAMPS)
        place = json.dumps(asdict(contender.place))
        name = type(contender).__module__.rpartition(".")[2]
        sender = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks", "--send", name, place)
        await sender.wait()
        across = await _lateness(STAMPS)
    return {
        "pickup_p50": statistics.median(across) * 1e3,
        "pickup_p99": across[int(len(across) * 0.99)] * 1e3,
        "pickup_inside_p50": statistics.median(inside) * 1e3,
        "pickup_inside_p99": inside[int(len(inside) * 0.99)] * 1e3,
    }


async def send_stamps(contender: Contender, pause: float) -> None:
    """Send jobs one after the other, that note when they begin."""
    for _ in range(STAMPS):
        await asyncio.sleep(pause)
        await _done(contender.send_stamp(time.time(), 0))


async def delayed(contender: Contender) -> Figures:
    async with contender.worker():
        await asyncio.sleep(0.5)
        for _ in range(DELAYED):
            delay = random.randint(1000, 3000) / 1000
            await _done(contender.send_stamp(time.time() + delay, delay))
            await asyncio.sleep(0.01)
        late = await _lateness(DELAYED)
    return {
        "delayed_p50": statistics.median(late) * 1e3,
        "delayed_p99": late[int(len(late) * 0.99)] * 1e3,
        "delayed_early": float(sum(each < 0 for each in late)),
    }


async def idle(contender: Contender) -> Figures:
    async with contender.worker():
        await asyncio.sleep(1)
        before, begin = time.process_time(), time.perf_counter()
        await asyncio.sleep(8)
        return {"idle_cpu": 100 * (time.process_time() - before) / (time.perf_counter() - begin)}


async def memory(contender: Contender) -> Figures:
    """Of a server, for each job that waits; where the broker is a library, of the worker while many wait."""
    before = await asyncio.to_thread(brokers.used_memory, contender.place)
    if before is None:
        return {}
    await fill(contender, WAITING, SMALL)
    after = await asyncio.to_thread(brokers.used_memory, contender.place)
    assert after is not None
    return {"server_bytes": (after - before) / WAITING}


async def memory_1m(contender: Contender) -> Figures:
    if contender.place.broker != "sqlite":
        return {}
    place = json.dumps(asdict(contender.place))
    name = type(contender).__module__.rpartition(".")[2]
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "benchmarks", "--fill", name, place], check=True)
    async with contender.worker():
        await asyncio.sleep(3)
        return {"memory_1m": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def imports(contender: Contender) -> Figures:
    """Above bare Python, bytecode compiled; the best of nine."""
    cache = f"pycache_prefix={Path(contender.place.folder) / 'pyc'}"

    def best(code: str) -> float:
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            env = {"PATH": "", "PYTHONDONTWRITEBYTECODE": ""}
            subprocess.run([sys.executable, "-X", cache, "-c", code], check=True, env=env)
            times.append(time.perf_counter() - begin)
        return min(times)

    return {"import": await asyncio.to_thread(lambda: best(f"import {contender.module}") - best("pass")) * 1e3}


MEASUREMENTS = {
    each.__name__: each
    for each in (enqueue, batches, drain, drain_plain, pickup, delayed, idle, memory, memory_1m, imports)
}


async def _rate_of_tasks(send: Callable[[], Awaitable[Any]], concurrency: int) -> float:
    begin, sent = time.perf_counter(), 0
    end = begin + SECONDS

    async def sender() -> None:
        nonlocal sent
        while time.perf_counter() < end:
            await send()
            sent += 1

    await asyncio.gather(*(sender() for _ in range(concurrency)))
    return sent / (time.perf_counter() - begin)


def _rate_of_threads(send: Callable[[], Any], concurrency: int) -> float:
    begin, counts = time.perf_counter(), [0] * concurrency
    end = begin + SECONDS

    def sender(number: int) -> None:
        while time.perf_counter() < end:
            send()
            counts[number] += 1

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


async def _done(sent: Any) -> None:
    if inspect.isawaitable(sent):
        await sent


async def _lateness(count: int) -> list[float]:
    await until(lambda: len(tally.lateness) >= count)
    found = sorted(tally.lateness)
    tally.lateness.clear()
    return found


async def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"not done after {PATIENCE:g} s: {tally.count} of {tally.target}, {len(tally.lateness)}")
        await asyncio.sleep(0.002)
