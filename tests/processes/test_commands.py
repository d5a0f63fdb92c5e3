"""Each command does what its help says, for people and, with --json, for programs."""

import json
import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

APP = ("--app", "shop:service")
COMMAND = [sys.executable, "-W", "error", "-m", "waybill"]

DRIVERS = """
from dataclasses import replace
from waybill import JobService, Note, Schedule, define_periodic_job, job
from waybill.testing import MemoryDriver

class Flat(MemoryDriver):
    @property
    def capabilities(self):
        return replace(super().capabilities, priorities=1)

class Leaky(MemoryDriver):
    async def diagnose(self):
        return [Note("error", "jobs leak out of the bottom", "mend the bottom")]

@job(priority=5)
def pressing(): ...

class Forgetful(MemoryDriver):
    @property
    def capabilities(self):
        return replace(super().capabilities, idempotent_enqueue=None)

nightly = define_periodic_job(name="nightly", handler=lambda: None, schedule=Schedule(cron="0 3 * * *"))
flat, leaky = JobService(Flat(), jobs=[pressing]), JobService(Leaky(), jobs=[pressing])
forgetful = JobService(Forgetful(), jobs=[nightly])
"""


@pytest.fixture
def said(waybill):
    """Runs a command that succeeds; what it prints, parsed if it was asked for JSON."""

    def run(*arguments, **options):
        result = waybill(*arguments, **options)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return run


@pytest.fixture
def dead_letter(send, waybill):
    [job_id] = send("refuse")
    worker = subprocess.run(
        [*COMMAND, "worker", *APP, "--max-jobs", "1"], capture_output=True, timeout=20
    )  # ends once it has run it
    assert worker.returncode == 0
    return job_id


def test_help_names_every_command_and_the_exit_codes(said):
    told = said()
    for each in ("worker", "enqueue", "queues", "purge", "dead", "jobs", "drivers", "doctor", "demo", "Exit codes"):
        assert each in told


def test_options_of_every_command_stand_before_or_after_its_name(said):
    assert said("jobs", *APP) == said(*APP, "jobs") != ""


def test_an_application_may_be_a_function_and_come_from_the_configuration(said, home):
    (home / "waybill.toml").write_text('app = "shop:factory"\n')
    assert "note" in said("jobs")
    assert "note" in said("jobs", env={"WAYBILL_APP": "shop:service"})


def test_app_dir_takes_the_place_of_the_working_directory(said, home):
    (home / "elsewhere").mkdir()
    (home / "shop.py").rename(home / "elsewhere" / "shop.py")
    assert "note" in said("jobs", *APP, "--app-dir", "elsewhere")


def test_a_url_takes_the_place_of_the_applications(said):
    said("enqueue", *APP, "note", '{"text": "x"}', "--url", "sqlite:///other.db")
    assert said("queues", "--url", "sqlite:///other.db", "--json")[0]["ready"] == 1
    assert all(each["ready"] == 0 for each in said("queues", *APP, "--json"))


def test_jobs_lists_what_the_application_defines(said):
    [note] = [each for each in said("jobs", *APP, "--json") if each["name"] == "note"]
    assert note["payload"] == "Note"
    assert note["queue"] == "work"
    assert note["doc"] == "Write it down."


def test_enqueue_sends_at_once_or_later(said, counts):
    now = said("enqueue", *APP, "note", '{"text": "x"}', "--job-id", "first", "--json")
    assert (now["job_id"], now["queue"], now["status"]) == ("first", "work", "queued")
    later = said("enqueue", *APP, "note", '{"text": "x"}', "--in", "1h", "--json")
    assert later["status"] == "scheduled"
    due = datetime.fromisoformat(later["scheduled_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < due <= timedelta(hours=1)
    assert "scheduled" in said("enqueue", *APP, "note", '{"text": "x"}', "--at", "2999-01-01T00:00:00+02:00")
    assert counts() == {"ready": 1, "delayed": 2, "leased": 0, "dead": 0}


def test_enqueue_needs_no_application_and_reads_a_payload_from_stdin(said, counts):
    said("enqueue", "of-another-program", "-", "--queue", "work", "--url", "sqlite:///jobs.db", stdin='{"a": 1}')
    assert counts()["ready"] == 1


def test_queues_shows_one_table_where_nobody_watches(said, send):
    send("note", {"text": "x"})
    table = said("queues", *APP)
    [row] = [each.split() for each in table.splitlines() if "work" in each]
    assert row == ["work", "1", "0", "0", "0"]


def test_dead_letters_are_listed_shown_and_retried(said, waybill, counts, dead_letter):
    assert "refused" in said("dead", "list", *APP)
    [listed] = said("dead", "list", "work", *APP, "--json")
    assert listed["job_id"] == dead_letter
    assert listed["code"] == "permanent"
    shown = said("dead", "show", "work", dead_letter, *APP, "--json")
    assert shown == listed | {key: shown[key] for key in ("enqueued_at", "metadata", "payload")}
    assert dead_letter in said("dead", "show", "work", dead_letter, *APP)
    assert waybill("dead", "show", "work", "another", *APP).returncode == 1
    assert said("dead", "retry", "work", dead_letter, *APP, "--json") == {"queue": "work", "retried": 1}
    assert counts() == {"ready": 1, "delayed": 0, "leased": 0, "dead": 0}
    assert waybill("dead", "retry", "work", dead_letter, *APP).returncode == 1


def test_what_a_job_raised_cannot_play_with_the_terminal(said, dead_letter):
    table = said("dead", "list", *APP)
    assert "\x1b" not in table
    assert "[bold]refused[/]" in table


def test_dead_letters_are_purged(said, counts, dead_letter):
    assert said("dead", "purge", "work", "--yes", *APP, "--json") == {"queue": "work", "deleted": 1}
    assert counts()["dead"] == 0


def test_a_queue_is_purged_of_what_waits(said, send, counts):
    send("note", {"text": "x"}, times=2)
    assert said("purge", "work", "--yes", *APP, "--json") == {"queue": "work", "deleted": 2}
    assert counts()["ready"] == 0


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_a_person_is_asked_before_something_is_deleted(send, counts, answer, code, left):
    send("note", {"text": "x"})
    ours, theirs = pty.openpty()
    try:
        command = [*COMMAND, "purge", "work", *APP]
        process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.write(ours, f"{answer}\n".encode())
        _, asked = process.communicate(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Delete 1 waiting job of 'work' on sqlite:///jobs.db?lease=2s?" in asked
    assert process.returncode == code
    assert counts()["ready"] == left


def test_queues_are_watched_on_a_terminal_until_ctrl_c(send, until):
    send("note", {"text": "x"})
    ours, theirs = pty.openpty()
    command = [*COMMAND, "queues", *APP, "--every", "0.1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    try:
        shown = b""

        def counted_again():
            nonlocal shown
            shown += os.read(ours, 65_536)
            return shown.count(b"work") > 1

        until(counted_again)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    finally:
        os.close(ours)
    assert (process.returncode, told) == (0, "")


def test_drivers_lists_versions_and_claims(said):
    found = {each["scheme"]: each for each in said("drivers", "--json")}
    assert found["memory"]["package"] == "waybill"
    assert "Buries" in found["sqlite"]["verbs"]
    claims = said("drivers", "--url", "memory://", "--json")["claims"]
    assert claims["Buries"] is True
    assert claims["durability"] == "process"
    assert "durability" in said("drivers", "--url", "memory://")


def test_doctor_is_content_with_a_sound_broker(said):
    assert "0 errors" in said("doctor", *APP)
    found = said("doctor", *APP, "--json")
    assert found["ok"] is True
    assert found["claims"]["sqlite:///jobs.db?lease=2s"]["durability"] == "host-fsync"


@pytest.mark.parametrize(("app", "told"), [("flat", "pressing: priority=5"), ("leaky", "leak out of the bottom")])
def test_doctor_ends_with_1_when_something_is_wrong(waybill, home, app, told):
    (home / "odd.py").write_text(DRIVERS)
    result = waybill("doctor", "--app", f"odd:{app}")
    assert result.returncode == 1
    assert told in result.stdout
    assert json.loads(waybill("doctor", "--app", f"odd:{app}", "--json").stdout)["ok"] is False


def test_doctor_ends_with_1_when_the_broker_is_out_of_reach(waybill, home):
    (home / "jobs.db").write_bytes(b"this is no database " * 1000)
    result = waybill("doctor", *APP)
    assert result.returncode == 1
    assert "cannot be used" in result.stdout


@pytest.mark.parametrize(("app", "code", "told"), [("flat", 2, "priority=5"), ("leaky", 1, "leak out of the bottom")])
def test_a_worker_does_not_start_on_a_broker_that_does_not_fit(waybill, home, app, code, told):
    (home / "odd.py").write_text(DRIVERS)
    result = waybill("worker", f"odd:{app}", "--log-level", "error")
    assert result.returncode == code
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_schedule_is_made_listed_and_cancelled(said, waybill):
    made = said("enqueue", "note", '{"text": "x"}', *APP, "--cron", "0 9 * * MON-FRI", "--tz", "Europe/Berlin",
                "--schedule-id", "mornings", "--json")  # fmt: skip
    assert (made["schedule_id"], made["recurring"], made["status"]) == ("mornings", True, "scheduled")
    assert made["next_run_at"] == made["scheduled_at"]
    [listed] = said("schedules", "list", *APP, "--json")
    assert (listed["schedule_id"], listed["job_name"], listed["payload"]) == ("mornings", "note", {"text": "x"})
    assert (listed["schedule"]["cron"], listed["schedule"]["tz"]) == ("0 9 * * MON-FRI", "Europe/Berlin")
    told = said("schedules", "list", *APP)
    assert "mornings" in told
    assert "0 9 * * MON-FRI Europe/Berlin" in told
    assert said("schedules", "cancel", "mornings", *APP, "--yes", "--json") == {
        "schedule_id": "mornings", "stopped": True,
    }  # fmt: skip
    assert said("schedules", "list", *APP, "--all") == "no schedules\n"
    gone = waybill("schedules", "cancel", "mornings", *APP, "--yes")
    assert (gone.returncode, gone.stderr) == (1, "error: there is no schedule 'mornings'\n")


def test_a_schedule_is_told_to_a_person(said):
    told = said("enqueue", "note", '{"text": "x"}', *APP, "--cron", "0 9 * * *", "--schedule-id", "s")
    assert told.startswith("schedule s on work runs next at ")


def test_doctor_says_where_a_schedule_is_not_exact(said, home):
    (home / "odd.py").write_text(DRIVERS)
    told = said("doctor", "--app", "odd:forgetful", "--json")
    assert told["ok"]
    assert any("nightly" in each["fact"] and "may run twice" in each["fact"] for each in told["notes"])
