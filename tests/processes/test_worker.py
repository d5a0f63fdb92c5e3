"""`waybill worker` in one process: how it ends, and what becomes of what it was running."""

import signal
import time


def test_sigterm_lets_running_jobs_finish(start, send, ledger, until, counts):
    send("wait", 0.5)
    worker = start()
    until(ledger)
    worker.signal()
    assert worker.end() == 0
    assert [text for _, text in ledger()] == ["begun", "waited"]
    assert counts() == {"ready": 0, "delayed": 0, "leased": 0, "dead": 0}
    assert "worker stopped" in worker.messages()


def test_ctrl_c_is_the_same(start):
    worker = start()
    worker.signal(signal.SIGINT)
    assert worker.end() == 0
    assert "worker stopped" in worker.messages()[-1]


def test_a_second_signal_cuts_the_grace_short(start, send, ledger, until, counts):
    send("wait", 60)
    worker = start("--grace", "60s")
    until(ledger)
    worker.signal()
    until(lambda: any(each.startswith("stopping") for each in worker.messages()))
    worker.signal()
    assert worker.end(within=10) == 0
    assert counts() == {"ready": 1, "delayed": 0, "leased": 0, "dead": 0}


def test_after_the_grace_a_stuck_thread_is_left_behind_and_its_job_given_back(start, send, ledger, until, counts):
    send("hang", 60)
    worker = start("--grace", "200ms")
    until(ledger)
    worker.signal()
    assert worker.end(within=10) == 0
    assert counts()["ready"] == 1
    assert any("leaving without waiting for 1 thread" in each for each in worker.messages())


def test_a_given_back_job_has_not_lost_an_attempt(start, send, ledger, until):
    send("hang", 60)
    for runs in (["attempt 1"], ["attempt 1", "attempt 1"]):
        worker = start("--grace", "100ms")
        until(lambda runs=runs: [text for _, text in ledger()] == runs)
        worker.signal()
        assert worker.end(within=10) == 0


def test_a_worker_ends_after_its_number_of_jobs(start, send, ledger, counts):
    send("note", {"text": "x"}, times=3)
    worker = start("--max-jobs", "2", "--concurrency", "1")
    assert worker.end() == 0
    assert len(ledger()) == 2
    assert counts()["ready"] == 1


def test_a_worker_that_has_had_its_number_does_not_wait_for_another_job(start, send):
    send("note", {"text": "x"})
    worker = start("--max-jobs", "1")
    begin = time.monotonic()
    assert worker.end() == 0
    assert time.monotonic() - begin < 10


def test_a_worker_ends_when_it_has_grown_too_big(start, send, ledger):
    send("hoard_memory", 200, times=2)
    worker = start("--max-memory", "200MB", "--concurrency", "1")
    assert worker.end() == 0
    assert 1 <= len(ledger()) <= 2
    assert any("bytes of memory" in each for each in worker.messages())


def test_json_records_carry_the_job(start, send, until):
    [noted] = send("note", {"text": "four"})
    [refused] = send("refuse")
    worker = start()
    until(lambda: {noted, refused} <= {each.get("job_id") for each in worker.records()})
    worker.signal()
    worker.end()
    [record] = [each for each in worker.records() if each.get("job_id") == noted]
    assert record["fields"] == {"length": 4}
    assert (record["job_name"], record["queue"], record["attempt"]) == ("note", "work", 1)
    [failure] = [each for each in worker.records() if each.get("job_id") == refused]
    assert (failure["level"], failure["job_name"]) == ("error", "refuse")
    assert "PermanentJobError" in failure["error"]


def test_an_application_that_logs_by_itself_is_left_to_it(start, home):
    source = (home / "shop.py").read_text()
    (home / "shop.py").write_text(
        f"import logging; logging.basicConfig(level='INFO', format='MINE %(message)s')\n{source}"
    )
    worker = start("--max-memory", "1")
    assert worker.end() == 0
    lines = worker.log.read_text().splitlines()
    assert lines
    assert all(each.startswith("MINE ") for each in lines)
