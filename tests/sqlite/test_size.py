"""A million waiting jobs, or a group of any length, make nothing slow."""

import asyncio
import statistics
import time
from datetime import timedelta

import pytest

NOW = timedelta()


async def fill(driver, kinds):
    """Straight into the tables: a fixture, not a measurement."""

    def insert(store):
        number = store.number_for("q")
        rows = ((number, f"id-{n}", state, at, grp) for state, at, grp, count in kinds for n in range(count))
        store.execute_many(
            "INSERT INTO job (queue, id, state, rank, at, grp, body) VALUES (?, ?, ?, 0, ?, ?, x'7b7d')",
            ((q, f"{job_id}-{state}-{grp}", state, at, grp) for q, job_id, state, at, grp in rows),
        )

    await driver._database.writer.call(insert)


async def times(driver, rounds, limit):
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        deliveries = await driver.receive("q", limit=limit, wait=NOW)
        taken.append((time.process_time() - start) * 1000)
        assert deliveries
        await driver.ack_batch(deliveries)
    return taken


@pytest.mark.timeout(120)
async def test_among_a_million_jobs_receive_stays_under_five_milliseconds(connect):
    driver = await connect(durability="normal", timeout="60s")
    later = 4_000_000_000_000_000  # the year 2096
    await fill(driver, [(0, 0, None, 500_000), (3, later, None, 400_000), (0, 0, "g", 1), (4, 0, "g", 99_999)])
    assert (await driver.stats("q")).delayed == 400_000
    taken = await times(driver, 300, 1) + await times(driver, 300, 10)
    # The median is the promise about the indexes; the p99 would also measure the neighbours of this machine.
    assert statistics.median(taken) < 5
    assert statistics.quantiles(taken, n=100)[94] < 20


async def test_a_group_of_very_many_is_received_one_by_one_without_a_search(connect):
    driver = await connect(durability="normal", timeout="60s")
    await fill(driver, [(0, 0, "g", 1), (4, 0, "g", 100_000)])
    assert statistics.median(await times(driver, 100, 100)) < 5
    assert await driver.purge("q") == 99_901


async def test_a_purge_lets_others_have_their_turn(connect, message):
    driver, other = await connect(durability="normal", timeout="60s"), await connect(durability="normal")
    await fill(driver, [(0, 0, None, 100_000)])
    purging = asyncio.create_task(driver.purge("q"))
    longest = 0.0
    while not purging.done():
        start = time.process_time()
        await other.enqueue(message(queue="other"))
        longest = max(longest, time.process_time() - start)
    assert await purging == 100_000
    assert longest < 1
