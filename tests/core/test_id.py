"""The ids that the core gives: UUIDs of version 7, unique wherever they are made, in the order of their making."""

import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from waybill.sending.ids import new_job_id


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_it():
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_job_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_each_id_is_behind_those_before_it_also_within_a_millisecond(monkeypatch):
    moments = iter([1_000_000_000_000_000_000 + n // 1000 * 1_000_000 for n in range(20_000)])
    monkeypatch.setattr(time, "time_ns", moments.__next__)
    made = [new_job_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_no_two_ids_are_the_same_although_the_clock_goes_back(monkeypatch):
    moments = iter([1_000_000_000_000_000_000 + n % 3 * 1_000_000 for n in range(20_000)])
    monkeypatch.setattr(time, "time_ns", moments.__next__)
    assert len({new_job_id() for _ in range(20_000)}) == 20_000


def test_threads_never_make_the_same_id():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = [
                each for batch in pool.map(lambda _: [new_job_id() for _ in range(5000)], range(4)) for each in batch
            ]
    finally:
        sys.setswitchinterval(interval)
    assert len(set(made)) == 20_000


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_other_ids_than_its_parent():
    new_job_id()  # whatever the two could share is there
    reading, writing = os.pipe()
    child = os.fork()
    made = [new_job_id() for _ in range(100)]
    if child == 0:
        os.write(writing, "\n".join(made).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().splitlines()
    os.waitpid(child, 0)
    assert len({each[-12:] for each in made + theirs}) == 200
