"""Jobs as classes, as Lark writes them: delays of one instance, logging from inside, follow-ups."""

import logging
from datetime import timedelta
from typing import TypedDict

import pytest

from waybill import InvalidJobPayloadError, Job, JobService, job
from waybill.testing import run_until_idle


class Email(TypedDict):
    to: str


class SendEmail(Job[Email]):
    queue_name = "emails"

    async def handle(self, payload: Email) -> bool:
        self.info("sending to %s", payload["to"], size=3)
        self.success("sent")
        return False  # a value, not a failure


@pytest.fixture
def service(driver):
    return JobService(driver, jobs=[SendEmail])


async def test_a_class_dispatches_by_its_own_name(service, driver):
    with service.as_current():
        assert await SendEmail().dispatch({"to": "a@x"})
    assert (driver.enqueued[0].job_name, driver.enqueued[0].queue) == ("SendEmail", "emails")


async def test_what_it_logs_carries_the_job(service, caplog):
    await service.enqueue(SendEmail, {"to": "a@x"})
    with caplog.at_level(logging.INFO, "waybill.job"):
        assert await run_until_idle(service) == 1
    first, last = [each for each in caplog.records if each.name == "waybill.job"]
    assert (first.getMessage(), first.levelno) == ("sending to a@x size=3", logging.INFO)
    assert (first.job_name, first.attempt, first.queue) == ("SendEmail", 1, "emails")
    assert first.filename == last.filename == "test_class_job.py"
    assert last.outcome == "success"


def test_outside_of_a_run_it_logs_its_name(caplog):
    with caplog.at_level(logging.INFO, "waybill.job"):
        SendEmail().warning("by hand")
        SendEmail().error("broken")
    assert [each.job_name for each in caplog.records] == ["SendEmail", "SendEmail"]
    assert [each.levelname for each in caplog.records] == ["WARNING", "ERROR"]


@pytest.mark.parametrize(("delay", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), (timedelta(minutes=1), 60)])
async def test_the_delay_of_one_instance_stays_its_own(service, driver, clock, delay, seconds):
    late, prompt = SendEmail(), SendEmail()
    late.delay = delay
    with service.as_current():
        result = await late.dispatch({"to": "a@x"})
        await prompt.dispatch({"to": "b@x"})
    assert result.scheduled_at == clock.now() + timedelta(seconds=seconds)
    assert driver.enqueued[1].delay is None


async def test_with_delay_is_a_copy(service, driver):
    prompt = SendEmail()
    with service.as_current():
        await prompt.with_delay("1m").dispatch({"to": "a@x"})
        await prompt.dispatch({"to": "a@x"})
    assert [each.delay for each in driver.enqueued] == [timedelta(minutes=1), None]


def test_a_delay_in_milliseconds_is_refused_with_a_hint():
    instance = SendEmail()
    with pytest.raises(ValueError, match="no unit"):
        instance.delay = 60_000
    with pytest.raises(ValueError, match="no unit"):
        instance.with_delay(60_000)


async def test_dispatch_now_runs_in_place_and_validates(service):
    with service.as_current():
        assert await SendEmail().dispatch_now({"to": "a@x"}) is False
        with pytest.raises(InvalidJobPayloadError):
            await SendEmail().dispatch_now({"to": 5})


async def test_a_job_that_is_dispatched_by_another_knows_its_parent(driver):
    seen = []

    @job(name="update-stats")
    async def update_stats(payload: str, ctx) -> None:
        seen.append((payload, ctx.parent_id))

    class ProcessOrder(Job[str]):
        async def handle(self, payload: str, ctx) -> None:
            await update_stats.dispatch(f"{payload} by dispatch")
            await ctx.enqueue(update_stats, f"{payload} by context")

    service = JobService(driver, jobs=[ProcessOrder, update_stats])
    order = await service.enqueue(ProcessOrder, "o1")
    await run_until_idle(service)
    assert sorted(seen) == [("o1 by context", order.job_id), ("o1 by dispatch", order.job_id)]
    assert (await service.enqueue(update_stats, "alone")).job_id != order.job_id
    await run_until_idle(service)
    assert seen[-1] == ("alone", None)


async def test_a_large_payload_is_remarked_upon_once_for_each_job(driver, caplog):
    @job(name="big")
    async def big(payload: str) -> None: ...

    service = JobService(driver)
    with caplog.at_level(logging.WARNING, "waybill.service"):
        for _ in range(2):
            await service.enqueue(big, "x" * 40_000)
        await service.enqueue(big, "small")
    assert [each.getMessage().partition(":")[0] for each in caplog.records] == ["big"]
