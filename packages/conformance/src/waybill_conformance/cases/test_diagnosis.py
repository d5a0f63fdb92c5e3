"""A driver says what is notable about its broker, without secrets, and changes nothing by it."""

from typing import get_args, get_type_hints

from waybill.driver import BrokerUrl, Note

from ..bench import Bench
from ..case import proves

LEVELS = get_args(get_type_hints(Note)["level"])


@proves("Diagnoses")
async def test_every_note_has_a_level_and_a_fact(bench: Bench) -> None:
    for note in await bench.driver.diagnose():
        assert note.level in LEVELS, f"{note.level!r} is none of {LEVELS}"
        assert note.fact.strip(), "a note without a fact"


@proves("Diagnoses")
async def test_no_note_shows_a_password(bench: Bench) -> None:
    url = bench.harness.url
    secret = BrokerUrl.parse(url).password if url else None
    shown = [f"{each.fact} {each.cure} {each!r}" for each in await bench.driver.diagnose()]
    assert not secret or not any(secret in each for each in shown), "a password is shown"


@proves("Diagnoses")
async def test_a_diagnosis_changes_nothing(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    held = await bench.take(queue)
    for _ in range(3):
        await bench.driver.diagnose()
    [waiting] = await bench.drain(queue, 1)
    assert waiting.attempt == 1
    await bench.driver.ack(held)
    await bench.driver.ack(waiting)
