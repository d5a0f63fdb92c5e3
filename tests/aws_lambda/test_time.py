"""The time left in the function: nothing begins that cannot end, and Lambda is always answered."""

import asyncio
import threading
import time

import pytest

from waybill import JobError, JobService, job
from waybill.timing import parse_duration
from waybill_sqs.aws_lambda.deadline import Deadline

LONG = 30  # seconds that no test waits for
LEFT = 5300  # milliseconds, of which 5 s are kept, so that a busy machine does not matter
MARGIN = "5s"


@pytest.fixture
def lasting():
    """Handlers that end when the test does."""
    over = threading.Event()

    @job
    async def patient(ctx):
        await asyncio.sleep(LONG)

    @job
    def stuck(ctx):
        over.wait(LONG)

    @job
    async def deaf(ctx):
        while not over.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    @job
    async def blocking(ctx):
        over.wait(LONG)

    yield {"patient": patient, "stuck": stuck, "deaf": deaf, "blocking": blocking}
    over.set()


@pytest.fixture
def quick():
    @job
    async def quick():
        pass

    return quick


@pytest.fixture
def timed(monkeypatch):
    """A call, and the seconds it took."""

    def call(function, *args):
        begun = time.monotonic()
        result = function(*args)
        return result, time.monotonic() - begun

    return call


@pytest.mark.parametrize("name", ["patient", "stuck", "deaf"])
def test_what_does_not_end_in_time_is_given_back(bootstrap, record, context, failures, lasting, quick, timed, name):
    told = []
    handler = bootstrap(lasting[name], quick, margin=MARGIN, on_job_failed=lambda job: told.append(job))
    batch = [record({"jobName": name}, "m1"), record({"jobName": "quick"}, "m2")]
    answer, seconds = timed(handler, {"Records": batch}, context(LEFT))
    assert failures(answer) == ["m1"]
    assert 0.3 < seconds < LEFT / 1000
    assert not told  # it spends no attempt


@pytest.mark.blocks_the_loop
def test_a_handler_that_blocks_the_loop_does_not_keep_lambda_waiting(
    bootstrap, record, context, failures, lasting, quick, timed, caplog
):
    handler = bootstrap(lasting["blocking"], quick, margin=MARGIN)
    batch = [
        record({"jobName": "quick"}, "m1"),
        record({"jobName": "blocking"}, "m2"),
        record({"jobName": "quick"}, "m3"),
    ]
    answer, seconds = timed(handler, {"Records": batch}, context(LEFT))
    assert "m1" not in failures(answer)
    assert "m2" in failures(answer)
    assert seconds < LEFT / 1000
    assert "over.wait(LONG)" in caplog.text


def test_what_cannot_begin_in_time_is_not_begun(bootstrap, record, context, failures, lasting, timed):
    begun = []

    @job
    async def second():
        begun.append(1)

    handler = bootstrap(lasting["patient"], second, concurrency=1)
    batch = [record({"jobName": "patient"}, "m1"), record({"jobName": "second"}, "m2")]
    answer, _ = timed(handler, {"Records": batch}, context(600))
    assert failures(answer) == ["m1", "m2"]
    assert not begun


@pytest.mark.parametrize("left", [0, 100, -5])
def test_with_no_time_left_nothing_begins(bootstrap, record, context, failures, left):
    begun = []

    @job
    async def first():
        begun.append(1)

    handler = bootstrap(first)
    assert failures(handler({"Records": [record({"jobName": "first"})]}, context(left))) == ["m1"]
    with pytest.raises(JobError, match="time"):
        handler({"jobName": "first"}, context(left))
    assert not begun


def test_a_start_that_takes_too_long_is_told_and_nothing_is_lost(
    bootstrap, record, context, failures, driver, quick, caplog
):
    async def resources():
        await asyncio.sleep(LONG)

    handler = bootstrap(service=JobService(driver, jobs=[quick], services=resources))
    assert failures(handler({"Records": [record({"jobName": "quick"})]}, context(300))) == ["m1"]
    assert "before the worker had started" in caplog.text
    with pytest.raises(JobError, match="before the worker had started"):
        handler({"jobName": "quick"}, context(300))


def test_handlers_are_told_before_they_are_cancelled(bootstrap, record, context, failures):
    @job
    async def polite(ctx):
        while not ctx.shutting_down:
            await asyncio.sleep(0.01)

    assert failures(bootstrap(polite)({"Records": [record({"jobName": "polite"})]}, context(1000))) == []


def test_a_plain_handler_is_told_that_it_is_cancelled(bootstrap, record, context, failures):
    told = threading.Event()

    @job
    def listening(ctx):
        if ctx.cancelled.wait(5):
            told.set()

    assert failures(bootstrap(listening)({"Records": [record({"jobName": "listening"})]}, context(600))) == ["m1"]
    assert told.wait(5)


@pytest.mark.parametrize(
    ("left", "margin", "kept"),
    [(60, None, 3), (10, None, 2), (1, None, 0.25), (0.1, None, 0.25), (10, "5s", 5), (10, "0s", 0)],
)
def test_a_fifth_of_the_time_is_kept_or_what_was_said(context, left, margin, kept):
    now = time.monotonic()
    deadline = Deadline.of(context(left * 1000), None if margin is None else parse_duration(margin))
    assert deadline.stop - now == pytest.approx(left - kept, abs=0.05)
    moments = [deadline.stop, deadline.interrupt, deadline.abandon, deadline.settled, deadline.answer]
    assert sorted(moments) == moments
    assert deadline.answer <= now + left + 0.05


@pytest.mark.parametrize("context", [None, object(), {}], ids=["none", "object", "mapping"])
def test_where_nobody_tells_the_time_there_is_no_limit(bootstrap, record, failures, context):
    @job
    async def slow():
        await asyncio.sleep(0.3)

    assert failures(bootstrap(slow)({"Records": [record({"jobName": "slow"})]}, context)) == []


def test_the_group_behind_one_that_does_not_end_is_given_back(bootstrap, record, context, failures, lasting, quick):
    arn = "arn:aws:sqs:eu-west-1:1:q.fifo"
    batch = [record({"jobName": name}, name, arn=arn, group="g") for name in ("patient", "quick")]
    assert failures(bootstrap(lasting["patient"], quick)({"Records": batch}, context(500))) == ["patient", "quick"]


@pytest.mark.parametrize("name", ["patient", "stuck", "deaf"])
def test_a_direct_job_that_does_not_end_in_time_is_an_error(bootstrap, context, lasting, timed, name):
    handler = bootstrap(lasting[name], margin=MARGIN)
    begun = time.monotonic()
    with pytest.raises(JobError, match=r"(?i)function's time was over"):
        handler({"jobName": name}, context(LEFT))
    assert 0.3 < time.monotonic() - begun < LEFT / 1000


@pytest.mark.blocks_the_loop
def test_a_direct_job_that_blocks_the_loop_is_an_error_in_time(bootstrap, context, lasting):
    begun = time.monotonic()
    with pytest.raises(JobError, match="blocks its event loop"):
        bootstrap(lasting["blocking"], margin=MARGIN)({"jobName": "blocking"}, context(LEFT))
    assert time.monotonic() - begun < LEFT / 1000


def test_the_next_event_is_handled_beside_what_ignored_its_cancellation(
    bootstrap, record, context, failures, lasting, quick
):
    handler = bootstrap(lasting["deaf"], quick)
    assert failures(handler({"Records": [record({"jobName": "deaf"})]}, context(500))) == ["m1"]
    assert failures(handler({"Records": [record({"jobName": "quick"})]}, context(5000))) == []
