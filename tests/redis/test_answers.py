"""Answers are cut out of what comes in, in whatever pieces; with hiredis and without."""

import pytest
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from waybill_redis import answers
from waybill_redis.answers import NOT_YET, PlainReader, reader

SENT = (
    b"+OK\r\n:-12\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n+y\r\n"
    b"-ERR no, and why\r\n*2\r\n-NOSCRIPT none\r\n:2\r\n"
)
SAID = [b"OK", -12, b"a\r\nbc", b"", None, None, [], [1, [b"x", None], b"y"]]


def to_error(text):
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)


@pytest.fixture(params=["hiredis", "plain"])
def make(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(answers, "HIREDIS_AVAILABLE", False)
    return lambda: reader(to_error)


def all_of(reader):
    found = []
    while (answer := reader.gets()) is not NOT_YET:
        found.append(answer)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, len(SENT)])
def test_answers_are_whole_in_whatever_pieces_they_come(make, size):
    reader, found = make(), []
    for at in range(0, len(SENT), size):
        reader.feed(SENT[at : at + size])
        found += all_of(reader)
    assert found[:8] == SAID
    assert isinstance(found[8], ResponseError) and str(found[8]) == "ERR no, and why"
    assert isinstance(found[9][0], NoScriptError) and found[9][1] == 2 and len(found) == 10


def test_many_bytes_are_one_answer(make):
    reader, body = make(), bytes(range(256)) * 20_000
    sent = b"$%d\r\n%b\r\n" % (len(body), body)
    for at in range(0, len(sent), 65_536):
        assert reader.gets() is NOT_YET
        reader.feed(sent[at : at + 65_536])
    assert all_of(reader) == [body]


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\n", b"$x\r\n", b"*1\r\n!\r\n"])
def test_what_no_redis_says_is_refused(make, sent):
    reader = make()
    reader.feed(sent)
    with pytest.raises(InvalidResponse):
        reader.gets()


def test_hiredis_is_taken_where_it_is(make, request):
    assert isinstance(make(), PlainReader) == ("plain" in request.node.name)
