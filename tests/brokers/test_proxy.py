"""The proxy: a network as bad as a test needs it."""

import socket
import threading
import time
from datetime import timedelta

import pytest

from waybill_conformance.brokers import TcpProxy

SOON = 0.1


def eventually(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.005)


def test_bytes_pass_unchanged_both_ways(proxy, connect):
    sent = bytes(range(256)) * 4096
    client = connect(proxy.address)
    got = []
    reader = threading.Thread(target=lambda: got.append(read_all(client, len(sent))))
    reader.start()
    client.sendall(sent)
    reader.join()
    assert got == [sent]


def read_all(client, size):
    heard = bytearray()
    while len(heard) < size:
        heard += client.recv(65536)
    return bytes(heard)


def test_a_client_that_says_goodbye_still_gets_its_answer_and_then_the_servers_goodbye(proxy, connect):
    client = connect(proxy.address)
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert read_all(client, 10) == b"last words"
    assert client.recv(1) == b""
    eventually(lambda: proxy.open == 0)


def test_it_counts_connections_chunks_and_bytes(proxy, connect, say):
    first, second = connect(proxy.address), connect(proxy.address)
    say(first, b"one")
    say(first, b"three")
    say(second, b"seven")
    eventually(lambda: proxy.down.chunks == 3)
    assert (proxy.connections, proxy.open) == (2, 2)
    assert (proxy.up.chunks, proxy.up.forwarded) == (3, 13)
    assert proxy.down.forwarded == 13


def test_a_cut_resets_every_open_connection_and_accepts_new_ones(proxy, echo, connect, say):
    clients = [connect(proxy.address) for _ in range(3)]
    for client in clients:
        say(client, b"hello")
    assert proxy.cut() == 3
    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    eventually(lambda: echo.resets == 3)
    assert say(connect(proxy.address), b"again") == b"again"
    assert proxy.open == 1


def test_a_cut_reaches_a_connection_that_is_frozen(proxy, connect, say):
    client = connect(proxy.address)
    say(client, b"hello")
    proxy.freeze()
    client.sendall(b"held back")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_the_kth_message_is_not_forwarded_and_its_connection_is_reset(proxy, echo, connect, say):
    bystander, client = connect(proxy.address), connect(proxy.address)
    say(bystander, b"a")
    fuse = proxy.cut_after(messages=3)
    say(client, b"b")
    say(client, b"c")
    assert not fuse.fired
    client.sendall(b"lost")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert fuse.wait(10)
    assert echo.heard() == b"abc"
    assert say(bystander, b"d") == b"d"


def test_an_answer_can_be_lost_after_the_server_has_acted(proxy, echo, connect, say):
    client = connect(proxy.address)
    say(client, b"a")
    fuse = proxy.cut_after(messages=1, direction="down")
    client.sendall(b"done, but never confirmed")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert fuse.fired
    assert echo.heard() == b"adone, but never confirmed"


def test_a_cut_at_the_kth_message_happens_once(proxy, connect, say):
    fuse = proxy.cut_after(messages=1)
    client = connect(proxy.address)
    client.sendall(b"lost")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert fuse.fired
    again = connect(proxy.address)
    assert [say(again, b"x") for _ in range(5)] == [b"x"] * 5


def test_two_cuts_count_the_same_messages(proxy, connect, say):
    near, far = proxy.cut_after(messages=1), proxy.cut_after(messages=2)
    first = connect(proxy.address)
    first.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        first.recv(1)
    assert (near.fired, far.fired) == (True, False)
    second = connect(proxy.address)
    second.sendall(b"y")
    with pytest.raises(ConnectionResetError):
        second.recv(1)
    assert far.fired


@pytest.mark.parametrize("messages", [0, -1])
def test_a_cut_before_the_next_message_is_the_soonest(proxy, messages):
    with pytest.raises(ValueError, match="counts from 1"):
        proxy.cut_after(messages=messages)


def test_a_delay_holds_back_one_way_only(proxy, echo, connect, say):
    client = connect(proxy.address)
    say(client, b"a")
    proxy.down.delay = timedelta(seconds=3)
    began = time.monotonic()
    client.sendall(b"b")
    eventually(lambda: echo.heard() == b"ab")
    assert time.monotonic() - began < 3
    assert client.recv(1) == b"b"
    assert time.monotonic() - began >= 3


def test_delayed_messages_arrive_in_order_and_do_not_wait_for_each_other(proxy, echo, connect):
    client = connect(proxy.address)
    proxy.up.delay = timedelta(seconds=1)
    began = time.monotonic()
    for number in range(10):
        client.sendall(b"%d" % number)
        time.sleep(0.01)
    assert read_all(client, 10) == b"0123456789"
    assert 1 <= time.monotonic() - began < 9


def test_a_rate_limits_the_throughput(proxy, connect):
    client = connect(proxy.address)
    proxy.up.rate = 100_000
    began = time.monotonic()
    client.sendall(bytes(30_000))
    read_all(client, 30_000)
    assert time.monotonic() - began >= 0.28


def test_segments_arrive_one_by_one(proxy, echo, connect, say):
    client = connect(proxy.address)
    proxy.up.segment, proxy.up.rate = 1, 200
    assert say(client, b"0123456789") == b"0123456789"
    assert echo.reads == [b"%d" % number for number in range(10)]


def test_segments_without_a_rate_lose_nothing(proxy, echo, connect, say):
    client = connect(proxy.address)
    proxy.up.segment = proxy.down.segment = 1
    sent = bytes(range(256)) * 8
    assert say(client, sent) == sent


def test_a_frozen_link_accepts_connections_and_forwards_nothing_until_it_thaws(proxy, echo, connect):
    early = connect(proxy.address)
    proxy.freeze()
    late = connect(proxy.address)
    for client in (early, late):
        client.settimeout(SOON)
        client.sendall(b"x")
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert echo.heard() == b""
    proxy.thaw()
    for client in (early, late):
        client.settimeout(5)
        assert client.recv(1) == b"x"


def test_a_frozen_link_forwards_no_goodbye(proxy, connect):
    client = connect(proxy.address)
    proxy.freeze()
    client.shutdown(socket.SHUT_WR)
    client.settimeout(SOON)
    with pytest.raises(TimeoutError):
        client.recv(1)
    proxy.thaw()
    client.settimeout(5)
    assert client.recv(1) == b""


def test_connections_are_refused_on_purpose_and_open_ones_stay(proxy, connect, say):
    client = connect(proxy.address)
    say(client, b"a")
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy.address)
    assert say(client, b"b") == b"b"
    proxy.accept()
    proxy.accept()
    assert say(connect(proxy.address), b"c") == b"c"


def test_the_port_is_nobody_elses_while_connections_are_refused(proxy):
    proxy.refuse()
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(proxy.address)


def test_new_connections_go_to_the_new_upstream_and_old_ones_stay(proxy, echo, connect, say, make_echo):
    client = connect(proxy.address)
    say(client, b"a")
    other = make_echo()
    proxy.upstream = other.server_address
    assert say(client, b"b") == b"b"
    assert say(connect(proxy.address), b"c") == b"c"
    assert (echo.heard(), other.heard()) == (b"ab", b"c")


def test_a_missing_upstream_is_a_reset(proxy, connect):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        proxy.upstream = unheard.getsockname()
        with pytest.raises(ConnectionResetError):  # already in the call that connects, if that is slow
            connect(proxy.address).recv(1)
    eventually(lambda: proxy.open == 0)


def test_healing_undoes_everything(proxy, connect, say):
    fuse = proxy.cut_after(messages=1)
    proxy.up.delay, proxy.down.rate, proxy.down.segment = timedelta(seconds=9), 1, 1
    proxy.freeze()
    proxy.refuse()
    proxy.heal()
    began = time.monotonic()
    assert say(connect(proxy.address), bytes(1000)) == bytes(1000)
    assert time.monotonic() - began < 8
    assert not fuse.fired


def test_cuts_in_the_middle_of_traffic_from_many_threads_leave_no_connection_open(proxy, connect, say):
    over = threading.Event()
    told = []

    def talk():
        while not over.is_set():
            try:
                with socket.create_connection(proxy.address, timeout=5) as client:
                    while not over.is_set():
                        told.append(say(client, b"x" * 1000))
            except ConnectionError:
                continue

    talkers = [threading.Thread(target=talk) for _ in range(4)]
    for talker in talkers:
        talker.start()
    for _ in range(50):
        proxy.cut()
        time.sleep(0.002)
    over.set()
    for talker in talkers:
        talker.join()
    eventually(lambda: proxy.open == 0)
    assert told


def test_a_closed_proxy_refuses_connections_and_further_orders_and_can_be_closed_again(echo, connect, say):
    proxy = TcpProxy(echo.server_address)
    client = connect(proxy.address)
    say(client, b"a")
    proxy.close()
    proxy.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy.address)
    with pytest.raises(RuntimeError, match="closed"):
        proxy.cut()
