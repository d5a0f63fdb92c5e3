"""The table of what a worker makes of a delivery, row by row: the message, and which hooks hear of it."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

import pytest

from waybill import (
    ConfigurationError,
    InvalidJobPayloadError,
    JobError,
    JobService,
    JobTimeoutError,
    Message,
    PermanentJobError,
    Retry,
    RetryExhaustedError,
    TransientJobError,
    UnknownJobError,
    Worker,
    define_job,
)
from waybill.testing import run_until_idle

ZERO = timedelta()


@dataclass
class Welcome:
    user_id: str


class Recorder:
    """A service whose hooks are written down."""

    def __init__(self, driver, **options):
        self.told = []
        self.service = JobService(
            driver,
            on_job_start=lambda job, ctx: self.told.append(("start", job, ctx, None)),
            on_job_complete=lambda job, ctx: self.told.append(("complete", job, ctx, None)),
            on_job_failed=lambda job, ctx, err: self.told.append(("failed", job, ctx, err)),
            on_job_dead_letter=lambda job, ctx, err: self.told.append(("dead_letter", job, ctx, err)),
            **options,
        )

    @property
    def hooks(self):
        return [each[0] for each in self.told]

    @property
    def errors(self):
        return {each[0]: each[3] for each in self.told if each[3] is not None}

    async def run(self, handler, payload=None, **options):
        """Send one job and let the worker have it once."""
        await self.service.enqueue(define_job(name="x", handler=handler, **options), payload, job_id="id1")
        return await run_until_idle(self.service)


@pytest.fixture
def recorder(driver):
    return Recorder(driver)


async def state(driver):
    stats = await driver.clone().stats("default")
    return {name: getattr(stats, name) for name in ("ready", "delayed", "leased", "dead") if getattr(stats, name)}


def raising(error):
    async def handler():
        raise error

    def plain():
        raise error

    return {"async": handler, "plain": plain}


@pytest.mark.parametrize("value", [None, False, 0, "text", Exception("a value")], ids=repr)
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_handler_that_returns_any_value_is_acked(recorder, driver, value, kind):
    async def handler():
        return value

    assert await recorder.run(handler if kind == "async" else lambda: value) == 1
    assert await state(driver) == {}
    assert recorder.hooks == ["start", "complete"]


PERMANENT = [
    (PermanentJobError("never"), {}),
    (ValueError("x"), {"no_retry_on": ValueError}),
    (ValueError("x"), {"retry_on": OSError}),
]


@pytest.mark.parametrize("case", range(len(PERMANENT)))
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_permanent_error_goes_to_the_dead_letters_at_once(recorder, driver, kind, case):
    error, policy = PERMANENT[case]
    assert await recorder.run(raising(error)[kind], retry=Retry(**policy)) == 1
    assert await state(driver) == {"dead": 1}
    assert driver.dead[0].message.id == "id1"
    assert (driver.dead[0].reason.code, driver.dead[0].reason.attempt) == ("permanent", 1)
    assert str(error) in driver.dead[0].reason.error
    assert recorder.hooks == ["start", "failed", "dead_letter"]
    assert set(recorder.errors.values()) == {error}


@pytest.mark.parametrize("retry", [Retry(dead=False), False], ids=["dead=False", "retry=False"])
@pytest.mark.parametrize("error", [PermanentJobError("never"), ValueError("x")], ids=repr)
async def test_a_job_that_asks_not_to_be_kept_is_dropped_and_logged(recorder, driver, caplog, retry, error):
    if isinstance(retry, Retry) and not isinstance(error, PermanentJobError):
        retry = Retry(1, dead=False)
    await recorder.run(raising(error)["async"], retry=retry)
    assert await state(driver) == {}
    assert recorder.hooks == ["start", "failed"]
    assert "dropped" in caplog.text


@pytest.mark.parametrize(
    "options", [{}, {"retry": False}, {"retry": Retry(dead=False)}], ids=["", "retry=False", "dead=False"]
)
@pytest.mark.parametrize("payload", [b'{"user_id":5}', b"null", b"[]"])
async def test_an_invalid_payload_is_a_dead_letter_at_once_and_never_run(recorder, driver, options, payload):
    ran = []
    recorder.service.registry.add(define_job(name="x", schema=Welcome, handler=ran.append, **options))
    await driver.enqueue(Message("id1", "default", b'{"jobName":"x","payload":%s}' % payload))
    assert await run_until_idle(recorder.service) == 0
    assert ran == []
    assert await state(driver) == {"dead": 1}
    assert driver.dead[0].reason.code == "invalid-payload"
    assert driver.dead[0].message.body == b'{"jobName":"x","payload":%s}' % payload
    assert recorder.hooks == ["failed", "dead_letter"]
    assert all(isinstance(each, InvalidJobPayloadError) for each in recorder.errors.values())


async def test_on_invalid_retry_waits_for_a_newer_worker(recorder, driver, clock):
    recorder.service.registry.add(
        define_job(name="x", schema=Welcome, handler=repr, on_invalid="retry", retry=Retry(2, "1s"))
    )
    await driver.enqueue(Message("id1", "default", b'{"jobName":"x"}'))
    await run_until_idle(recorder.service)
    assert await state(driver) == {"delayed": 1}
    assert recorder.hooks == ["failed"]
    clock.advance("1s")
    await run_until_idle(recorder.service)
    assert driver.dead[0].reason.code == "invalid-payload"


RETRIED = [
    TransientJobError("later"),
    ValueError("x"),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopIteration(),
    TimeoutError(),
    InvalidJobPayloadError("other", ["its own"]),
    ExceptionGroup("several", [ValueError()]),
]


@pytest.mark.parametrize("error", RETRIED, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_any_other_error_is_nacked_and_runs_again(recorder, driver, clock, kind, error):
    assert await recorder.run(raising(error)[kind], retry=Retry(2, backoff="10s")) == 1
    assert await state(driver) == {"delayed": 1}
    assert recorder.hooks == ["start", "failed"]
    clock.advance("9.999s")
    assert await run_until_idle(recorder.service) == 0
    clock.advance("1ms")
    assert await run_until_idle(recorder.service) == 1
    assert await state(driver) == {"dead": 1}
    assert [ctx.attempt for hook, _, ctx, _ in recorder.told if hook == "start"] == [1, 2]


@pytest.mark.parametrize("retry_after", ["10m", 600, timedelta(minutes=10)], ids=repr)
async def test_retry_after_is_exactly_that_long(recorder, clock, retry_after):
    told = []
    handler = raising(TransientJobError("later", retry_after=retry_after))["async"]
    recorder.service.hooks = recorder.service.hooks.extended({"on_job_failed": lambda retry_in: told.append(retry_in)})
    await recorder.run(handler)
    clock.advance("9m59.999s")
    assert await run_until_idle(recorder.service) == 0
    clock.advance("1ms")
    assert await run_until_idle(recorder.service) == 1
    assert told == [timedelta(minutes=10)] * 2


async def test_the_wait_before_another_run_is_the_backoffs(recorder, driver, clock):
    waits = []
    await recorder.run(raising(ValueError())["async"], retry=Retry(4, backoff=lambda n: timedelta(seconds=10**n)))
    for _ in range(3):
        [waiting] = (await driver.clone().list_delayed("default")).entries
        waits.append((waiting.due - clock.now()).total_seconds())
        clock.advance_to(waiting.due)
        await run_until_idle(recorder.service)
    assert waits == [10, 100, 1000]
    assert await state(driver) == {"dead": 1}


async def test_a_wait_beyond_any_calendar_is_a_century(recorder, driver, clock):
    await recorder.run(raising(TransientJobError(retry_after=timedelta.max))["async"])
    [waiting] = (await driver.clone().list_delayed("default")).entries
    assert waiting.due - clock.now() == timedelta(days=36_525)


async def test_a_backoff_longer_than_the_broker_can_wait_is_clamped(driver, wrapped):
    recorder = Recorder(wrapped(driver, max_nack_delay=timedelta(seconds=7)))
    await recorder.run(raising(ValueError())["async"], retry=Retry(backoff="1h"))
    [waiting] = (await driver.clone().list_delayed("default")).entries
    assert waiting.due - recorder.service.clock.now() == timedelta(seconds=7)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_spent_attempts_are_a_dead_letter_with_the_cause(recorder, driver, clock, attempts):
    error = ValueError("the cause")
    runs = await recorder.run(raising(error)["async"], retry=Retry(attempts, backoff="1s"))
    for _ in range(5):
        clock.advance("1s")
        runs += await run_until_idle(recorder.service)
    assert runs == attempts
    [letter] = driver.dead
    assert (letter.reason.code, letter.reason.attempt) == ("exhausted", attempts)
    assert "the cause" in letter.reason.error
    assert letter.reason.at <= clock.now()
    assert recorder.hooks == ["start", "failed"] * attempts + ["dead_letter"]
    exhausted = recorder.errors["dead_letter"]
    assert isinstance(exhausted, RetryExhaustedError)
    assert (exhausted.job_name, exhausted.attempt, exhausted.max_attempts) == ("x", attempts, attempts)
    assert exhausted.__cause__ is recorder.errors["failed"] is error


async def test_the_default_is_25_attempts(recorder, driver, clock):
    runs = await recorder.run(raising(ValueError())["async"])
    for _ in range(40):
        clock.advance("1h")
        runs += await run_until_idle(recorder.service)
    assert runs == 25


async def crashed(driver, clock, times):
    """Deliver and vanish, so often."""
    for _ in range(times):
        assert await driver.receive("default", limit=1, wait=ZERO)
        clock.advance("60s")


async def test_a_crash_counts_as_an_attempt(recorder, driver, clock):
    await recorder.service.enqueue(define_job(name="x", handler=lambda: None, retry=3), job_id="id1")
    await crashed(driver, clock, 2)
    assert await run_until_idle(recorder.service) == 1
    assert [ctx.attempt for _, _, ctx, _ in recorder.told] == [3, 3]


@pytest.mark.parametrize("dead", [True, False])
async def test_more_attempts_than_allowed_are_not_run(recorder, driver, clock, dead):
    await recorder.service.enqueue(define_job(name="x", handler=lambda: None, retry=Retry(3, dead=dead)), job_id="id1")
    await crashed(driver, clock, 3)
    assert await run_until_idle(recorder.service) == 0
    assert await state(driver) == ({"dead": 1} if dead else {})
    assert recorder.hooks == (["failed", "dead_letter"] if dead else ["failed"])
    if dead:
        assert (driver.dead[0].reason.code, driver.dead[0].reason.attempt) == ("lease-expired", 4)


@pytest.mark.parametrize(("over", "runs"), [(1, 1), (2, 1), (3, 0)])
async def test_where_attempts_are_not_exact_up_to_two_over_still_run(driver, wrapped, clock, over, runs):
    recorder = Recorder(wrapped(driver, exact_attempts=False))
    await recorder.service.enqueue(define_job(name="x", handler=lambda: None, retry=3))
    await crashed(driver, clock, 2 + over)
    assert await run_until_idle(recorder.service) == runs


async def test_an_unknown_job_waits_for_a_new_version_and_dies_after_the_default_attempts(recorder, driver, clock):
    await recorder.service.enqueue("from the future", {"a": 1}, job_id="id1")
    assert await run_until_idle(recorder.service) == 0
    assert await state(driver) == {"delayed": 1}
    for _ in range(23):
        clock.advance("1h")
        await run_until_idle(recorder.service)
    assert await state(driver) == {"delayed": 1}
    clock.advance("1h")
    await run_until_idle(recorder.service)
    assert await state(driver) == {"dead": 1}
    assert (driver.dead[0].reason.code, driver.dead[0].reason.attempt) == ("unknown-job", 25)
    assert recorder.hooks == ["failed"] * 25 + ["dead_letter"]
    assert all(isinstance(each, UnknownJobError) for each in recorder.errors.values())
    assert [ctx for _, _, ctx, _ in recorder.told] == [None] * 26


@pytest.mark.parametrize("name", ["os.system", "../x", "__class__", "waybill.errors:JobError", "a\nb\x1b[0m", "%s%n"])
async def test_a_name_is_only_looked_up_and_never_imported(recorder, driver, caplog, name):
    await recorder.service.enqueue(name, "echo")
    assert await run_until_idle(recorder.service) == 0
    assert await state(driver) == {"delayed": 1}
    assert all(len(each.getMessage().splitlines()) == 1 for each in caplog.records)
    assert "\x1b" not in caplog.text


async def test_an_unknown_job_runs_once_its_version_is_there(driver, clock):
    await JobService(driver).enqueue("new", 1)
    await run_until_idle(JobService(driver))
    clock.advance("1h")
    assert await run_until_idle(JobService(driver, jobs=[define_job(name="new", handler=lambda payload: None)])) == 1


async def test_a_declaration_sent_by_a_running_handler_waits_for_who_has_it(recorder, driver):
    declared = define_job(name="declared")

    async def handler(ctx):
        await ctx.enqueue(declared)

    assert await recorder.run(handler) == 1
    assert await state(driver) == {"delayed": 1}
    assert isinstance(recorder.errors["failed"], UnknownJobError)


UNDECODABLE = [b"", b"{}", b"\xff", b"[" * 1_000_000, b'{"v":2,"jobName":"x"}', b'{"jobName":5}', b'{"jobName":"x"']


@pytest.mark.parametrize("body", UNDECODABLE, ids=lambda body: repr(body[:20]))
async def test_an_undecodable_message_is_a_dead_letter_at_once_and_its_neighbours_flow(recorder, driver, body):
    await driver.enqueue(Message("id0", "default", body))
    assert await recorder.run(lambda: None) == 1
    assert [(each.message.id, each.message.body, each.reason.code) for each in driver.dead] == [
        ("id0", body, "undecodable")
    ]
    assert sorted(recorder.hooks) == ["complete", "dead_letter", "start"]
    [(_, job, ctx, error)] = [each for each in recorder.told if each[0] == "dead_letter"]
    assert (job.job_id, job.job_name, job.payload, job.enqueued_at, ctx) == ("id0", None, None, None, None)
    assert isinstance(error, JobError)


# -- timeouts -----------------------------------------------------------------------------------------------


async def test_an_async_handler_past_its_timeout_is_cancelled_and_retried(recorder, driver, clock, until):
    cancelled = []

    async def handler(ctx):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(bool(ctx.cancelled))
            raise

    task = asyncio.create_task(recorder.run(handler, timeout="30s", retry=Retry(2, backoff="1m")))
    await until(lambda: recorder.hooks == ["start"])
    clock.advance("29s")
    for _ in range(20):
        await asyncio.sleep(0)
    assert cancelled == []
    clock.advance("1s")
    await task
    assert cancelled == [True]
    assert await state(driver) == {"delayed": 1}
    assert isinstance(recorder.errors["failed"], JobTimeoutError)
    assert recorder.errors["failed"].timeout == timedelta(seconds=30)


@pytest.mark.parametrize("end", ["returns", "raises"])
async def test_a_handler_that_swallows_its_cancellation_has_timed_out_all_the_same(recorder, driver, clock, until, end):
    async def handler():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if end == "raises":
                raise LookupError from None

    task = asyncio.create_task(recorder.run(handler, timeout="30s", retry=1))
    await until(lambda: recorder.hooks == ["start"])
    await asyncio.sleep(0)
    clock.advance("30s")
    await task
    assert isinstance(recorder.errors["failed"], JobTimeoutError)
    assert driver.dead[0].reason.code == "exhausted"


async def test_a_handler_in_time_is_not_cancelled_afterwards(recorder, driver, clock):
    await recorder.run(lambda: None, timeout="1s")
    clock.advance("1h")
    await asyncio.sleep(0)
    assert recorder.hooks == ["start", "complete"]


# -- what must not matter -----------------------------------------------------------------------------------


class Evil(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [Evil(), ValueError("a\nb\x1b"), ValueError("%s %d"), ValueError()], ids=range(4))
async def test_any_text_of_an_error_is_kept_as_text(recorder, driver, caplog, error):
    await recorder.run(raising(error)["async"], retry=1)
    assert driver.dead[0].reason.error.encode()
    assert all("\n" not in each.getMessage() and "\x1b" not in each.getMessage() for each in caplog.records)


async def test_a_lone_surrogate_in_an_error_is_kept_as_text(recorder, driver, caplog):
    caplog.set_level(logging.CRITICAL, "waybill")  # no report could carry it
    await recorder.run(raising(ValueError("\ud800"))["async"], retry=1)
    assert driver.dead[0].reason.error.endswith("ValueError: \\ud800")


@pytest.mark.parametrize(
    "broken", [lambda n: 1 / 0, lambda n: "soon", lambda n: -timedelta(1)], ids=["raises", "text", "negative"]
)
async def test_a_broken_backoff_does_not_cost_the_job(recorder, driver, broken):
    await recorder.run(raising(ValueError())["async"], retry=Retry(backoff=broken))
    stats = await driver.clone().stats("default")
    assert stats.ready + stats.delayed == 1


@pytest.mark.parametrize("attempts", [0, -1])
async def test_a_foreign_limit_that_makes_no_sense_is_ignored(recorder, driver, attempts):
    recorder.service.registry.add(define_job(name="x", handler=lambda: None))
    await driver.enqueue(Message("id1", "default", b'{"jobName":"x","maxAttempts":%d}' % attempts))
    assert await run_until_idle(recorder.service) == 1


async def test_a_worker_refuses_declarations(driver):
    service = JobService(driver, jobs=[define_job(name="declared")])
    with pytest.raises(ConfigurationError, match="declared"):
        await Worker(service).run()


async def test_a_job_refused_by_a_judgement_of_ours_is_neither_lost_nor_holds_its_slot(
    monkeypatch, recorder, driver, clock
):
    monkeypatch.setattr("waybill.running.execute.fate_of_failure", lambda *args, **kwargs: 1 / 0)
    assert await recorder.run(raising(ValueError())["async"]) == 1
    stats = await driver.clone().stats("default")
    assert stats.ready + stats.delayed == 1
