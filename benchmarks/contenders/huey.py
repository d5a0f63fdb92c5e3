"""huey on SQLite: its consumer with one thread (its best on one file), and its own defaults otherwise."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from huey import SqliteHuey
from huey.consumer import Consumer

from benchmarks.contender import PAYLOAD, Figures
from benchmarks.contenders.waybill import import_time

finished: list[float] = []
enough = threading.Event()
DRAINED = 10_000


def app(file: str) -> SqliteHuey:
    return SqliteHuey(filename=file, results=False)


def tasks(huey: SqliteHuey):  # noqa: ANN201 - huey's own type
    @huey.task(name="nothing")
    def nothing(payload: dict[str, object]) -> None:
        finished.append(0.0)
        if len(finished) == DRAINED:
            enough.set()

    @huey.task(name="stamp")
    def stamp(sent: float) -> None:
        finished.append(time.time() - sent)

    return nothing, stamp


def consumer(huey: SqliteHuey) -> Consumer:
    return Consumer(huey, workers=1, periodic=False, initial_delay=0.01, backoff=1.15, max_delay=0.02)


def enqueue(file: str) -> Figures:
    nothing, _ = tasks(app(file))
    count = 4_000
    begin = time.perf_counter()
    for _ in range(count):
        nothing(PAYLOAD)
    rate = count / (time.perf_counter() - begin)
    # It has no bulk call: a loop is what its users write.
    figures: Figures = {"enqueue_1": rate, "batch_100": rate, "batch_1000": rate}
    for concurrency in (16, 256):
        each = count // concurrency
        threads = [
            threading.Thread(target=lambda each=each: [nothing(PAYLOAD) for _ in range(each)])
            for _ in range(concurrency)
        ]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        figures[f"enqueue_{concurrency}"] = each * concurrency / (time.perf_counter() - begin)
    return figures


def drain(file: str) -> Figures:
    huey = app(file)
    nothing, _ = tasks(huey)
    for _ in range(DRAINED):
        nothing(PAYLOAD)
    running = consumer(huey)
    begin = time.perf_counter()
    running.start()
    enough.wait(120)
    rate = len(finished) / (time.perf_counter() - begin)
    running.stop(graceful=True)
    # Its tasks are plain functions: the same figure answers both rows.
    return {"drain": rate, "drain_plain": rate}


def pickup(file: str) -> Figures:
    huey = app(file)
    _, stamp = tasks(huey)
    running = consumer(huey)
    running.start()
    time.sleep(0.3)
    for _ in range(300):
        stamp(time.time())
        time.sleep(0.004)
    time.sleep(0.2)
    inside = sorted(finished)
    finished.clear()
    # Imported, not run as a script: huey finds a task by its module's name.
    send = f"from benchmarks.contenders import huey; huey.send_stamps({file!r})"
    subprocess.run([sys.executable, "-c", send], check=True)
    time.sleep(0.3)
    running.stop(graceful=True)
    across = sorted(finished)
    return {
        "pickup_p50": statistics.median(across) * 1e3,
        "pickup_p99": across[int(len(across) * 0.99)] * 1e3,
        "pickup_inside_p50": statistics.median(inside) * 1e3,
        "pickup_inside_p99": inside[int(len(inside) * 0.99)] * 1e3,
    }


def send_stamps(file: str) -> None:
    _, stamp = tasks(app(file))
    for _ in range(300):
        time.sleep(0.01)
        stamp(time.time())


def idle(file: str) -> Figures:
    huey = app(file)
    running = consumer(huey)
    running.start()
    time.sleep(1)
    before, begin = time.process_time(), time.perf_counter()
    time.sleep(8)
    figure = 100 * (time.process_time() - before) / (time.perf_counter() - begin)
    running.stop(graceful=True)
    return {"idle_cpu": figure}


def memory(file: str) -> Figures:
    huey = app(file)
    nothing, _ = tasks(huey)
    # Its own rows, written in one transaction: a million single commits would take minutes.
    message = huey.serialize_task(nothing.s(PAYLOAD))
    with huey.storage.db(commit=True) as cursor:
        cursor.executemany(
            "INSERT INTO task (queue, data, priority) VALUES (?, ?, 0)",
            ((huey.name, message) for _ in range(1_000_000)),
        )
    running = consumer(huey)
    running.start()
    time.sleep(3)
    figure = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    running.stop(graceful=True)
    return {"memory_1m": figure}


def imports(file: str) -> Figures:
    return {"import": import_time("huey", Path(file).parent)}


MEASUREMENTS = {
    "enqueue": enqueue,
    "drain": drain,
    "pickup": pickup,
    "idle": idle,
    "memory": memory,
    "import": imports,
}
