"""Operations by namespace: plain jobs with known keys."""

import pytest

from waybill import ConfigurationError, InvalidJobPayloadError, JobService, Schedule, Session, define_operation
from waybill.jobs.operations import NAMESPACES
from waybill.testing import run_until_idle

WHERE = {"env": "prd", "product": "shop", "input": {"body": {"id": 1}}}
CALLS = {
    "actions": {"app": "email-service", "event": "send_welcome_email"},
    "features": {"tag": "generate_daily_report"},
    "notifications": {"notification": "user-notifications", "event": "send_reminder"},
    "storage": {"storage": "files", "event": "upload"},
    "events": {"broker": "kafka-broker", "event": "check_promo_status"},
    "databases": {"database": "logs-db", "operation": "deleteMany"},
    "databases.action": {"database": "inventory-db", "event": "sync_inventory"},
    "graphs": {"graph": "session-graph", "operation": "deleteNodes"},
    "graphs.action": {"graph": "session-graph", "event": "clean"},
}


def namespace_of(service, name):
    found = service.ops
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_there_are_nine_namespaces():
    assert sorted(NAMESPACES) == sorted(CALLS)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_namespace_dispatches_a_plain_job(service, driver, name):
    payload = {**WHERE, **CALLS[name]}
    result = await namespace_of(service, name).dispatch(payload, retries=3)
    assert result.status == "queued"
    assert (driver.enqueued[0].job_name, driver.enqueued[0].payload) == (name, payload)
    service.registry.find(name)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_namespace_refuses_a_missing_key(service, driver, name):
    payload = {**WHERE, **CALLS[name]}
    for key in payload:
        with pytest.raises(InvalidJobPayloadError, match=key):
            await namespace_of(service, name).dispatch({name: value for name, value in payload.items() if name != key})
    assert driver.enqueued == []


async def test_an_operation_runs_with_its_session_on_its_schedule(driver, clock):
    ran = []

    async def notify(payload, ctx) -> None:
        ran.append((payload["event"], ctx.session.tag))

    service = JobService(driver, jobs=[define_operation("notifications", notify, retry=3, queue="mail")])
    result = await service.ops.notifications.dispatch(
        {**WHERE, **CALLS["notifications"]}, schedule=Schedule(every="7d", limit=4), session=Session("user", "T0K3N")
    )
    assert result.recurring
    clock.advance("7d")
    await run_until_idle(service)
    assert ran == [("send_reminder", "user")]
    assert driver.enqueued[0].queue == "mail"


def test_an_unknown_namespace_is_told():
    with pytest.raises(ConfigurationError, match="actions, features"):
        define_operation("nothing")
