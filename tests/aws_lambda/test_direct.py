"""Events that name a job: it runs here and now, and its error is the invocation's."""

from types import SimpleNamespace

import pytest

from waybill import (
    ConfigurationError,
    InvalidJobPayloadError,
    JobError,
    JobService,
    PermanentJobError,
    RetryExhaustedError,
    UnknownJobError,
    define_periodic_job,
    job,
)

OK = {"success": True}
NOTHING = object()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def report(seen):
    @job(name="daily-report", queue="reports")
    async def daily_report(payload, ctx):
        seen.append((payload, ctx.job_id, ctx.attempt, ctx.queue))

    return daily_report


EVENTS = {
    "with a payload": ({"jobName": "daily-report", "payload": {"key": "value"}}, {"key": "value"}),
    "with an empty one": ({"jobName": "daily-report", "payload": {}}, {}),
    "without": ({"jobName": "daily-report"}, None),
    "null": ({"jobName": "daily-report", "payload": None}, None),
    "under detail": ({"detail": {"jobName": "daily-report", "payload": {"id": 1}}}, {"id": 1}),
    "under detail, without": ({"detail": {"jobName": "daily-report"}}, None),
    "by detail.name": ({"detail": {"name": "daily-report", "payload": {"id": 1}}}, {"id": 1}),
    "the payload beside detail": ({"detail": {"jobName": "daily-report"}, "payload": 7}, 7),
    "the name beside detail": ({"jobName": "daily-report", "detail": {"payload": 7}}, 7),
    "of EventBridge": (
        {
            "version": "0",
            "id": "e1",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "detail": {"jobName": "daily-report", "payload": None},
        },
        None,
    ),
    "with records of something else": (
        {"Records": [{"eventSource": "aws:s3", "s3": {}}], "jobName": "daily-report"},
        None,
    ),
    "with no records": ({"Records": [], "jobName": "daily-report"}, None),
}


@pytest.mark.parametrize(("event", "payload"), EVENTS.values(), ids=EVENTS)
def test_an_event_runs_the_job_it_names(bootstrap, report, seen, event, payload):
    assert bootstrap(report)(event, None) == OK
    [(got, job_id, attempt, queue)] = seen
    assert (got, attempt, queue) == (payload, 1, "reports")
    assert job_id.startswith("eb-")


def test_a_job_without_a_payload_takes_an_empty_one(bootstrap):
    ran = []

    @job(name="daily-cleanup")
    async def cleanup():
        ran.append(1)

    handler = bootstrap(cleanup)
    assert [handler({"jobName": "daily-cleanup", "payload": {}}, None), handler({"jobName": "daily-cleanup"})] == [
        OK,
        OK,
    ]
    assert len(ran) == 2


def test_a_periodic_job_that_an_outside_trigger_fires_runs(bootstrap):
    ran = []

    def cleanup(ctx):
        ran.append(ctx.job_name)

    periodic = define_periodic_job(name="daily-cleanup", handler=cleanup, schedule=None)
    assert bootstrap(periodic)({"jobName": "daily-cleanup", "payload": {}}, None) == OK
    assert ran == ["daily-cleanup"]


def test_a_repeated_event_has_the_same_job_id(bootstrap, report, seen):
    handler = bootstrap(report)
    handler({"jobName": "daily-report", "id": "e1"}, None)
    handler({"jobName": "daily-report"}, SimpleNamespace(aws_request_id="r1"))
    handler({"jobName": "daily-report", "jobId": "mine"}, SimpleNamespace(aws_request_id="r1"))
    handler({"jobName": "daily-report"}, None)
    handler({"jobName": "daily-report"}, None)
    ids = [each[1] for each in seen]
    assert ids[:3] == ["eb-e1", "eb-r1", "mine"]
    assert len(set(ids)) == 5


@pytest.mark.parametrize(
    ("context", "attempt"),
    [
        (SimpleNamespace(client_context=SimpleNamespace(custom={"retryAttempt": 2})), 3),
        (SimpleNamespace(client_context=SimpleNamespace(custom={"retryAttempt": "2"})), 3),
        ({"clientContext": {"custom": {"retryAttempt": 2}}}, 3),
        (SimpleNamespace(client_context=SimpleNamespace(custom=None)), 1),
        (SimpleNamespace(client_context=None), 1),
        (SimpleNamespace(), 1),
        ({}, 1),
    ],
    ids=str,
)
def test_the_attempt_is_one_more_than_the_repetitions_the_caller_counts(bootstrap, report, seen, context, attempt):
    bootstrap(report)({"jobName": "daily-report"}, context)
    assert seen[0][2] == attempt


def test_what_the_handler_raises_is_raised_with_its_hook(bootstrap):
    told = []

    @job
    async def failing():
        raise ValueError("boom")

    handler = bootstrap(failing, on_job_failed=lambda job, ctx, err: told.append(str(err)))
    with pytest.raises(ValueError, match="boom"):
        handler({"jobName": "failing"}, None)
    assert told == ["boom"]


def test_what_is_given_up_is_raised_and_kept(bootstrap, driver):
    told = []

    @job
    async def hopeless():
        raise PermanentJobError("no such user")

    @job(retry=1)
    async def once():
        raise ValueError("boom")

    handler = bootstrap(hopeless, once, on_job_dead_letter=lambda job, ctx, err: told.append(type(err)))
    with pytest.raises(PermanentJobError, match="no such user"):
        handler({"jobName": "hopeless", "jobId": "j1"}, None)
    with pytest.raises(ValueError, match="boom"):
        handler({"jobName": "once", "jobId": "j2"}, None)
    assert told == [PermanentJobError, RetryExhaustedError]
    assert [(each.message.id, each.reason.code) for each in driver.dead] == [("j1", "permanent"), ("j2", "exhausted")]


def test_its_error_is_raised_also_where_it_cannot_be_kept(bootstrap, driver, monkeypatch, caplog):
    @job
    async def hopeless():
        raise PermanentJobError("no such user")

    async def full(*_):
        raise JobError("no room")

    monkeypatch.setattr(driver, "keep_dead", full)
    with pytest.raises(PermanentJobError):
        bootstrap(hopeless)({"jobName": "hopeless"}, None)
    assert "in no dead letters: no room" in caplog.text


def test_a_job_that_wants_its_failures_dropped_is_not_run_again_by_lambda(bootstrap):
    @job(retry=False)
    async def analytics():
        raise ValueError("boom")

    assert bootstrap(analytics)({"jobName": "analytics"}, None) == {"success": False, "error": "ValueError: boom"}


@pytest.mark.parametrize("error", [SystemExit(3), KeyError("x"), TimeoutError("slow")], ids=repr)
def test_no_error_ends_the_functions_process(bootstrap, error):
    @job
    async def failing():
        raise error

    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is, it is an Exception
        bootstrap(failing)({"jobName": "failing"}, None)
    assert raised.value is error or raised.value.__cause__ is error


def test_an_unknown_job_is_refused_by_its_name(bootstrap):
    with pytest.raises(UnknownJobError, match="of-tomorrow"):
        bootstrap()({"jobName": "of-tomorrow"}, None)


@pytest.mark.parametrize("payload", ["seven", {"a": 1}, None])
def test_a_payload_that_does_not_fit_is_refused(bootstrap, payload):
    @job
    async def double(payload: int):
        raise AssertionError

    with pytest.raises(InvalidJobPayloadError, match="double"):
        bootstrap(double)({"jobName": "double", "payload": payload}, None)


def test_a_payload_that_is_no_json_is_refused(bootstrap, report):
    with pytest.raises(InvalidJobPayloadError, match="daily-report"):
        bootstrap(report)({"jobName": "daily-report", "payload": {1, 2}}, None)


REFUSED = {
    "Lambda's own test event": {"key1": "value1", "key2": "value2"},
    "no name": {"payload": {}},
    "a name that is no text": {"jobName": 7},
    "an empty name": {"jobName": ""},
    "an empty object": {},
    "a detail that is text": {"detail": '{"jobName": "daily-report"}'},
    "a schedule without input": {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    "a list": [{"jobName": "daily-report"}],
    "text": "daily-report",
    "nothing": None,
    "records that are none": {"Records": "all"},
    "garbage as records": {"Records": [1, None]},
}


@pytest.mark.parametrize("event", REFUSED.values(), ids=REFUSED)
def test_an_event_that_names_no_job_is_refused_with_what_is_wanted(bootstrap, report, seen, event):
    with pytest.raises(ConfigurationError, match='{"jobName": "daily-report"'):
        bootstrap(report)(event, None)
    assert not seen


@pytest.mark.parametrize(
    ("record", "source"),
    [
        ({"eventSource": "aws:s3"}, "aws:s3"),
        ({"EventSource": "aws:sns", "Sns": {}}, "aws:sns"),
        ({"kinesis": {}}, "None"),
    ],
)
def test_another_sources_records_are_refused_by_its_name(bootstrap, record, source):
    with pytest.raises(ConfigurationError, match=source):
        bootstrap()({"Records": [record]}, None)


def test_a_refused_event_connects_to_nothing(bootstrap):
    with pytest.raises(ConfigurationError, match="jobName"):
        bootstrap(service=JobService("no-such-broker://"))({}, None)
