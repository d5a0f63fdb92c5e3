"""Queue names, known queues, namespaces, and queues with a broker of their own."""

import pytest

from waybill import (
    DriverClosedError,
    EnqueueError,
    InvalidQueueNameError,
    JobService,
    UnknownQueueError,
    Worker,
    define_job,
)
from waybill.testing import MemoryDriver, VirtualClock, assert_enqueued, run_until_idle

JOB = define_job(name="x", handler=lambda: None)
VALID = ["a", "A", "a.b", "a_b", "a-b", "9", "x" * 64, "dead", "a.dead.b", "a.deadx"]
INVALID = [
    "",
    "x" * 65,
    ".a",
    "-a",
    "_a",
    "a b",
    "a:b",
    "a*",
    "a/b",
    "a\n",
    "a\0",
    "é",
    "x.dead",
    "a.dead",
    5,
    None.__class__,
]


@pytest.mark.parametrize("name", VALID)
async def test_a_queue_name_of_letters_digits_and_three_signs_is_taken(service, driver, name):
    assert (await service.enqueue(JOB, queue=name)).queue == driver.enqueued[0].queue == name


@pytest.mark.parametrize("name", INVALID, ids=repr)
async def test_any_other_queue_name_is_refused_before_io(driver, wrapped, name):
    spied = wrapped(driver)
    service = JobService(spied)
    with pytest.raises(InvalidQueueNameError) as caught:
        await service.enqueue(JOB, queue=name)
    assert caught.value.queue == name
    assert isinstance(caught.value, EnqueueError)
    assert spied.calls == []
    for refused in (lambda: define_job(name="y", queue=name), lambda: JobService(driver, queues=[name])):
        with pytest.raises(InvalidQueueNameError):
            refused()


OPERATIONS = {
    "stats": lambda service, queue: service.stats(queue),
    "dead_letters": lambda service, queue: service.dead_letters(queue),
    "retry_dead": lambda service, queue: service.retry_dead(queue),
    "purge_dead": lambda service, queue: service.purge_dead(queue),
    "purge": lambda service, queue: service.purge(queue),
    "cancel": lambda service, queue: service.cancel("id", queue),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_operating_on_no_queue_is_refused(service, operation):
    with pytest.raises(InvalidQueueNameError):
        await OPERATIONS[operation](service, "no queue")


async def test_queue_names_are_case_sensitive(service):
    await service.enqueue(JOB, queue="a")
    assert (await service.stats("A")).ready == 0
    assert (await service.stats("a")).ready == 1


async def test_a_queue_that_is_not_configured_is_refused_naming_the_known_ones(driver, wrapped):
    spied = wrapped(driver)
    service = JobService(spied, queues=["default", "emails"])
    with pytest.raises(UnknownQueueError, match="default, emails") as caught:
        await service.enqueue(JOB, queue="nope")
    assert (caught.value.queue, caught.value.known) == ("nope", ("default", "emails"))
    with pytest.raises(UnknownQueueError):
        await service.enqueue(define_job(name="y", queue="nope"))
    with pytest.raises(UnknownQueueError):
        Worker(service, queues=["nope"])
    assert spied.calls == []
    await service.enqueue(JOB, queue="emails")


async def test_a_single_name_is_a_list_of_one(driver):
    assert JobService(driver, queues="emails").queues == ("emails",)
    assert Worker(JobService(driver), queues="emails").queues == ["emails"]


def test_a_worker_takes_the_configured_queues_in_order_and_those_of_the_jobs(driver):
    own = define_job(name="own", handler=lambda: None, queue="own")
    service = JobService(driver, jobs=[own, JOB], queues=["high", "default", "low"])
    assert Worker(service).queues == ["high", "default", "low", "own"]
    assert Worker(JobService(driver, jobs=[own])).queues == ["own", "default"]


async def test_queues_are_read_in_the_given_order(driver):
    ran = []
    job = define_job(name="x", handler=lambda ctx: ran.append(ctx.queue))
    service = JobService(driver, jobs=[job], queues=["high", "low"], default_queue="low")
    for queue in ("low", "low", "high"):
        await service.enqueue("x", queue=queue)
    assert await run_until_idle(service, concurrency=1) == 3
    assert ran == ["high", "low", "low"]


# -- namespaces ---------------------------------------------------------------------------------------------


async def test_two_namespaces_on_one_broker_never_see_each_others_jobs(driver):
    one, other = (JobService(driver, jobs=[JOB], namespace=each) for each in ("one", "other"))
    await one.enqueue(JOB)
    assert await run_until_idle(other) == 0
    assert (await other.stats("default")).ready == 0
    assert (await one.stats("default")).ready == 1
    assert await run_until_idle(one) == 1


async def test_a_namespace_is_not_seen_by_the_application(driver):
    queues = []
    failing = define_job(name="y", handler=lambda ctx: queues.append(ctx.queue) or 1 / 0, retry=1)
    service = JobService(driver, jobs=[failing], namespace="prd", on_job_start=lambda job: queues.append(job.queue))
    result = await service.enqueue(failing)
    assert result.queue == "default"
    assert driver.enqueued[0].queue == "prd.default"
    assert_enqueued(service, failing, queue="default")
    await run_until_idle(service)
    assert queues == ["default", "default"]
    assert len((await service.dead_letters("default")).entries) == 1
    assert await (await service.operator()).queues() == ["default"]


@pytest.mark.parametrize("namespace", [None, "prd"])
async def test_a_dead_letter_queue_is_in_the_same_namespace(driver, namespace):
    failing = define_job(name="y", handler=lambda: 1 / 0, retry=1, dead_letter_queue="graves")
    service = JobService(driver, jobs=[failing], namespace=namespace)
    await service.enqueue(failing)
    await run_until_idle(service)
    assert (await service.dead_letters("default")).entries == []
    assert len((await service.dead_letters("graves")).entries) == 1
    assert await service.retry_dead("graves") == 1
    assert (await service.stats("default")).ready == 1


async def test_a_cancel_finds_a_job_in_its_namespace(driver):
    service = JobService(driver, namespace="prd")
    await service.enqueue(JOB, queue="elsewhere", job_id="id1")
    assert not await JobService(driver, namespace="dev").cancel("id1")
    assert await service.cancel("id1")


async def test_services_that_share_a_driver_do_not_close_it_under_one_another(driver):
    one, other = JobService(driver), JobService(driver)
    await one.open()
    await other.open()
    await other.close()
    await one.enqueue(JOB)
    await one.close()
    with pytest.raises(DriverClosedError):
        await driver.stats("default")


@pytest.mark.parametrize("wrong", ["", "a b", "a/b"])
def test_a_namespace_follows_the_rule_for_queue_names(driver, wrong):
    with pytest.raises(InvalidQueueNameError):
        JobService(driver, namespace=wrong)


# -- several brokers ----------------------------------------------------------------------------------------


async def test_a_queue_may_live_on_a_broker_of_its_own(driver, clock):
    events = MemoryDriver(clock=clock)
    service = JobService(driver, jobs=[JOB], drivers={"events": events})
    await service.enqueue(JOB)
    await service.enqueue(JOB, queue="events", job_id="id1")
    assert [each.queue for each in driver.enqueued] == ["default"]
    assert [each.queue for each in events.enqueued] == ["events"]
    assert (await service.stats("events")).ready == 1
    assert await service.cancel("id1")


async def test_a_worker_serves_all_brokers_and_what_their_jobs_send_to_one_another(driver, clock):
    other = MemoryDriver(clock=clock)
    ran = []

    async def ping(payload, ctx):
        ran.append((ctx.queue, payload))
        if payload:
            await ctx.enqueue("ping", payload - 1, queue="other" if ctx.queue == "default" else "default")

    service = JobService(
        driver, jobs=[define_job(name="ping", handler=ping)], queues=["default", "other"], drivers={"other": other}
    )
    await service.enqueue("ping", 3)
    assert await run_until_idle(service) == 4
    assert ran == [("default", 3), ("other", 2), ("default", 1), ("other", 0)]


async def test_every_form_of_source_is_taken_for_a_queue():
    sources = {"url": "memory://", "factory": lambda: MemoryDriver(), "class": MemoryDriver, "object": MemoryDriver()}
    async with JobService("memory://", drivers=sources) as service:
        for queue in sources:
            await service.enqueue(JOB, queue=queue)
            assert (await service.stats(queue)).ready == 1


def test_the_services_clock_is_the_drivers_or_the_given_one(driver, clock):
    other = VirtualClock()
    assert JobService(driver).clock is clock
    assert JobService(driver, clock=other).clock is other
