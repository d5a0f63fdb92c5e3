"""Delays of any length through each scheduler: never early, and without a fault exactly once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import UniqueKey
from waybill.errors import BrokerUnavailableError, UnsupportedError
from waybill_conformance.brokers import broker_or_skip, start
from waybill_sqs import SqsDriver, create_scheduler_handler

from .conftest import TABLE, Clients, endpoint_of, make_table
from .travel import Ahead, Travelling

NOW, SOON = timedelta(), timedelta(seconds=5)
THREE_DAYS = timedelta(days=3)
ROLE = "arn:aws:iam::000000000000:role/scheduler"
EVENTBRIDGE = {"scheduler": "eventbridge", "role_arn": ROLE}
DYNAMODB = {"scheduler": "dynamodb", "table": TABLE}


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return Ahead(tmp_path_factory.mktemp("clock") / "shift")


@pytest.fixture(scope="module")
def travelling(clock):
    """An emulator of this module's own, on the clock."""
    broker_or_skip("ministack").stop()
    with start(Travelling(path=str(clock._path))) as broker:
        tell = Clients(endpoint_of(broker.direct_url))
        make_table(tell)
        tell.close()
        yield endpoint_of(broker.direct_url)


@pytest.fixture
def later(connect, travelling, clock):
    """Opens drivers that travel in time."""

    async def later(**options):
        return await connect(travelling, clock=clock, **options)

    return later


@pytest.fixture
def tell(travelling):
    clients = Clients(travelling)
    yield clients
    clients.close()


async def nothing(driver, queue="q"):
    assert await driver.receive(queue, limit=10, wait=NOW) == []


async def relayed(driver, clock, delay, hop=timedelta(minutes=15)):
    """Let time pass until a message comes that a worker looks for now and then; how often it looked."""
    end, looks = clock.now() + delay + 2 * hop, 0
    while clock.now() < end:
        looks += 1
        if got := await driver.receive("q", limit=10, wait=NOW):
            return got, looks
        clock.travel(seconds=hop.total_seconds())
    raise AssertionError("it never came")


# -- within what SQS can do ----------------------------------------------------------------------------


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("seconds", [0, 1, 0.2, 900])
async def test_a_delay_up_to_15_minutes_is_sqss_own(later, clock, message, fifo, seconds):
    driver = await later(fifo=fifo)
    await driver.enqueue_in(message("a"), timedelta(seconds=seconds))
    if seconds > 1:
        clock.travel(seconds=seconds - 2)
        await nothing(driver)
        clock.travel(seconds=2)
    [delivery] = await driver.receive("q", limit=10, wait=SOON)
    assert (delivery.message.id, delivery.attempt) == ("a", 1)
    await driver.ack(delivery)
    await nothing(driver)


# -- beyond --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("seconds", [901, 3 * 86_400])
async def test_a_relayed_message_runs_once_and_is_not_early(later, clock, message, fifo, seconds):
    driver = await later(fifo=fifo)
    due = clock.now() + timedelta(seconds=seconds)
    await driver.enqueue_in(message("a", group="g" if fifo else None), timedelta(seconds=seconds))
    [delivery], looks = await relayed(driver, clock, timedelta(seconds=seconds))
    assert clock.now() >= due
    assert (delivery.message.id, delivery.attempt) == ("a", 1)
    assert looks >= seconds // 900
    await driver.ack(delivery)
    clock.travel(hours=1)
    await nothing(driver)


async def test_a_hop_that_crashed_between_copy_and_delete_repeats_the_job_at_most_once(
    later, clock, message, tell, prefix
):
    driver = await later(lease="1s")
    await driver.enqueue_in(message("a"), timedelta(minutes=40))
    clock.travel(minutes=15)
    [hop] = await asyncio.to_thread(
        lambda: tell.sqs.receive_message(
            QueueUrl=tell.sqs.get_queue_url(QueueName=f"{prefix}-q")["QueueUrl"], VisibilityTimeout=1
        )["Messages"]
    )
    await asyncio.to_thread(  # as a worker that died before it could delete the original
        lambda: tell.sqs.send_message(
            QueueUrl=tell.sqs.get_queue_url(QueueName=f"{prefix}-q")["QueueUrl"],
            MessageBody=hop["Body"],
            DelaySeconds=900,
        )
    )
    clock.travel(seconds=2)
    came = []
    for _ in range(8):
        came += (got := await driver.receive("q", limit=10, wait=NOW))
        await driver.ack_batch(got)
        clock.travel(minutes=15)
    assert 1 <= len(came) <= 2
    assert {each.message.id for each in came} == {"a"}


async def test_three_days_through_eventbridge_are_one_schedule_that_removes_itself(later, clock, message, tell):
    driver = await later(**EVENTBRIDGE)
    due = clock.now() + THREE_DAYS
    await driver.enqueue_at(message("a", body=b'{"jobName":"x"}'), due)
    await driver.enqueue_at(message("a", body=b'{"jobName":"x"}'), due)  # a repeat whose outcome was unknown
    [schedule] = await asyncio.to_thread(lambda: tell.scheduler.list_schedules()["Schedules"])
    told = await asyncio.to_thread(lambda: tell.scheduler.get_schedule(Name=schedule["Name"]))
    at = datetime.strptime(told["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta(minutes=1) <= due - at < timedelta(minutes=2)
    assert (told["ActionAfterCompletion"], told["FlexibleTimeWindow"]) == ("DELETE", {"Mode": "OFF"})
    assert (told["Target"]["RoleArn"], told["ScheduleExpressionTimezone"]) == (ROLE, "UTC")

    clock.travel(seconds=(at - clock.now()).total_seconds() - 30)
    await nothing(driver)
    clock.travel(seconds=31)
    queue = await driver.queue_url("q")
    for _ in range(100):  # until it has fired
        count = await asyncio.to_thread(
            lambda: tell.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
        )
        if count["Attributes"]["ApproximateNumberOfMessages"] != "0":
            break
        await asyncio.sleep(0.1)
    await nothing(driver)  # it is early, and goes back for the seconds that are left
    clock.travel(seconds=max((due - clock.now()).total_seconds() - 1.5, 0))
    await nothing(driver)
    [delivery] = await driver.receive("q", limit=10, wait=SOON)
    assert clock.now() >= due
    assert (delivery.message.id, delivery.attempt) == ("a", 1)
    await driver.ack(delivery)
    assert not await asyncio.to_thread(lambda: tell.scheduler.list_schedules()["Schedules"])
    clock.travel(hours=1)
    await nothing(driver)


async def test_a_schedule_can_be_taken_back_until_it_may_be_firing(later, clock, message, tell):
    driver = await later(**EVENTBRIDGE)
    await driver.enqueue_in(message("a"), timedelta(hours=2))
    await driver.enqueue_in(message("b"), timedelta(hours=2))
    assert await driver.cancel_scheduled("q", "a")
    assert not await driver.cancel_scheduled("q", "a")
    clock.travel(hours=1, minutes=58, seconds=58)
    assert not await driver.cancel_scheduled("q", "b")
    await asyncio.to_thread(
        lambda: [
            tell.scheduler.delete_schedule(Name=each["Name"]) for each in tell.scheduler.list_schedules()["Schedules"]
        ]
    )


async def test_a_job_too_large_for_a_schedule_is_relayed(later, clock, message, tell):
    driver = await later(**EVENTBRIDGE)
    body = b'{"jobName":"x","payload":"%b"}' % (b"y" * 300_000)
    await driver.enqueue_in(message("a", body=body), timedelta(hours=1))
    assert not await asyncio.to_thread(lambda: tell.scheduler.list_schedules()["Schedules"])
    [delivery], _ = await relayed(driver, clock, timedelta(hours=1))
    assert delivery.message.body == body


# -- the table -----------------------------------------------------------------------------------------


async def test_three_days_in_the_table_and_a_run_each_minute(later, clock, message):
    driver = await later(**DYNAMODB)
    due = clock.now() + THREE_DAYS
    await driver.enqueue_at(message("a"), due)
    await driver.enqueue_at(message("a"), due)  # a repeat changes nothing
    assert await driver.send_due(within=SOON) == 0
    clock.travel(seconds=(due - clock.now()).total_seconds() - 125)
    assert await driver.send_due(within=SOON) == 0
    clock.travel(minutes=1)
    assert await driver.send_due(within=SOON) == 1
    assert await driver.send_due(within=SOON) == 0
    await nothing(driver)
    clock.travel(seconds=(due - clock.now()).total_seconds() - 1.5)
    await nothing(driver)
    [delivery] = await driver.receive("q", limit=10, wait=SOON)
    assert clock.now() >= due
    assert (delivery.message.id, delivery.attempt) == ("a", 1)
    await driver.ack(delivery)
    clock.travel(hours=1)
    assert await driver.send_due(within=SOON) == 0
    await nothing(driver)


async def test_minutes_that_were_missed_are_caught_up_and_pages_are_read_to_their_end(later, clock, message):
    driver = await later(**DYNAMODB)
    large = b'{"jobName":"x","payload":"%b"}' % (b"y" * 100_000)
    for number in range(15):  # 1.5 MB, and DynamoDB gives 1 MB at a time
        await driver.enqueue_in(message(f"{number}", body=large), timedelta(hours=1, minutes=number // 5))
    clock.travel(days=30)
    assert await driver.send_due(within=timedelta(seconds=30)) == 15
    got = []
    while len(got) < 15:
        got += await driver.receive("q", limit=30, wait=SOON)
    assert sorted(int(each.message.id) for each in got) == list(range(15))
    assert await driver.send_due(within=SOON) == 0


async def test_what_the_time_of_one_run_does_not_suffice_for_the_next_one_sends(later, clock, message):
    driver = await later(**DYNAMODB)
    for number in range(3):
        await driver.enqueue_in(message(str(number)), timedelta(hours=1 + number))
    clock.travel(hours=5)
    runs = []
    while sum(runs) < 3:
        runs.append(await driver.send_due(within=timedelta(seconds=0.3)))
        assert len(runs) < 50
    assert sum(runs) == 3


async def test_of_many_runs_at_once_one_sends_each_message(later, clock, message):
    drivers = [await later(**DYNAMODB) for _ in range(4)]
    for number in range(20):
        await drivers[0].enqueue_in(message(str(number)), timedelta(hours=1))
    clock.travel(hours=1)
    sent = await asyncio.gather(*(each.send_due(within=timedelta(seconds=20)) for each in drivers))
    assert sum(sent) == 20
    got = []
    while batch := await drivers[0].receive("q", limit=30, wait=timedelta(seconds=1)):
        got += batch
    assert sorted(int(each.message.id) for each in got) == list(range(20))


async def test_a_run_that_crashed_between_send_and_delete_repeats_the_job_at_most_once(
    later, clock, message, monkeypatch
):
    dying, other = await later(**DYNAMODB), await later(**DYNAMODB)
    await dying.enqueue_in(message("a"), timedelta(hours=1))
    clock.travel(hours=1)

    class DeathError(Exception):
        pass

    async def die(*arguments, **values):
        raise DeathError

    monkeypatch.setattr(dying._parts.timetable._table, "delete", die)
    with pytest.raises(DeathError):
        await dying.send_due(within=SOON)
    assert await other.send_due(within=SOON) == 0  # it is claimed
    clock.travel(minutes=1, seconds=1)
    assert await other.send_due(within=SOON) == 1
    came = await other.receive("q", limit=10, wait=SOON)
    assert 1 <= len(came) <= 2
    assert {each.message.id for each in came} == {"a"}
    clock.travel(minutes=5)
    assert await other.send_due(within=SOON) == 0


async def test_a_message_in_the_table_can_be_taken_back_until_it_is_claimed(later, clock, message):
    driver = await later(**DYNAMODB)
    await driver.enqueue_in(message("a"), timedelta(hours=1))
    await driver.enqueue_in(message("b"), timedelta(hours=1))
    assert await driver.cancel_scheduled("q", "a")
    assert not await driver.cancel_scheduled("q", "a")
    clock.travel(hours=1)
    assert await driver.send_due(within=SOON) == 1
    assert not await driver.cancel_scheduled("q", "b")


async def test_nothing_can_be_taken_back_from_a_relay(later, message):
    driver = await later()
    await driver.enqueue_in(message("a"), timedelta(hours=1))
    with pytest.raises(UnsupportedError, match="scheduler=eventbridge"):
        await driver.cancel_scheduled("q", "a")


async def test_a_run_needs_a_table(later):
    driver = await later()
    with pytest.raises(UnsupportedError, match="table"):
        await driver.send_due(within=SOON)


async def test_a_missing_table_is_told(later, message):
    driver = await later(scheduler="dynamodb", table="nowhere")
    with pytest.raises(BrokerUnavailableError, match="the table does not exist"):
        await driver.send_due(within=SOON)


async def test_a_scheduled_message_holds_its_unique_key(later, clock, message):
    driver = await later(**DYNAMODB)
    key = UniqueKey("k", "done")
    await driver.enqueue_in(message("a", unique=key), timedelta(days=2))
    from waybill.errors import DuplicateJobError

    clock.travel(days=1)
    with pytest.raises(DuplicateJobError):
        await driver.enqueue(message("b", unique=key))


class Context:
    """What Lambda hands to a function."""

    def __init__(self, milliseconds):
        self._left = milliseconds

    def get_remaining_time_in_millis(self):
        return self._left


@pytest.mark.parametrize("context", [Context(60_000), None])
def test_a_function_that_runs_each_minute_sends_what_is_due(travelling, clock, prefix, context, message):
    options = {"endpoint_url": travelling, "prefix": prefix, "poll": "1s", "clock": clock}

    async def send():
        driver = SqsDriver("sqs://test:secret@us-east-1", **options, **DYNAMODB)
        await driver.open()
        await driver.enqueue_in(message("a"), timedelta(hours=1))
        await driver.close()

    asyncio.run(send())
    handler = create_scheduler_handler("sqs://test:secret@us-east-1", table=TABLE, **options)
    try:
        assert handler({"source": "aws.scheduler"}, context) == {"sent": 0}
        clock.travel(hours=1)
        assert handler({"source": "aws.scheduler"}, context) == {"sent": 1}
        assert handler({}, context) == {"sent": 0}
    finally:
        handler.close()


def test_a_function_without_a_table_is_refused_when_it_is_made():
    from waybill.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="table="):
        create_scheduler_handler("sqs://us-east-1")
    with pytest.raises(ConfigurationError, match="another one"):
        create_scheduler_handler(SqsDriver("sqs://us-east-1", table="one"), table="other")
