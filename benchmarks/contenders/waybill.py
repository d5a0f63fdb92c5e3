"""Waybill on SQLite, with its defaults: synchronous=FULL."""

from __future__ import annotations

import asyncio
import itertools
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contender import PAYLOAD, Figures, Measurement
from waybill import JobService, Worker, define_job

picked_up: list[float] = []


async def nothing(payload: dict[str, object]) -> None: ...
def nothing_plain(payload: dict[str, object]) -> None: ...
async def stamp(payload: dict[str, float]) -> None:
    picked_up.append(time.time() - payload["sent"])


NOTHING = define_job(name="nothing", handler=nothing, schema=dict)
PLAIN = define_job(name="nothing-plain", handler=nothing_plain, schema=dict)
STAMP = define_job(name="stamp", handler=stamp, schema=dict)


def service(file: str) -> JobService:
    return JobService(f"sqlite:///{file}", jobs=[NOTHING, PLAIN, STAMP])


def enqueue(file: str) -> Figures:
    async def measure() -> Figures:
        figures: Figures = {}
        async with service(file) as jobs:
            for concurrency, count in ((1, 2_000), (16, 20_000), (256, 40_000)):
                numbers = iter(range(count))

                async def send(numbers: itertools.count[int] | object = numbers) -> None:
                    for _ in numbers:  # type: ignore[attr-defined]
                        await jobs.enqueue(NOTHING, PAYLOAD)

                begin = time.perf_counter()
                await asyncio.gather(*(send() for _ in range(concurrency)))
                figures[f"enqueue_{concurrency}"] = count / (time.perf_counter() - begin)
        return figures

    return asyncio.run(measure())


def batches_of(size: int) -> Measurement:
    def measure(file: str) -> Figures:
        async def send() -> Figures:
            count = 40_000
            async with service(file) as jobs:
                begin = time.perf_counter()
                for _ in range(count // size):
                    await jobs.enqueue_batch([(NOTHING, PAYLOAD)] * size)
                return {f"batch_{size}": count / (time.perf_counter() - begin)}

        return asyncio.run(send())

    return measure


def drain(file: str) -> Figures:
    async def measure() -> Figures:
        figures: Figures = {}
        async with service(file) as jobs:
            for row, job, count in (("drain", NOTHING, 40_000), ("drain_plain", PLAIN, 10_000)):
                await jobs.enqueue_batch([(job, PAYLOAD)] * count)
                begin = time.perf_counter()
                ran = await Worker(jobs).run_until_idle()
                figures[row] = ran / (time.perf_counter() - begin)
        return figures

    return asyncio.run(measure())


def pickup(file: str) -> Figures:
    """A process that only sends, and this one, which only works."""

    async def measure() -> Figures:
        async with service(file) as jobs, Worker(jobs):
            await asyncio.sleep(0.3)
            for _ in range(300):
                await jobs.enqueue(STAMP, {"sent": time.time()})
                await asyncio.sleep(0.004)
            inside = sorted(picked_up)
            picked_up.clear()
            sender = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.contenders.waybill", file)
            await sender.wait()
            await asyncio.sleep(0.2)
        across = sorted(picked_up)
        return {
            "pickup_p50": statistics.median(across) * 1e3,
            "pickup_p99": across[int(len(across) * 0.99)] * 1e3,
            "pickup_inside_p50": statistics.median(inside) * 1e3,
            "pickup_inside_p99": inside[int(len(inside) * 0.99)] * 1e3,
        }

    return asyncio.run(measure())


def send_stamps(file: str) -> None:
    async def send() -> None:
        async with service(file) as jobs:
            for _ in range(300):
                await asyncio.sleep(0.01)
                await jobs.enqueue(STAMP, {"sent": time.time()})

    asyncio.run(send())


def idle(file: str) -> Figures:
    async def measure() -> Figures:
        async with service(file) as jobs, Worker(jobs):
            await asyncio.sleep(1)
            before, begin = time.process_time(), time.perf_counter()
            await asyncio.sleep(8)
            return {"idle_cpu": 100 * (time.process_time() - before) / (time.perf_counter() - begin)}

    return asyncio.run(measure())


def memory(file: str) -> Figures:
    fill = f"import benchmarks.contenders.waybill as w; w.fill({file!r}, 1_000_000)"
    subprocess.run([sys.executable, "-c", fill], check=True)

    async def measure() -> Figures:
        async with service(file) as jobs, Worker(jobs):
            await asyncio.sleep(3)
            return {"memory_1m": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}

    return asyncio.run(measure())


def fill(file: str, count: int) -> None:
    async def send() -> None:
        async with service(file) as jobs:
            for _ in range(count // 10_000):
                await jobs.enqueue_batch([(NOTHING, PAYLOAD)] * 10_000)

    asyncio.run(send())


def imports(file: str) -> Figures:
    return {"import": import_time("waybill", Path(file).parent)}


def import_time(module: str, folder: Path) -> float:
    """Milliseconds above bare Python, bytecode compiled; the best of nine."""

    def best(code: str) -> float:
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-X", f"pycache_prefix={folder / 'pyc'}", "-c", code],
                check=True, env={"PATH": "", "PYTHONDONTWRITEBYTECODE": ""},
            )  # fmt: skip
            times.append(time.perf_counter() - begin)
        return min(times)

    return (best(f"import {module}") - best("pass")) * 1e3


MEASUREMENTS = {
    "enqueue": enqueue,
    "batch_100": batches_of(100),
    "batch_1000": batches_of(1000),
    "drain": drain,
    "pickup": pickup,
    "idle": idle,
    "memory": memory,
    "import": imports,
}

if __name__ == "__main__":
    send_stamps(sys.argv[1])
