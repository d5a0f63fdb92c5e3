"""Nothing is lost and nothing is done by halves, wherever a call is cancelled or the driver closed."""

import asyncio
import os
import threading
from datetime import timedelta

import pytest

from waybill.driver import QueueStats
from waybill.errors import BrokerUnavailableError, ConfigurationError, DriverClosedError, EnqueueUnknownError
from waybill_sqlite import SqliteDriver

NOW = timedelta()
SOON = timedelta(seconds=5)


class Stall:
    """A call that stands still inside its transaction until it is told to go on."""

    def __init__(self, driver):
        self.reached, self.go_on = threading.Event(), threading.Event()
        driver._database.writer.post(self.verb)

    def verb(self, store):
        self.reached.set()
        self.go_on.wait(10)

    async def until_reached(self):
        await asyncio.to_thread(self.reached.wait, 10)


def receiving(driver, wait=NOW):
    return asyncio.create_task(driver.receive("q", limit=10, wait=wait))


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_receive_cancelled_while_it_waits_its_turn_takes_nothing(driver, take, message):
    await driver.enqueue(message())
    stall = Stall(driver)
    await stall.until_reached()
    task = receiving(driver)
    await asyncio.sleep(0)
    await cancelled(task)
    stall.go_on.set()
    assert [each.attempt for each in await take()] == [1]


async def test_a_receive_cancelled_inside_its_transaction_puts_back_what_it_took(driver, take, message):
    await driver.enqueue_batch([(message(), None) for _ in range(3)])
    await driver.enqueue(message(group="g"))
    task = receiving(driver)
    await asyncio.sleep(0)
    stall = Stall(driver)  # joins the transaction that has taken the jobs, or stands right behind it
    await stall.until_reached()
    await cancelled(task)
    stall.go_on.set()
    again = await driver.receive("q", limit=10, wait=SOON)
    assert [(each.message.id, each.attempt) for each in again] == [("1", 1), ("2", 1), ("3", 1), ("4", 1)]


async def test_a_receive_whose_jobs_come_together_with_its_cancellation_puts_them_back(driver, take, message):
    await driver.enqueue(message())
    submit = driver._database.writer._submit

    def submit_and_cancel(*arguments):
        call = submit(*arguments)
        call.future.add_done_callback(lambda _: task.cancel())
        return call

    driver._database.writer._submit = submit_and_cancel
    task = receiving(driver)
    with pytest.raises(asyncio.CancelledError):
        await task
    driver._database.writer._submit = submit
    assert [each.attempt for each in await take()] == [1]


async def test_a_receive_cancelled_while_it_waits_leaves_no_trace(driver, take, message):
    task = receiving(driver, wait=SOON)
    await asyncio.sleep(0.05)
    await cancelled(task)
    await driver.enqueue(message())
    assert [each.attempt for each in await take()] == [1]
    assert not driver._database.waiting._waiters


async def test_no_job_is_lost_however_often_receives_are_cancelled(connect, message):
    driver = await connect()
    got = set()
    for number in range(150):
        await driver.enqueue(message())
        task = receiving(driver, wait=SOON)
        for _ in range(number % 15):
            await asyncio.sleep(0)
        if number % 3 == 0:
            await asyncio.sleep(0.0002 * (number % 7))
        task.cancel()
        try:
            deliveries = await task
        except asyncio.CancelledError:
            continue
        assert all(delivery.attempt == 1 for delivery in deliveries)
        await driver.ack_batch(deliveries)
        got |= {delivery.message.id for delivery in deliveries}
    while rest := await driver.receive("q", limit=1000, wait=timedelta(seconds=0.2)):
        assert all(delivery.attempt == 1 for delivery in rest), "what was put back did not count"
        got |= {delivery.message.id for delivery in rest}
    assert got == {str(number) for number in range(1, 151)}


async def test_a_cancelled_enqueue_is_stored_or_not_never_half(driver, take, message):
    whole = [(message(body=b"x" * 3000), None) for _ in range(5)]
    stall = Stall(driver)
    await stall.until_reached()
    task = asyncio.create_task(driver.enqueue_batch(whole))
    await asyncio.sleep(0)
    await cancelled(task)
    stall.go_on.set()
    assert await take() == [], "it had not begun"

    task = asyncio.create_task(driver.enqueue_batch(whole))
    await asyncio.sleep(0)
    stall = Stall(driver)
    await stall.until_reached()
    await cancelled(task)
    stall.go_on.set()
    assert len(await take()) == 5, "it had"


async def test_a_call_that_fails_fails_alone_and_the_others_of_its_transaction_are_done(driver, take, message):
    stall = Stall(driver)
    await stall.until_reached()  # the following gather in one transaction

    def broken(store):
        store.execute("DELETE FROM job")
        raise ZeroDivisionError

    good = [asyncio.create_task(driver.enqueue(message())) for _ in range(3)]
    bad = asyncio.create_task(driver._database.writer.call(broken))
    bad_statement = asyncio.create_task(driver._database.write(lambda store: store.execute("SELECT nonsense")))
    good += [asyncio.create_task(driver.enqueue(message())) for _ in range(3)]
    await asyncio.sleep(0)
    stall.go_on.set()
    assert await asyncio.gather(*good) == ["1", "2", "3", "4", "5", "6"]
    with pytest.raises(ZeroDivisionError):
        await bad
    with pytest.raises(BrokerUnavailableError, match="nonsense"):
        await bad_statement
    assert len(await take()) == 6


async def test_one_bad_message_of_a_batch_fails_alone(driver, take, message):
    batch = [(message("good"), None), (message("\ud800"), None), (message("good too"), None)]
    good, bad, good_too = await driver.enqueue_batch(batch)
    assert (good, good_too) == ("good", "good too")
    assert "Nothing was stored" in str(bad)
    assert len(await take()) == 2


async def test_a_call_that_takes_too_long_is_told_so_and_a_late_receive_puts_its_jobs_back(connect, message):
    driver = await connect(timeout="150ms")
    await driver.enqueue(message("first"))
    task = receiving(driver)
    sending = asyncio.create_task(driver.enqueue(message("second")))
    await asyncio.sleep(0)
    stall = Stall(driver)
    await stall.until_reached()
    with pytest.raises(BrokerUnavailableError):
        await task
    with pytest.raises((EnqueueUnknownError, BrokerUnavailableError)):
        await sending
    stall.go_on.set()
    await asyncio.sleep(0.1)
    got = await driver.receive("q", limit=10, wait=NOW)
    assert ("first", 1) in [(each.message.id, each.attempt) for each in got]


# -- closing -------------------------------------------------------------------------------------------


async def test_waiting_receives_and_later_calls_end_when_the_driver_is_closed(driver, message):
    task = receiving(driver, wait=SOON)
    await asyncio.sleep(0.05)
    await driver.close()
    with pytest.raises(DriverClosedError):
        await task
    for verb in (driver.enqueue(message()), driver.stats("q"), driver.receive("q", limit=1, wait=SOON)):
        with pytest.raises(DriverClosedError):
            await verb


async def test_calls_under_way_are_finished_and_those_behind_refused_when_the_driver_is_closed(connect, message):
    driver = await connect()
    begun = asyncio.create_task(driver.enqueue(message("begun")))
    await asyncio.sleep(0)
    stall = Stall(driver)
    await stall.until_reached()
    queued = asyncio.create_task(driver.enqueue(message("queued")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(driver.close())
    await asyncio.sleep(0)
    stall.go_on.set()
    assert await begun == "begun"
    with pytest.raises(DriverClosedError):
        await queued
    await closing
    again = await connect()
    assert [each.message.id for each in await again.receive("q", limit=9, wait=NOW)] == ["begun"]


async def test_jobs_taken_by_a_receive_under_way_are_given_back_when_the_driver_is_closed(connect, message):
    driver = await connect()
    await driver.enqueue(message())
    task = receiving(driver)
    await asyncio.sleep(0)
    stall = Stall(driver)
    await stall.until_reached()
    closing = asyncio.create_task(driver.close())
    await asyncio.sleep(0)
    stall.go_on.set()
    await closing
    with pytest.raises(DriverClosedError):
        await task
    again = await connect()
    assert [each.attempt for each in await again.receive("q", limit=1, wait=NOW)] == [1]


async def test_leases_run_on_when_the_driver_is_closed(connect, message, clock):
    driver = await connect(clock=clock)
    await driver.enqueue(message())
    [delivery] = await driver.receive("q", limit=1, wait=NOW)
    await driver.close()
    again = await connect(clock=clock)
    assert await again.receive("q", limit=1, wait=NOW) == []
    await again.ack(delivery)


async def test_closing_leaves_one_tidy_file(connect, message, path):
    driver = await connect()
    await driver.receive("q", limit=1, wait=timedelta(milliseconds=1))
    await driver.enqueue_batch([(message(body=b"x" * 2000), None) for _ in range(500)])
    assert os.path.getsize(f"{path}-wal") > 500_000
    await driver.stats("q")
    await driver.close()
    assert sorted(os.listdir(path.parent)) == ["jobs.db", "jobs.db-gate", "jobs.db.wake"]
    assert os.path.getsize(path) > 500_000


async def test_opening_and_closing_are_idempotent_and_a_closed_driver_opens_again(connect, message):
    driver = await connect()
    await driver.open()
    await driver.enqueue(message())
    await asyncio.gather(driver.close(), driver.close())
    await driver.close()
    await driver.open()
    assert (await driver.stats("q")) == QueueStats(1, 0, 0, 0)


async def test_a_driver_that_was_never_opened_says_so_and_closes(path, message):
    driver = SqliteDriver(path)
    with pytest.raises(DriverClosedError):
        await driver.enqueue(message())
    with pytest.raises(DriverClosedError):
        await driver.stats("q")
    await driver.close()
    assert not path.exists()


async def test_another_event_loop_is_refused(driver, message):
    async def elsewhere():
        with pytest.raises(ConfigurationError, match="belongs to the event loop that opened it"):
            await driver.enqueue(message())

    await asyncio.to_thread(asyncio.run, elsewhere())


def test_a_loop_that_ends_without_closing_the_driver_does_no_harm(path, message):
    driver = SqliteDriver(path)

    async def open_and_forget():
        await driver.open()
        await driver.enqueue(message())

    async def go_on():
        await driver.close()
        await driver.open()
        ready = (await driver.stats("q")).ready
        await driver.close()
        return ready

    asyncio.run(open_and_forget())
    assert asyncio.run(go_on()) == 1


async def test_an_open_that_is_cancelled_leaves_nothing_behind(path):
    driver = SqliteDriver(path)
    task = asyncio.create_task(driver.open())
    await asyncio.sleep(0)
    await cancelled(task)
    await driver.close()
