"""What JSON cannot carry everywhere is refused at enqueue, with the path to the value; all else arrives unchanged."""

import decimal
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from waybill import InvalidJobPayloadError, JobService, PayloadTooLargeError, Retry, define_job
from waybill.testing import MemoryDriver, run_until_idle

ANY = define_job(name="any")


@dataclass
class Box:
    inside: Any = None


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cycle():
    value = {}
    value["self"] = value
    return value


def cyclic_box():
    box = Box()
    box.inside = box
    return box


REFUSED = {
    "NaN": ({"a": [1, math.nan]}, "$.a[1]: nan has no JSON form"),
    "infinity": ({"a": {"b": math.inf}}, "$.a.b: inf has no JSON form"),
    "minus infinity": ([-math.inf], "$[0]: -inf has no JSON form"),
    "lone surrogate": ({"a": "\ud800"}, "$.a: a lone surrogate"),
    "surrogate in a key": ({"\udfff": 1}, "lone surrogate"),
    "key that is a number": ({"a": {1: 2}}, "$.a: the key 1 is no text"),
    "key that is None": ({None: 1}, "$: the key None is no text"),
    "65 levels": (nested(65), "nested more than 64 levels"),
    "100,000 levels": (nested(100_000), "nested more than 64 levels"),
    "100,000 levels in an object": (Box(nested(100_000)), "nested more than 64 levels"),
    "cycle": (cycle(), "nested more than 64 levels"),
    "cycle of objects": (cyclic_box(), "nested more than 64 levels"),
    "2**64": ([2**64], "$[0]: the number does not fit"),
    "-2**63-1": ({"n": -(2**63) - 1}, "$.n: the number does not fit"),
    "bytes": ({"a": b"x"}, "$.a: a bytes is no JSON value"),
    "set": ({"a": {1}}, "$.a: a set is no JSON value"),
    "datetime": ([datetime.now(UTC)], "$[0]: a datetime is no JSON value"),
    "decimal": ([decimal.Decimal(1)], "$[0]: a Decimal is no JSON value"),
    "object": ({"a": object()}, "$.a: a object has no JSON form"),
    "fault inside an object": ({"a": Box({"b": math.nan})}, "$.a.inside.b: nan"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_json_cannot_carry_is_refused_with_the_path(service, driver, case):
    value, issue = REFUSED[case]
    with pytest.raises(InvalidJobPayloadError) as caught:
        await service.enqueue(ANY, value)
    assert issue in caught.value.issues[0]
    assert driver.enqueued == []


@pytest.mark.parametrize(("value", "path"), [(math.nan, "$.inside"), ("\ud800", "$.inside"), (nested(64), "$.inside")])
async def test_the_same_holds_inside_a_schema(service, value, path):
    with pytest.raises(InvalidJobPayloadError) as caught:
        await service.enqueue(define_job(name="box", schema=Box), Box(value))
    assert caught.value.issues[0].startswith(path)


TEXTS = ["", "ascii", "café", "e\u0301", "שלום", "\U0001f600", "\x00", "\u2028", "\ufffe", "\x7f", 'quote " \\ back']
NUMBERS = [0, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), -0.0, 5e-324, 1.7976931348623157e308, 0.1]


@pytest.mark.parametrize(
    "value", [*TEXTS, *NUMBERS, nested(64), True, None, [], {}, {"": ""}], ids=lambda v: repr(v)[:20]
)
async def test_what_json_can_carry_arrives_unchanged(value):
    got = []
    service = JobService(MemoryDriver(), jobs=[define_job(name="any", handler=lambda payload: got.append(payload))])
    await service.enqueue("any", value)
    await run_until_idle(service)
    assert repr(got) == repr([value])


# -- size ---------------------------------------------------------------------------------------------------

LIMIT = 262_144


@pytest.mark.parametrize("text", ["x" * (LIMIT - 2), "é" * (LIMIT // 2 - 1)], ids=["ascii", "multi-byte"])
async def test_a_payload_of_exactly_the_limit_is_accepted(service, driver, text):
    await service.enqueue(ANY, text)
    assert driver.enqueued[0].payload == text


@pytest.mark.parametrize("text", ["x" * (LIMIT - 1), "x" + "é" * (LIMIT // 2 - 1)], ids=["ascii", "multi-byte"])
async def test_one_byte_more_is_refused_with_both_numbers(service, driver, text):
    with pytest.raises(PayloadTooLargeError) as caught:
        await service.enqueue(ANY, text)
    assert (caught.value.size, caught.value.limit) == (LIMIT + 1, LIMIT)
    assert driver.enqueued == []


async def test_the_limit_is_the_services_option(driver):
    service = JobService(driver, max_payload_bytes=4)
    await service.enqueue(ANY, 1234)
    with pytest.raises(PayloadTooLargeError):
        await service.enqueue(ANY, 12345)


async def test_the_drivers_limit_holds_as_well_before_any_call(driver, wrapped):
    small = wrapped(driver, max_message_bytes=500)
    with pytest.raises(PayloadTooLargeError, match="the driver's limit") as caught:
        await JobService(small).enqueue(ANY, "x" * 500)
    assert caught.value.limit == 500
    assert [name for name, _ in small.calls] == ["open"]


# -- mutation -----------------------------------------------------------------------------------------------


async def test_a_payload_changed_after_enqueue_is_stored_as_it_was(service, driver):
    payload, metadata = {"a": [1]}, {"m": 1}
    await service.enqueue(ANY, payload, metadata=metadata)
    payload["a"].append(2)
    metadata["m"] = 2
    assert driver.enqueued[0].payload == {"a": [1]}
    assert b'"m":1' in driver.enqueued[0].message.body


async def test_a_payload_changed_by_the_handler_is_the_original_in_the_next_attempt(service, clock):
    seen = []

    async def handler(payload):
        seen.append(list(payload["a"]))
        payload["a"].append("changed")
        raise ValueError

    await service.enqueue(define_job(name="x", handler=handler, retry=Retry(2, backoff="1s")), {"a": [1]})
    await run_until_idle(service)
    clock.advance("1s")
    await run_until_idle(service)
    assert seen == [[1], [1]]
