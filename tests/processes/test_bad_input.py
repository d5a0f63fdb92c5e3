"""Whatever is wrong: one line on stderr that says it, a number for scripts, no traceback, no password."""

import json
import os
import subprocess
import sys

import pytest

SECRET = "pa55wOrd"
APP = ("--app", "shop:service")


@pytest.fixture
def refused(waybill):
    """Runs a command that fails; its one line."""

    def run(*arguments, code, **options):
        result = waybill(*arguments, **options)
        assert result.returncode == code, result.stdout + result.stderr
        assert not result.stdout
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert "Traceback" not in result.stderr
        assert SECRET not in result.stderr
        return result.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "nothing"),
        (["queues", "--ulr", "memory://"], "--ulr"),
        (["enqueue"], "JOB"),
        (["dead"], "command"),
        (["worker", *APP, "--concurrency", "0"], "--concurrency"),
        (["worker", *APP, "--grace", "10x"], "10x"),
        (["worker", *APP, "--grace", "10"], "no unit"),
        (["worker", *APP, "--max-memory", "lots"], "512MB"),
        (["worker", *APP, "--queue", "no queue"], "no queue name"),
        (["worker"], "--app"),
        (["jobs"], "--app"),
        (["queues"], "--url"),
        (["worker", "shop"], "module:object"),
        (["worker", "shop:"], "module:object"),
        (["worker", "nowhere.jobs:service"], "no module 'nowhere'"),
        (["worker", "shop:servic"], "did you mean 'service'?"),
        (["worker", "shop:LEDGER"], "JobService"),
        (["worker", "shop:note"], "JobService"),
        (["queues", *APP, "--app-dir", "nowhere"], "nowhere"),
        (["enqueue", *APP, "note", "{broken"], "not JSON"),
        (["enqueue", *APP, "note", '{"text": 1}'], "text"),
        (["enqueue", *APP, "wait", "NaN"], "wait"),
        (["enqueue", *APP, "noet", "1"], "did you mean 'note'?"),
        (["enqueue", *APP, "note", '{"text": ""}', "--in", "10x"], "10x"),
        (["enqueue", *APP, "note", '{"text": ""}', "--in", "10"], "10s"),
        (["enqueue", *APP, "note", '{"text": ""}', "--at", "2026-01-31T09:00:00"], "time zone"),
        (["enqueue", *APP, "note", '{"text": ""}', "--at", "soon"], "2026-01-31T09:00:00Z"),
        (["enqueue", *APP, "note", '{"text": ""}', "--in", "1s", "--at", "2026-01-31T09:00:00Z"], "one of them"),
        (["enqueue", *APP, "note", '{"text": ""}', "--cron", "0 0 30 2 *"], "no such day"),
        (["enqueue", *APP, "note", '{"text": ""}', "--cron", "0 9 * * *", "--tz", "Mars/Olympus"], "IANA"),
        (["enqueue", *APP, "note", '{"text": ""}', "--cron", "0 9 * * *", "--in", "1s"], "one of them"),
        (["enqueue", *APP, "note", '{"text": ""}', "--schedule-id", "s"], "--cron"),
        (["schedules"], "command"),
        (["schedules", "cancel", *APP], "SCHEDULE_ID"),
        (["enqueue", *APP, "note", '{"text": ""}', "--priority", "10"], "--priority"),
        (["enqueue", *APP, "note", '{"text": ""}', "--queue", "a queue"], "a queue"),
        (["enqueue", *APP, "note", '{"text": ""}', "--metadata", "[]"], "--metadata"),
        (["dead", "retry", "work", *APP], "--all"),
    ],
)  # fmt: skip
def test_misuse_is_told_in_one_line(refused, arguments, told):
    assert told in refused(*arguments, code=2)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"nosuch://user:{SECRET}@host", "no driver"),
        (f"user:{SECRET}@host", "scheme://"),
        (f"redis://user:{SECRET}/x@host", "percent-encoded"),
        (f"redis://user:{SECRET}#x@host", "percent-encoded"),
        (f"redis://host:{SECRET}", "port"),
        ("sqlite:///jobs.db?leese=3s", "did you mean 'lease'?"),
        ("sqlite:///jobs.db?lease=10x", "lease"),
    ],
)
@pytest.mark.parametrize("command", [["worker", *APP], ["queues"]], ids=["worker", "queues"])
def test_a_wrong_url_is_refused_before_anything_is_opened(refused, command, url, told):
    assert told in refused(*command, "--url", url, code=2)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["enqueue", "job", "null", "more"], "waybill enqueue --help"),
        (["dead", "list", "--nope"], "waybill dead list --help"),
        (["dead", "nope"], "waybill dead --help"),
        (["nope"], "waybill --help"),
    ],
)
def test_words_that_do_not_fit_a_command_are_answered_with_where_its_help_is(refused, words, command):
    assert f"(see `{command}`)" in refused(*words, code=2)


def test_a_url_in_the_wrong_place_is_not_repeated_with_its_password(refused):
    assert "***@host" in refused("worker", "shop:service", f"redis://user:{SECRET}@host", code=2)


@pytest.mark.parametrize("url", [f"redis://user:{SECRET}/x@host", f"redis://host:{SECRET}", f"no://u:{SECRET}@h?key=k"])
def test_no_traceback_shows_a_password(waybill, url):
    result = waybill("queues", "--url", url, "--debug")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert SECRET not in result.stderr


def test_debug_shows_where_an_application_breaks(waybill, home):
    (home / "broken.py").write_text("1 / 0\n")
    told = waybill("worker", "broken:service")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "ZeroDivisionError" in told.stderr
    assert "broken.py:1" in told.stderr
    assert "Traceback" in waybill("worker", "broken:service", "--debug").stderr


def test_a_missing_import_of_the_application_is_not_taken_for_a_missing_application(refused, home):
    (home / "needy.py").write_text("import nowhere_to_be_found\n")
    told = refused("worker", "needy:service", code=1)
    assert "nowhere_to_be_found" in told
    assert "needy.py:1" in told


@pytest.mark.parametrize(
    "source",
    [
        "raise SystemExit(0)",
        "def service(): raise RuntimeError('no settings')",
        "from waybill import job\n@job\ndef x(a, b): ...",
    ],
    ids=["exits", "factory raises", "two payloads"],
)
def test_an_application_that_cannot_be_loaded_ends_with_1(refused, home, source):
    (home / "broken.py").write_text(f"{source}\n")
    assert "broken" in refused("worker", "broken:service", code=1)


def test_a_file_that_is_no_database_is_told(refused, home):
    (home / "jobs.db").write_bytes(b"this is no database " * 1000)
    assert "jobs.db" in refused("queues", *APP, code=1)
    assert "jobs.db" in refused("worker", *APP, "--log-level", "error", code=1)


def test_a_directory_that_does_not_exist_is_told(refused):
    assert "nowhere" in refused("queues", "--url", "sqlite:///nowhere/jobs.db", code=1)


def test_a_payload_over_the_limit_is_refused(refused):
    payload = json.dumps({"text": "x" * 262_144})
    assert "262,1" in refused("enqueue", *APP, "note", "-", stdin=payload, code=2)


def test_a_misspelt_setting_is_told(refused, home):
    (home / "waybill.toml").write_text('ulr = "memory://"\n')
    assert "'ulr'" in refused("queues", code=2)


def test_destructive_commands_are_refused_where_nobody_can_be_asked(refused, send, counts):
    send("note", {"text": "precious"})
    for command in (["purge", "work"], ["dead", "purge", "work"]):
        assert "--yes" in refused(*command, *APP, code=2)
    assert counts()["ready"] == 1


def test_without_its_libraries_the_command_says_how_to_install_them(home):
    for library in ("typer", "rich"):
        blocked = f"import sys; sys.modules[{library!r}] = None; from waybill.__main__ import main; main()"
        result = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, env=os.environ)
        assert result.returncode == 2
        assert result.stderr == "the command line needs typer and rich: pip install 'waybill[cli]'\n"


def test_the_library_loads_nothing_of_the_command_line():
    loaded = "import waybill, sys; print([each for each in sys.modules if each.split('.')[0] in ('typer', 'rich')])"
    also = "print([each for each in sys.modules if each.startswith('waybill.cli')])"
    result = subprocess.run([sys.executable, "-c", f"{loaded}; {also}"], capture_output=True, text=True)
    assert result.stdout == "[]\n[]\n"
