"""Messages of the TypeScript producers that this format is shared with, as they spell them."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from waybill import job

# As JSON.stringify writes them: an undefined member is left out, a Date has milliseconds and a Z.
SENT = (
    '{"jobName":"send-welcome-email","payload":{"userId":"123"},"jobId":"0b5e7e9a-4a3c-4a43-9a3e-1f2f3c4d5e6f",'
    '"enqueuedAt":"2025-01-01T00:00:00.000Z"}'
)
WITH_METADATA = (
    '{"jobName":"send-welcome-email","payload":{"userId":"h\u00e9llo \\ud83d\\udc4b"},"jobId":"user-123",'
    '"metadata":{"tenant":"acme","traceId":"1-5759e988"},"enqueuedAt":"2025-12-31T23:59:59.999Z"}'
)
PERIODIC = '{"jobName":"daily-cleanup","payload":{},"jobId":"eb-1","enqueuedAt":"2025-01-01T08:00:00.000Z"}'
BARE = '{"jobName":"daily-cleanup"}'


@dataclass
class Welcome:
    userId: str  # noqa: N815 - the producer's spelling


@pytest.fixture
def seen():
    return []


@pytest.fixture
def handler(bootstrap, seen):
    @job(name="send-welcome-email")
    async def send_welcome_email(payload: Welcome, ctx):
        seen.append((payload.userId, ctx.job_id, ctx.enqueued_at, dict(ctx.metadata), ctx.attempt))

    @job(name="daily-cleanup")
    def daily_cleanup(ctx):
        seen.append((ctx.job_id, ctx.metadata, ctx.attempt))

    return bootstrap(send_welcome_email, daily_cleanup)


def test_a_message_of_theirs_runs_here(handler, record, seen):
    attributes = {
        "JobName": {"dataType": "String", "stringValue": "send-welcome-email"}
    }  # they set it, and we need not
    event = {"Records": [record(SENT, messageAttributes=attributes)]}
    assert handler(event, None) == {"batchItemFailures": []}
    when = datetime(2025, 1, 1, tzinfo=UTC)
    assert seen == [("123", "0b5e7e9a-4a3c-4a43-9a3e-1f2f3c4d5e6f", when, {}, 1)]


def test_its_metadata_and_its_own_id_come_along(handler, record, seen):
    handler({"Records": [record(WITH_METADATA, received=2)]}, None)
    [(user, job_id, when, metadata, attempt)] = seen
    assert (user, job_id, attempt) == ("h\u00e9llo \U0001f44b", "user-123", 2)
    assert when == datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert metadata == {"tenant": "acme", "traceId": "1-5759e988"}


@pytest.mark.parametrize(("body", "job_id"), [(PERIODIC, "eb-1"), (BARE, "m1")])
def test_one_without_a_payload_runs_too(handler, record, seen, body, job_id):
    assert handler({"Records": [record(body)]}, None) == {"batchItemFailures": []}
    assert seen[0][0] == job_id


def test_their_schedules_of_eventbridge_run_here(handler, seen):
    assert handler({"jobName": "daily-cleanup", "payload": {}}, None) == {"success": True}
    assert handler({"detail": {"name": "daily-cleanup"}}, None) == {"success": True}
    assert all(each[0].startswith("eb-") for each in seen)
