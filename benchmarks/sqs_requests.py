"""What a job costs on SQS: requests, and the client's CPU. `python -m benchmarks.sqs_requests [--jobs 2000]`.

AWS takes money for requests. They are counted by a process between client and emulator, so that it costs the client
nothing; each contender runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import re
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

from waybill_conformance.brokers import start

from .contender import PAYLOAD, Contender, Place, tally
from .measurements import until

CONTENDERS = ("waybill", "raw_sqs", "celery")
CONCURRENT = 256


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=2000)
    options.add_argument("--measure", help=argparse.SUPPRESS)
    options.add_argument("--count", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.count:
        asyncio.run(count(given.count))
    elif given.measure:
        name, url = given.measure.split(" ", 1)
        print(json.dumps(asyncio.run(measure(name, url, given.jobs))))
    else:
        report(given.jobs)


def report(jobs: int) -> None:
    print(f"{'':10}{'requests per job':>20}{'CPU µs per job, sending':>26}{'running':>10}")
    for name in CONTENDERS:
        with start("ministack") as emulator:
            upstream = urlsplit(parse_qs(urlsplit(emulator.direct_url).query)["endpoint_url"][0]).netloc
            command = [sys.executable, "-m", "benchmarks.sqs_requests"]
            with subprocess.Popen([*command, "--count", upstream], stdout=subprocess.PIPE, text=True) as counting:
                assert counting.stdout is not None
                port = int(counting.stdout.readline())
                url = emulator.kind.url("127.0.0.1", port)
                measuring = [*command, "--measure", f"{name} {url}", "--jobs", str(jobs)]
                told = json.loads(subprocess.run(measuring, stdout=subprocess.PIPE, check=True, text=True).stdout)
                counting.terminate()
        each = (
            f"{told['requests'] / jobs:20.2f}{told['sending'] / jobs * 1e6:26.0f}{told['running'] / jobs * 1e6:10.0f}"
        )
        print(f"{name:10}{each}")


async def measure(name: str, url: str, jobs: int) -> dict[str, float]:
    """One contender sends jobs, 256 at a time, and runs them."""
    contender: Contender = importlib.import_module(f"benchmarks.contenders.{name}").Contender(
        Place("sqs", url, f"b{uuid.uuid4().hex[:8]}", "")
    )
    await contender.open()
    before, used = requests(url), time.process_time()
    if contender.blocking:
        with ThreadPoolExecutor(CONCURRENT) as threads:
            await asyncio.gather(
                *(asyncio.get_running_loop().run_in_executor(threads, contender.send, PAYLOAD) for _ in range(jobs))
            )
    else:
        for _ in range(0, jobs, CONCURRENT):
            await asyncio.gather(*(contender.send(PAYLOAD) for _ in range(CONCURRENT)))
        jobs = -(-jobs // CONCURRENT) * CONCURRENT
    sending = time.process_time() - used
    tally.expect(jobs)
    used = time.process_time()
    async with contender.worker():
        await until(lambda: tally.reached > 0)
        running = time.process_time() - used
        made = requests(url) - before
    await contender.close()
    return {"sending": sending, "running": running, "requests": made}


def requests(url: str) -> int:
    """How many there were so far."""
    address = urlsplit(parse_qs(urlsplit(url).query)["endpoint_url"][0])
    with socket.create_connection((address.hostname or "", address.port or 80)) as asking:
        asking.sendall(b"how many?")
        return int(asking.recv(64))


async def count(upstream: str) -> None:
    """Forward connections, and count the requests on them."""
    host, _, port = upstream.partition(":")
    seen = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        first = await reader.read(65_536)
        if first == b"how many?":
            writer.write(str(seen).encode())
            writer.close()
            return
        back, forth = await asyncio.open_connection(host, int(port))

        async def answers() -> None:
            while data := await back.read(65_536):
                writer.write(data)
            writer.close()

        answering = asyncio.create_task(answers())
        while first:
            seen += len(re.findall(rb"(?:^|\r\n\r\n|\})(?:POST|GET) /", first))
            forth.write(first)
            first = await reader.read(65_536)
        forth.close()
        await answering

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    main()
