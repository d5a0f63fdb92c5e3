"""However a server's bytes are cut into pieces, the same is read of them as nats-py reads."""

import contextlib

from hypothesis import given, strategies as st
from nats.protocol.parser import Parser

from waybill_nats.reading import Reader

WORD = st.text("abc.*$-", min_size=1, max_size=8).map(str.encode)
DATA = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"MSG a 1 2\r\n", b"\r\n", b"x" * 70_000]))
HEADERS = st.sampled_from([b"NATS/1.0\r\n\r\n", b"NATS/1.0 404 No Messages\r\n\r\n", b"NATS/1.0\r\na: b\r\n\r\n"])


class Client:
    """Notes what a parser makes of what it is given."""

    def __init__(self):
        self.heard = []

    def hear(self, *message):
        self.heard.append(message)

    async def _process_msg(self, *message):
        self.hear(*message)

    async def _process_ping(self):
        self.hear("ping")

    async def _process_pong(self):
        self.hear("pong")

    async def _process_err(self, told):
        self.hear(told)

    async def _process_info(self, info):
        self.hear(str(info))


def framed(message):
    subject, number, reply, headers, data = message
    words = [subject, b"%d" % number, *([reply] if reply else [])]
    if headers is None:
        return b"MSG %s %d\r\n%s\r\n" % (b" ".join(words), len(data), data)
    return b"HMSG %s %d %d\r\n%s%s\r\n" % (b" ".join(words), len(headers), len(headers) + len(data), headers, data)


MESSAGE = st.tuples(WORD, st.integers(1, 999), st.none() | WORD, st.none() | HEADERS, DATA).map(framed)
OTHER = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'Slow Consumer'\r\n", b'INFO {"a":1}\r\n'])


def told(parser, client, pieces):
    """What it makes of these pieces; nothing in it waits."""
    for piece in pieces:
        with contextlib.suppress(StopIteration):
            parser.parse(piece).send(None)
    return client.heard


@given(st.lists(MESSAGE | OTHER, max_size=8).map(b"".join), st.data())
def test_a_stream_in_any_pieces_is_read_as_nats_py_reads_it(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    ours, theirs = Client(), Client()
    assert told(Reader(ours, ours.hear), ours, pieces) == told(Parser(theirs), theirs, pieces)
