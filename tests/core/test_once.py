"""A mark in the broker that something was begun."""

import logging

import pytest

from waybill import JobService, UnsupportedError, define_job
from waybill.testing import MemoryDriver, run_until_idle


@pytest.fixture
def told():
    return []


def service_of(driver, handler, **options):
    return JobService(driver, jobs=[define_job(name="pay", handler=handler, retry=3, queue="q")], **options)


async def test_the_second_delivery_skips_the_body_and_logs_it(driver, told, caplog):
    async def pay(ctx):
        if await ctx.once("payment:1"):
            told.append(ctx.job_id)

    service = service_of(driver, pay)
    first, _ = await service.enqueue("pay"), await service.enqueue("pay")
    with caplog.at_level(logging.INFO, "waybill.job"):
        await run_until_idle(service)
    assert told == [first.job_id]
    assert "left out once='payment:1'" in caplog.text


async def test_what_failed_after_its_mark_is_not_begun_again(driver, told, clock):
    async def pay(ctx):
        if await ctx.once("payment:1"):
            told.append(ctx.attempt)
            raise ValueError("after the charge")

    service = service_of(driver, pay)
    await service.enqueue("pay")
    for _ in range(3):
        await run_until_idle(service)
        clock.advance("1h")
    assert told == [1]


async def test_a_block_that_raises_takes_its_mark_back(driver, told, clock):
    async def pay(ctx):
        async with ctx.once("payment:1") as first:
            told.append((ctx.attempt, first))
            if ctx.attempt == 1:
                raise ValueError("before the charge")

    service = service_of(driver, pay)
    await service.enqueue("pay")
    await run_until_idle(service)
    clock.advance("1h")
    await service.enqueue("pay")
    await run_until_idle(service)
    assert told[0] == (1, True)
    assert [first for _, first in told[1:]].count(True) == 1  # whichever of the two came first


async def test_a_mark_ends_with_its_time(driver, told, clock):
    async def pay(ctx):
        told.append(await ctx.once("daily", ttl="1d"))

    service = service_of(driver, pay)
    for _ in range(3):
        await service.enqueue("pay")
        await run_until_idle(service)
        clock.advance("12h")
    assert told == [True, False, True]


async def test_plain_handlers_ask_too(driver, told):
    def pay(ctx):
        told.append(ctx.sync.once("payment:1"))

    service = service_of(driver, pay)
    await service.enqueue_many("pay", [None, None], queue="q")
    await run_until_idle(service)
    assert sorted(told) == [False, True]


async def test_namespaces_have_marks_of_their_own(driver, told):
    async def pay(ctx):
        told.append(await ctx.once("payment:1"))

    for space in ("one", "other"):
        service = service_of(driver, pay, namespace=space)
        await service.enqueue("pay")
        await run_until_idle(service)
    assert told == [True, True]


async def test_a_broker_without_a_place_refuses_and_a_store_helps(wrapped, clock, told):
    async def pay(ctx):
        try:
            told.append(await ctx.once("payment:1"))
        except UnsupportedError as refusal:
            told.append("schedules=" in str(refusal))

    for store in (None, MemoryDriver(clock=clock)):
        bare = wrapped(MemoryDriver(clock=clock), any_loop=True)
        async with service_of(bare, pay, schedules=store) as service:
            await service.enqueue("pay")
            await run_until_idle(service)
    assert told == [True, True]


async def test_a_key_that_is_none_is_refused(driver, told):
    async def pay(ctx):
        for key in ("", "x" * 201, 5):
            with pytest.raises(ValueError, match="1 to 200"):
                await ctx.once(key)
        told.append(1)

    service = service_of(driver, pay)
    await service.enqueue("pay")
    await run_until_idle(service)
    assert told == [1]
