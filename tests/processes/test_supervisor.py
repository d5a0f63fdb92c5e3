"""`waybill worker --processes N`: children that die are replaced, and none outlives its parent."""

import os
import signal


def test_a_child_that_is_killed_is_replaced_and_its_job_comes_back(start, send, ledger, until, alive):
    send("hang", 60)
    parent = start("--processes", "2", "--grace", "200ms", ready=2)
    [(victim, _)] = until(ledger)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(parent.workers()) == 3)
    until(lambda: [text for _, text in ledger()] == ["attempt 1", "attempt 2"])  # after the lease
    assert any(f"{victim} has died (SIGKILL)" in each for each in parent.messages())
    parent.signal()
    assert parent.end() == 0
    assert not [each for each in parent.workers() if alive(each)]


def test_no_child_outlives_a_parent_that_is_killed(start, send, ledger, until, alive):
    send("wait", 0.5)
    parent = start("--processes", "2", ready=2)
    until(ledger)
    parent.signal(signal.SIGKILL)
    parent.end()
    until(lambda: not [each for each in parent.workers() if alive(each)])
    assert ledger()[-1][1] == "waited"  # it had the grace for it


def test_a_signal_is_passed_on_and_a_second_one_too(start, send, ledger, until, counts):
    send("wait", 60)
    parent = start("--processes", "2", "--grace", "60s", ready=2)
    until(ledger)
    parent.signal(signal.SIGINT)
    until(lambda: len([each for each in parent.messages() if each.startswith("stopping")]) == 3)
    parent.signal(signal.SIGINT)
    assert parent.end(within=15) == 0
    assert counts()["ready"] == 1


def test_children_that_have_done_their_number_are_replaced_at_once(start, send, ledger, until):
    send("note", {"text": "x"}, times=4)
    parent = start("--processes", "2", "--max-jobs", "1", "--concurrency", "1", ready=2)
    until(lambda: len(ledger()) == 4)
    assert len({pid for pid, _ in ledger()}) == 4
    until(lambda: len(parent.workers()) == 6)
    parent.signal()
    assert parent.end() == 0


def test_children_that_cannot_start_end_it_all_and_tell_why_once(fresh, home):
    result = fresh("worker", "shop:nothing", "--processes", "3")
    assert result.returncode == 2
    assert result.stderr.count("error: shop has no 'nothing'") == 1
    (home / "jobs.db").write_bytes(b"this is no database " * 1000)
    result = fresh("worker", "shop:service", "--processes", "3", "--log-level", "error")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_a_child_that_cannot_start_beside_working_ones_is_tried_again(start, until, home, alive):
    parent = start("--processes", "2", ready=2)
    source = (home / "shop.py").read_text()
    (home / "shop.py").write_text("1 / 0")
    victim, other = parent.workers()
    os.kill(victim, signal.SIGKILL)
    until(lambda: any("could not start" in each for each in parent.messages()))
    assert alive(other)
    (home / "shop.py").write_text(source)
    until(lambda: len(parent.workers()) == 3)
    parent.signal()
    assert parent.end() == 0
