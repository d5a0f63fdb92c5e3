"""Many payloads, chunk by chunk, with progress."""

import io
from typing import TypedDict

import pytest

from waybill import EnqueueValueError, InvalidJobPayloadError, ShowProgress, job
from waybill.testing import run_until_idle


class Item(TypedDict):
    number: int


@job(name="item")
async def item(payload: Item) -> None: ...


async def test_ten_thousand_payloads_go_in_a_hundred_chunks_and_each_is_told(service, driver):
    told = []
    result = await service.enqueue_many(
        item, ({"number": n} for n in range(10_000)), on_progress=lambda done, total: told.append((done, total))
    )
    assert len(told) == 100
    assert told[0] == (100, 10_000)
    assert told[-1] == (10_000, 10_000)
    assert len(result.ok) == len(driver.enqueued) == 10_000
    assert [each.payload["number"] for each in driver.enqueued] == list(range(10_000))


async def test_the_chunk_size_is_chosen(service, driver):
    told = []
    await service.enqueue_many(
        item, [{"number": n} for n in range(25)], chunk_size=10, on_progress=lambda *at: told.append(at)
    )
    assert told == [(10, 25), (20, 25), (25, 25)]


async def test_no_payload_is_no_chunk(service, driver):
    assert len(await service.enqueue_many(item, [])) == 0


@pytest.mark.parametrize("size", [0, -1, True, 2.5])
async def test_a_chunk_size_that_is_none_is_refused(service, driver, size):
    with pytest.raises(EnqueueValueError, match="chunk_size"):
        await service.enqueue_many(item, [{"number": 1}], chunk_size=size)


async def test_a_refused_payload_stops_at_its_chunk_and_says_how_many_were_sent(service, driver):
    with pytest.raises(InvalidJobPayloadError) as refusal:
        await service.enqueue_many(item, [{"number": 1}, {"number": 2}, {"number": "x"}, {"number": 4}], chunk_size=2)
    assert "the 2 payloads before this chunk were sent" in refusal.value.__notes__
    assert len(driver.enqueued) == 2


async def test_options_hold_for_each(service, driver):
    await service.enqueue_many(item, [{"number": n} for n in range(3)], queue="bulk", priority=2, metadata={"a": 1})
    assert {(each.queue, each.message.priority) for each in driver.enqueued} == {("bulk", 2)}
    assert await run_until_idle(service, queues=["bulk"]) == 3


def test_the_progress_that_is_shown_has_both_counts(capsys):
    show = ShowProgress()
    for done in (100, 200, 250):
        show(done, 250)
    assert capsys.readouterr().out == "Queueing 250 jobs…\nQueued 250 jobs\n"


def test_a_terminal_is_shown_a_running_count():
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    show = ShowProgress("letters", terminal)
    for done in (1_000, 2_000):
        show(done, 2_000)
    assert terminal.getvalue() == "Queueing 2,000 letters…\n\r1,000/2,000\rQueued 2,000 letters\n"
