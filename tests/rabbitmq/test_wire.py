"""The bytes between pika and a server: few writes, whole reads, and an end that is always told."""

import asyncio

import pytest

from waybill_rabbitmq.wire import Wire


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self):
        self.writes, self.aborted = [], False

    def write(self, data):
        self.writes.append(data)

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Reader:
    """A protocol as pika has it, that keeps what it is told."""

    def __init__(self, on_data=None):
        self.told, self._on_data = [], on_data

    def connection_made(self, transport):
        self.told.append("made")

    def data_received(self, data):
        self.told.append(data)
        if self._on_data is not None:
            self._on_data()

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, error):
        self.told.append(error)


@pytest.fixture
async def lay():
    def lay(on_data=None):
        reader, sink = Reader(on_data), Sink()
        wire = Wire(asyncio.get_running_loop(), reader)
        wire.connection_made(sink)
        wire.begin()
        return wire, reader, sink

    return lay


def arrive(wire, data):
    wire.get_buffer(-1)[: len(data)] = data
    wire.buffer_updated(len(data))


async def test_what_is_written_in_one_turn_leaves_together_and_in_order(lay):
    wire, _, sink = lay()
    for part in (b"method ", b"header ", b"body"):
        wire.write(part)
    assert wire.get_write_buffer_size() == 18
    await asyncio.sleep(0)
    wire.write(b"another")
    await asyncio.sleep(0)
    assert sink.writes == [b"method header body", b"another"]


async def test_what_comes_is_passed_on_in_order_and_whole(lay):
    wire, reader, _ = lay()
    data = bytes(range(256)) * 100
    arrive(wire, data)
    assert b"".join(reader.told[1:]) == data
    assert max(map(len, reader.told[1:])) == 4096


async def test_nothing_is_passed_on_once_the_reader_has_hung_up(lay):
    wire, reader, _ = lay(lambda: wire.abort())
    arrive(wire, bytes(10_000))
    assert len(reader.told) == 2


async def test_nothing_is_sent_after_hanging_up(lay):
    wire, _, sink = lay()
    wire.write(b"late")
    wire.abort()
    await asyncio.sleep(0)
    assert sink.aborted
    assert not sink.writes


async def test_bytes_that_make_the_reader_stumble_end_the_connection_and_are_told(lay):
    def stumble():
        raise ValueError("no frame")

    wire, reader, sink = lay(stumble)
    arrive(wire, b"HTTP/1.1 400 Bad Request")
    assert sink.aborted
    wire.connection_lost(None)
    assert isinstance(reader.told[-1], ValueError)


async def test_a_connection_that_the_other_side_ends_is_hung_up(lay):
    wire, reader, sink = lay()
    wire.eof_received()
    assert reader.told == ["made", "eof"]
    assert sink.aborted
