"""What another process does to a database; the tests start it as `peer.py VERB PATH [ARGUMENT…]`."""

import asyncio
import itertools
import sys
import time
from datetime import timedelta

from waybill.driver import Message, UniqueKey
from waybill.errors import DuplicateJobError
from waybill_sqlite import SqliteDriver
from waybill_sqlite.gate import Gate


def say(*words):
    print(*words, flush=True)


async def until_stdin_ends():
    await asyncio.to_thread(sys.stdin.read)


async def produce(driver, name):
    """Enqueues for ever, and says the number of each that was accepted."""
    for number in itertools.count():
        batch = [Message(f"{name}-{number}-{each}", "q", b"{}") for each in range(3)]
        await driver.enqueue_batch([(message, None) for message in batch])
        say(number)


async def consume(driver):
    """Receives and acks for ever, and says the ids."""
    while True:
        for delivery in await driver.receive("q", limit=5, wait=timedelta(seconds=10)):
            say(delivery.message.id, delivery.attempt)
            await driver.ack(delivery)


async def hold(driver):
    """Receives one job and keeps it."""
    [delivery] = await driver.receive("q", limit=1, wait=timedelta(seconds=10))
    say("holding", delivery.attempt)
    await until_stdin_ends()


async def wait_for_jobs(driver):
    """Says how late each job is received whose body is the time of its enqueue."""
    await driver.receive("other", limit=1, wait=timedelta(milliseconds=1))
    say("waiting")
    while True:
        for delivery in await driver.receive("q", limit=1, wait=timedelta(seconds=10)):
            say((time.time_ns() - int(delivery.message.body)) / 1e6)
            await driver.ack(delivery)


async def saturate(driver, role, seconds):
    """Works with one job per transaction, and says how many it did and how long the longest call took."""
    longest, done, end = 0.0, 0, time.monotonic() + float(seconds)
    while time.monotonic() < end:
        start = time.monotonic()
        if role == "producer":
            await driver.enqueue(Message(f"{id(driver)}-{time.time_ns()}", "q", b"{}"))
        else:
            await driver.ack_batch(await driver.receive("q", limit=1, wait=timedelta()))
        longest, done = max(longest, time.monotonic() - start), done + 1
    say(done, longest)


async def race(driver, count):
    """Lets some enqueues race for one unique key, and says how many won."""
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)

    async def one(number):
        try:
            await driver.enqueue(Message(f"{id(driver)}-{number}", "q", b"{}", unique=UniqueKey("k", "done")))
        except DuplicateJobError:
            return 0
        return 1

    say(sum(await asyncio.gather(*map(one, range(int(count))))))


def hold_gate(path):
    """Stands in the gate until it is killed."""
    Gate(f"{path}-gate").acquire()
    say("holding")
    sys.stdin.read()


async def main(verb, path, *arguments):
    options = {"lease": "1s"} if verb == "hold" else {}
    driver = SqliteDriver(path, **options)
    await driver.open()
    await globals()[verb](driver, *arguments)
    await driver.close()


if __name__ == "__main__":
    if sys.argv[1] == "hold_gate":
        hold_gate(sys.argv[2])
    else:
        asyncio.run(main(*sys.argv[1:]))
