"""A body is bytes: whatever they are, they arrive."""

import os
from typing import Any

from waybill.driver import Delivery
from waybill.timing import ZERO

from ..bench import TICK, Bench
from ..case import proves

KIBIBYTE = 1024


async def round_trip(bench: Bench, body: bytes) -> bytes:
    queue = bench.queue()
    await bench.driver.enqueue(bench.message(queue, body=body))
    delivery = await bench.take(queue)
    await bench.driver.ack(delivery)
    return delivery.message.body


@proves("payload")
async def test_all_bytes_arrive(bench: Bench) -> None:
    for body in (bytes(range(256)), b"\x00", b"\xff\xfe", b"a\x00b", b"\r\n", b" ", b"\xc3\x28"):
        assert await round_trip(bench, body) == body


@proves("payload")
async def test_text_of_every_kind_arrives(bench: Bench) -> None:
    texts = ["ascii", "grüße", "世界", "👩\u200d🚀", "e\u0301", "שלום", "\x00", "\u2028", "\ufffe", "\x7f", '"\\/']
    for text in texts:
        body = b'{"jobName":"conformance","payload":' + _json(text) + b"}"
        assert await round_trip(bench, body) == body, f"{text!r} does not survive"


@proves("payload")
async def test_an_object_with_fields_of_the_transport_arrives_unchanged(bench: Bench) -> None:
    """`envelope.wrap` puts fields of its own beside the job's; a producer may have used the same names."""
    for body in (
        b'{"id":"x","priority":3,"attempts":7}',
        b'{"due":"2020-01-01T00:00:00Z"}',
        b'{"raw":"eA=="}',
        b"[]",
        b"1",
    ):
        assert await round_trip(bench, body) == body


@proves("payload")
async def test_an_empty_body_arrives(bench: Bench) -> None:
    assert await round_trip(bench, b"") == b""


@proves("max_message_bytes", given=lambda claims: claims.max_message_bytes is not None)
async def test_a_body_of_exactly_the_limit_arrives(bench: Bench) -> None:
    size = bench.claims.max_message_bytes
    for body in (os.urandom(size), b'"' + b"\\" * (size - 2) + b'"'):
        assert await round_trip(bench, body) == body
    bench.level(f"{size:,} bytes arrived")


@proves("max_message_bytes")
async def test_a_large_body_arrives(bench: Bench) -> None:
    """256 KiB of payload is what the core allows by default; the envelope comes on top."""
    size = min(bench.claims.max_message_bytes or 4 * KIBIBYTE**2, 4 * KIBIBYTE**2)
    body = os.urandom(size)
    assert await round_trip(bench, body) == body
    bench.level(f"{size:,} random bytes arrived")


@proves("payload")
async def test_what_is_changed_after_the_enqueue_is_not_changed_in_the_broker(bench: Bench) -> None:
    queue, headers = bench.queue(), {"a": "1"}
    await bench.driver.enqueue(bench.message(queue, headers=headers))
    headers["a"] = "2"
    delivery = await bench.take(queue)
    assert dict(delivery.message.headers) == {"a": "1"}


async def spoil(bench: Bench, queue: str) -> Delivery:
    """The delivery of a message whose headers its receiver has changed, as far as they can be."""
    delivery = await bench.take(queue)
    headers = delivery.message.headers
    if isinstance(headers, dict):
        headers["a"] = "2"
    return delivery


async def comes_back_unspoiled(bench: Bench, give_back: Any) -> None:
    """Whatever its receivers change, at once and after a delay."""
    queue = bench.queue()
    await bench.driver.enqueue(bench.message(queue, headers={"a": "1"}))
    for delay in (ZERO, TICK):
        await give_back(await spoil(bench, queue), delay=delay)
    assert dict((await bench.take(queue)).message.headers) == {"a": "1"}


@proves("payload")
async def test_what_a_receiver_changes_is_not_changed_for_the_next(bench: Bench) -> None:
    await comes_back_unspoiled(bench, bench.driver.nack)


@proves("Releases")
async def test_what_a_receiver_changes_does_not_go_back_with_a_release(bench: Bench) -> None:
    await comes_back_unspoiled(bench, bench.driver.release)


@proves("payload")
async def test_four_kibibytes_of_headers_arrive(bench: Bench) -> None:
    headers = {f"name-{number:03}": "v" * 24 for number in range(120)}
    queue = bench.queue()
    await bench.driver.enqueue(bench.message(queue, headers=headers))
    assert dict((await bench.take(queue)).message.headers) == headers


def _json(text: str) -> bytes:
    import json

    return json.dumps(text, ensure_ascii=False).encode()
