"""Tests of an application's own jobs: the real path, a virtual clock, nothing sleeps."""

import asyncio
import logging
from dataclasses import dataclass

from waybill import BrokerUnavailableError, EnqueueError, JobContext, JobService, Retry, job
from waybill.testing import MemoryDriver, VirtualClock, assert_enqueued, run_until_idle, use_driver

logging.disable()

# -- the application ---------------------------------------------------------------------------------------

sent: list[str] = []


@dataclass
class Welcome:
    user_id: str


@job(name="send-welcome", retry=Retry(max_attempts=2, backoff="10m"))
async def send_welcome(payload: Welcome, ctx: JobContext) -> None:
    if payload.user_id == "u2" and ctx.attempt == 1:
        raise TimeoutError("the mail server does not answer")
    sent.append(payload.user_id)


service = JobService("sqlite:///production.db", jobs=[send_welcome])


async def register(user_id: str) -> bool:
    """What a web view would call."""
    try:
        await service.enqueue_in(send_welcome, Welcome(user_id), "1h")
    except EnqueueError:
        return False
    return True


# -- its tests ---------------------------------------------------------------------------------------------


async def test_a_registration_sends_a_welcome_after_an_hour() -> None:
    clock = VirtualClock()
    driver = MemoryDriver(clock=clock)
    with use_driver(service, driver):
        assert await register("u1")
        assert_enqueued(service, send_welcome, payload=Welcome("u1"), times=1)
        assert await run_until_idle(service) == 0
        clock.advance("1h")
        assert await run_until_idle(service) == 1
        assert sent == ["u1"]


async def test_a_welcome_is_tried_again_after_ten_minutes() -> None:
    clock = VirtualClock()
    driver = MemoryDriver(clock=clock)
    with use_driver(service, driver):
        await register("u2")
        clock.advance("1h")
        await run_until_idle(service)
        clock.advance("10m")
        await run_until_idle(service)
        assert sent[-1] == "u2"
        assert not driver.dead


async def test_a_registration_survives_a_broker_that_is_down() -> None:
    driver = MemoryDriver()
    with use_driver(service, driver):
        driver.fail_next(BrokerUnavailableError("down"))
        assert not await register("u3")
        assert not driver.enqueued


if __name__ == "__main__":  # pytest would do this
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            asyncio.run(test())
            print(f"passed: {name}")
